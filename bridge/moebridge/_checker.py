"""Checker: a core that only checks configurations; it binds, opens and starts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moebridge import _life
from moebridge._backend import module_address
from moebridge._core_api import addresses, ffi, lib
from moebridge._dispatch import Worker
from moebridge.errors import ConfigError, Error

if TYPE_CHECKING:
    from moebridge._dispatch import Place
    from moebridge.filter_base import Filter

__all__ = ["Checker"]


class Checker:
    """What `Server` is to `mb.Proxy`, to `moebridge validate`. Of one thread."""

    def __init__(self) -> None:
        options = ffi.new("mb_server_options *")
        options.struct_size = ffi.sizeof("mb_server_options")
        out = ffi.new("mb_server **")
        if lib.mb_server_new(options, out) < 0:
            raise Error("making a core to check with: no descriptors or no memory")
        # A worker that checks where others apply: the rest is the same, hooks and GIL too.
        check = ffi.addressof(lib, "mb_server_check")
        self.worker = Worker({**addresses(), "apply": _address(check)})
        self.worker.open(_address(out[0]), _address(lib.mb_server_worker(out[0])))
        module = ffi.cast("mb_module *", module_address(self.worker))
        if lib.mb_server_add_module(out[0], module) < 0:
            raise Error("making a core to check with: the bridge was refused")

    def load(self, filter_: Filter, *, name: str, fail_open: bool, hook_timeout_s: float) -> Place:
        """Registers a filter object and calls its on_load; see `_life.load`."""
        return _life.load(
            self.worker, filter_, name=name, fail_open=fail_open, hook_timeout_s=hook_timeout_s
        )

    def check(self, document: bytes) -> None:
        """Checks a document.

        Raises:
            ConfigError: with every fault that the core found.
        """
        result, text = self.worker.apply(document)
        if result < 0:
            lines = [line.partition(": ") for line in text.splitlines() if line]
            faults = [(path, what) if colon else ("", path) for path, colon, what in lines]
            raise ConfigError(faults or "the core refused the configuration")

    def close(self) -> None:
        """Frees the core."""
        self.worker.close()


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))
