"""Chooses how the core enters Python: `MOEBRIDGE_DISPATCH=cython` (default) or `cffi`.

Both modules export the names of `EXPORTED`; everything else imports them from here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from moebridge import _interpreter

__all__ = [
    "DISPATCH",
    "EXPORTED",
    "Headers",
    "RawHeaders",
    "Request",
    "Response",
    "Stream",
    "module_address",
]

EXPORTED: Final = ("Headers", "RawHeaders", "Request", "Response", "Stream", "module_address")

DISPATCH: Final = os.environ.get("MOEBRIDGE_DISPATCH") or "cython"

_interpreter.check()

if TYPE_CHECKING or DISPATCH == "cython":
    from moebridge._dispatch import (
        Headers,
        RawHeaders,
        Request,
        Response,
        Stream,
        module_address,
    )
elif DISPATCH == "cffi":
    from moebridge._dispatch_cffi import (
        Headers,
        RawHeaders,
        Request,
        Response,
        Stream,
        module_address,
    )
else:
    raise ImportError(f"MOEBRIDGE_DISPATCH is {DISPATCH!r}: cython or cffi")
