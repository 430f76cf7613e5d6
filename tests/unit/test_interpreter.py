"""Interpreters that the bridge was not made for are refused with a reason."""

from __future__ import annotations

import subprocess
import sys

import pytest

from moebridge import _interpreter

SUBINTERPRETER = """
import importlib, sys
try:
    interpreters = importlib.import_module("_interpreters")
except ImportError:
    interpreters = importlib.import_module("_xxsubinterpreters")
there = interpreters.create()
code = '''
try:
    import moebridge
except ImportError as error:
    print("refused:", error)
'''
interpreters.run_string(there, code)
"""


def test_the_main_interpreter_is_accepted() -> None:
    _interpreter.check()


def test_a_subinterpreter_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SUBINTERPRETER], check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("refused: moebridge can't be imported in a subinterpreter")


def test_a_build_without_the_gil_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(ImportError, match="needs the GIL"):
        _interpreter.check()


def test_another_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    with pytest.raises(ImportError, match="needs CPython, this is pypy"):
        _interpreter.check()
