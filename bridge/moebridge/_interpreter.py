"""Refuses interpreters that the bridge was not made for, when it is imported.

The dispatchers keep one worker's Python state under one GIL; a subinterpreter has objects of its
own, and a free-threaded build has no GIL that a batch of hooks could hold.
"""

from __future__ import annotations

import importlib
import sys

__all__ = ["check"]


def check() -> None:
    """Refuses the running interpreter, or returns.

    Raises:
        ImportError: it is no CPython, has no GIL, or is a subinterpreter.
    """
    if sys.implementation.name != "cpython":
        raise ImportError(f"moebridge needs CPython, this is {sys.implementation.name}")
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise ImportError(
            "moebridge needs the GIL, this build of CPython runs without: use the usual build, or "
            "set PYTHON_GIL=1"
        )
    if _is_subinterpreter():
        raise ImportError(
            "moebridge can't be imported in a subinterpreter: import it in the main interpreter, "
            "or run one process for each proxy"
        )


def _is_subinterpreter() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return bool(module.get_current() != module.get_main())
    return False
