"""Addresses of the core's functions, taken from the cffi module for the Cython one.

There is one copy of the core in the process, inside `moebridge._core`.
"""

from __future__ import annotations

from typing import Final

from moebridge._core import ffi, lib

__all__ = ["addresses", "ffi", "lib"]

_FUNCTIONS: Final = {
    "run": "mb_server_run",
    "free": "mb_server_free",
    "yield": "mb_server_yield",
    "apply": "mb_server_apply",
    "ready": "mb_server_ready",
    "text_free": "mb_text_free",
    "headers_new": "mb_headers_new",
    "headers_free": "mb_headers_free",
}


def addresses() -> dict[str, int]:
    """Returns what `Worker` takes: addresses by name, that of the host table as `host`."""
    found = {"host": int(ffi.cast("uintptr_t", lib.mb_host_table()))}
    for name, function in _FUNCTIONS.items():
        found[name] = int(ffi.cast("uintptr_t", ffi.addressof(lib, function)))
    return found
