"""Hooks of network filters for the cffi dispatcher: what _dispatch_connection.pxi does, in Python.

`Connection` itself is the Cython type in both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from moebridge import _barrier, _network, _runtime
from moebridge._core_api import ffi, lib
from moebridge._dispatch import Connection
from moebridge.status import Status

__all__ = ["define_hooks", "network_kind"]

_CONNECT: Final = 0
_DATA: Final = 1
_CLOSE: Final = 3

_connections: dict[int, Connection] = {}  # by mb_network_filter's address


def _address(c: Any) -> int:
    return int(ffi.cast("uintptr_t", c))


def _outcome(connection: Connection, hook: int, arguments: tuple[Any, ...]) -> int:
    """Calls a hook; its status. What it raises goes to the barrier."""
    called = connection.place.hooks[hook]
    if called is None:
        return 0
    try:
        value = called(*arguments)
    except BaseException as error:  # noqa: BLE001  (the barrier)
        return _barrier.failed(connection, hook, error)
    if value is None or value is Status.CONTINUE:
        return 0
    if value is Status.STOP_ITERATION:
        return 1
    return _network.step(connection, hook, value)


def define_hooks(place_of: Callable[[Any], Any]) -> None:
    """Defines the extern "Python" functions.

    Args:
        place_of: finds the Place of a filter by its `config`.
    """

    def connection_of(c: Any) -> Connection:
        place = place_of(c)
        place.worker.crossed()
        address = _address(c)
        connection = _connections.get(address)
        if connection is None:
            connection = _connections[address] = Connection()
            connection._attach(address, place)
        return connection

    @ffi.def_extern(error=1)  # type: ignore[untyped-decorator]
    def mbpy_cffi_new_connection(c: Any) -> int:
        connection = connection_of(c)
        connection._enter(connection.place, _CONNECT)
        status = _outcome(connection, _CONNECT, (connection,))
        connection._leave()
        return status

    def piece(c: Any, data: Any, end: bool, direction: int) -> int:
        connection = connection_of(c)
        if end:
            connection._end(direction)
        hook = _DATA + direction
        status = 0
        if connection._enter(connection.place, hook):
            arguments = (connection, connection._piece(direction, _address(data)))
            status = _outcome(connection, hook, arguments)
            del arguments
        connection._leave()
        connection._drop_piece(direction, status == _runtime.PENDING)
        return status

    @ffi.def_extern(error=1)  # type: ignore[untyped-decorator]
    def mbpy_cffi_read(c: Any, data: Any, end: bool) -> int:
        return piece(c, data, end, 0)

    @ffi.def_extern(error=1)  # type: ignore[untyped-decorator]
    def mbpy_cffi_write(c: Any, data: Any, end: bool) -> int:
        return piece(c, data, end, 1)

    @ffi.def_extern()  # type: ignore[untyped-decorator]
    def mbpy_cffi_event(c: Any, _event: int) -> None:
        connection = connection_of(c)
        connection._complete()
        called = connection.place.hooks[_CLOSE]
        if called is None or not connection._enter(connection.place, _CLOSE):
            return
        try:
            value = called(connection)
            if value is not None:
                _network.closed(connection, value)
        except BaseException as error:  # noqa: BLE001  (the barrier)
            _barrier.failed(connection, _CLOSE, error)
        connection._leave()

    @ffi.def_extern()  # type: ignore[untyped-decorator]
    def mbpy_cffi_network_scheduled(c: Any, event: int) -> None:
        connection = _connections.get(_address(c))
        if connection is not None:
            connection.place.worker.crossed()
            connection._enter(connection.place, -1)
            _runtime.scheduled(connection, event)

    @ffi.def_extern()  # type: ignore[untyped-decorator]
    def mbpy_cffi_network_destroy(c: Any) -> None:
        connection = _connections.pop(_address(c), None)
        if connection is not None:
            connection.place.worker.crossed()
            connection._detach()


def network_kind() -> tuple[Any, ...]:
    """Returns an mb_network_filter_kind, and what it points to."""
    hooks = ffi.new("mb_network_filter_hooks *")
    hooks.abi_version = lib.MB_ABI_VERSION
    hooks.struct_size = ffi.sizeof("mb_network_filter_hooks")
    hooks.config_new = lib.mbpy_cffi_network_config_new
    hooks.config_free = lib.mbpy_cffi_config_free
    hooks.new_connection = lib.mbpy_cffi_new_connection
    hooks.read = lib.mbpy_cffi_read
    hooks.write = lib.mbpy_cffi_write
    hooks.event = lib.mbpy_cffi_event
    hooks.scheduled = lib.mbpy_cffi_network_scheduled
    hooks.destroy = lib.mbpy_cffi_network_destroy
    name = ffi.new("char[]", b"*")
    return ffi.new("mb_network_filter_kind *", {"name": name, "hooks": hooks}), name, hooks
