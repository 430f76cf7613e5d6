"""Entry into Python hooks and header access through cffi: the plain one of the two dispatchers.

It does what _trampoline.c and _dispatch_hooks.pxi do, with _cffi_stream.py and _cffi_headers.py, so
that the bridge's tests compare two implementations. cffi takes the GIL in every callback. Bodies
and what is asked of a stream (`Gate`, `Buffer`) are the Cython types in both.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

from moebridge import _runtime
from moebridge._cffi_headers import Headers, RawHeaders, bytes_of
from moebridge._cffi_network import define_hooks, network_kind
from moebridge._cffi_stream import Request, Response, Stream
from moebridge._core_api import ffi, lib
from moebridge._dispatch import Worker
from moebridge.status import CODES, Status

__all__ = ["Headers", "RawHeaders", "Request", "Response", "Stream", "module_address"]

_ECONFIG: Final = -11
_COMPLETE: Final = 6

# By mb_module's context; both go with the Worker.
_workers: weakref.WeakValueDictionary[int, Worker] = weakref.WeakValueDictionary()
_streams: dict[int, Stream] = {}  # by mb_filter's address
_keep: dict[object, Any] = {}  # cdata that the core points to


# -- hooks -----------------------------------------------------------------------------------------


def _outcome(stream: Stream, hook: int, arguments: tuple[Any, ...], end: bool) -> int:
    """Calls a hook; its status. What it raises goes to the barrier."""
    place = stream.place
    called = place.hooks[hook]
    try:
        value = None if called is None else called(*arguments)
    except BaseException as error:  # noqa: BLE001  (the barrier)
        return _runtime.failed(stream, hook, error)
    if value is None and place.whole[hook // 3] is None:
        return 0
    if type(value) is Status and value is not Status.LOCAL_REPLY and place.whole[hook // 3] is None:
        code = CODES[hook % 3].get(value)
        if code is not None:
            return code
    return _runtime.step(stream, hook, value, end)


def _run(c: Any, hook: int, end: bool, data: Any = None) -> tuple[int, bool]:
    stream = _stream_of(c)
    if end:
        stream._end(hook // 3)
    status = 0
    if stream._enter(_place_of(c), hook):
        arguments: tuple[Any, ...] = (stream,)
        if data is not None:
            arguments = (stream, stream._piece(hook // 3, int(ffi.cast("uintptr_t", data))))
        status = _outcome(stream, hook, arguments, end)
        arguments = ()
    acted: bool = stream.acted or stream.parted
    stream._leave()
    if data is not None:
        stream._drop_piece(hook // 3, status == _runtime.PENDING)
    return status, acted


def _place_of(c: Any) -> Any:
    return _places[int(ffi.cast("uintptr_t", c.config))]


_places: dict[int, Any] = {}  # by what config_new answered


def _stream_of(c: Any) -> Stream:
    address = int(ffi.cast("uintptr_t", c))
    stream = _streams.get(address)
    if stream is None:
        stream = _streams[address] = Stream()
        stream._attach(address, _place_of(c))
    return stream


def _callback(error: Any = None) -> Callable[[Callable[..., Any]], Any]:
    """Defines the extern "Python" function of the same name, counted as a crossing."""

    def define(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def counted(first: Any, *rest: Any) -> Any:
            filters = ffi.typeof(first) is _FILTERS
            _place_of(first[0] if filters else first).worker.crossed()
            return function(first, *rest)

        return ffi.def_extern(name=function.__name__, error=error)(counted)

    return define


_FILTERS: Final = ffi.typeof("mb_filter * const *")


define_hooks(_place_of)


def _define_hooks() -> None:
    for direction, side in enumerate(("request", "response")):

        def headers(c: Any, end: bool, hook: int = direction * 3) -> int:
            return _run(c, hook, end)[0]

        def body(c: Any, data: Any, end: bool, hook: int = direction * 3 + 1) -> int:
            return _run(c, hook, end, data)[0]

        def trailers(c: Any, hook: int = direction * 3 + 2) -> int:
            return _run(c, hook, True)[0]

        for function, stopped in ((headers, 1), (body, 3), (trailers, 1)):
            function.__name__ = f"mbpy_cffi_{side}_{function.__name__}"
            _callback(stopped)(function)


_define_hooks()


def _each(filters: Any, count: int) -> Iterator[Any]:
    """The filters of a group, with the hook slot true for each."""
    for index in range(count):
        c = filters[index]
        if index:
            c.slot.filter = c.name
            c.slot.sequence += 1
        yield c


def _group(filters: Any, count: int, ran: Any, run: Callable[[Any], tuple[int, bool]]) -> int:
    status = 0
    for c in _each(filters, count):
        status, acted = run(c)
        ran[0] += 1
        if status or acted:
            break
    return status


@_callback(1)
def mbpy_cffi_group_headers(filters: Any, count: int, direction: int, end: bool, ran: Any) -> int:
    return _group(filters, count, ran, lambda c: _run(c, direction * 3, end))


@_callback(3)
def mbpy_cffi_group_body(
    filters: Any, count: int, direction: int, data: Any, end: bool, ran: Any
) -> int:
    return _group(filters, count, ran, lambda c: _run(c, direction * 3 + 1, end, data))


def _complete(c: Any) -> None:
    stream = _stream_of(c)
    stream._complete()
    called = _place_of(c).hooks[_COMPLETE]
    if called is None or not stream._enter(_place_of(c), _COMPLETE):
        return
    try:
        value = called(stream)
        if value is not None:
            _runtime.completed(stream, value)
    except BaseException as error:  # noqa: BLE001  (the barrier)
        _runtime.failed(stream, _COMPLETE, error)
    stream._leave()


@_callback()
def mbpy_cffi_stream_complete(c: Any) -> None:
    _complete(c)


@_callback()
def mbpy_cffi_group_complete(filters: Any, count: int) -> None:
    for c in _each(filters, count):
        _complete(c)


@_callback()
def mbpy_cffi_scheduled(c: Any, event: int) -> None:
    stream = _streams.get(int(ffi.cast("uintptr_t", c)))
    if stream is not None:
        stream._enter(stream.place, -1)
        _runtime.scheduled(stream, event)


def _destroy(c: Any) -> None:
    stream = _streams.pop(int(ffi.cast("uintptr_t", c)), None)
    if stream is not None:
        stream._detach()


@_callback()
def mbpy_cffi_destroy(c: Any) -> None:
    _destroy(c)


@_callback()
def mbpy_cffi_group_destroy(filters: Any, count: int) -> None:
    for c in _each(filters, count):
        _destroy(c)


def _config_new(context: Any, args: Any, config: Any, wants: Any, of_network: bool) -> int:
    worker = _workers[int(ffi.cast("uintptr_t", context))]
    try:
        place = _runtime.place_for(worker, bytes_of(args.config), bytes_of(args.name), of_network)
    except Exception as error:  # noqa: BLE001  (its text goes to the core)
        text = _keep["error"] = ffi.from_buffer(str(error).encode())
        args.error.ptr, args.error.len = text, len(text)
        return _ECONFIG
    place.hold()
    address = place.config_address()
    _places[address] = place
    config[0] = ffi.cast("void *", address)
    wants[0] &= place.wants
    return 0


@ffi.def_extern(error=_ECONFIG)  # type: ignore[untyped-decorator]
def mbpy_cffi_config_new(context: Any, args: Any, config: Any, wants: Any) -> int:
    return _config_new(context, args, config, wants, False)


@ffi.def_extern(error=_ECONFIG)  # type: ignore[untyped-decorator]
def mbpy_cffi_network_config_new(context: Any, args: Any, config: Any, wants: Any) -> int:
    return _config_new(context, args, config, wants, True)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def mbpy_cffi_config_free(_context: Any, config: Any) -> None:
    address = int(ffi.cast("uintptr_t", config))
    place = _places[address]
    if place.users == 1:
        del _places[address]
    place.release()


@ffi.def_extern()  # type: ignore[untyped-decorator]
def mbpy_cffi_batch_end(context: Any) -> None:
    _workers[int(ffi.cast("uintptr_t", context))].end_batch()


def module_address(worker: Worker) -> int:
    """Returns the address of the mb_module that enters Python through cffi."""
    hooks = ffi.new("mb_filter_hooks *")
    hooks.abi_version = lib.MB_ABI_VERSION
    hooks.struct_size = ffi.sizeof("mb_filter_hooks")
    for name, _ in ffi.typeof("mb_filter_hooks").fields:
        function = getattr(lib, f"mbpy_cffi_{name}", None)
        if function is not None:
            setattr(hooks, name, function)
    name = ffi.new("char[]", b"*")
    kind = ffi.new("mb_filter_kind *", {"name": name, "hooks": hooks})
    network = network_kind()
    group = ffi.new("mb_group_hooks *")
    group.headers, group.body = lib.mbpy_cffi_group_headers, lib.mbpy_cffi_group_body
    group.complete, group.destroy = lib.mbpy_cffi_group_complete, lib.mbpy_cffi_group_destroy
    module_name = ffi.new("char[]", b"moebridge")
    module = ffi.new("mb_module *")
    module.abi_version = lib.MB_ABI_VERSION
    module.struct_size = ffi.sizeof("mb_module")
    module.name = module_name
    module.filters, module.filter_count, module.group = kind, 1, group
    module.on_batch_end = lib.mbpy_cffi_batch_end
    module.network_filters, module.network_filter_count = network[0], 1
    context = int(ffi.cast("uintptr_t", module))
    module.context = ffi.cast("void *", context)
    _workers[context] = worker
    _keep[context] = (hooks, name, kind, group, module_name, module, network)
    weakref.finalize(worker, _keep.pop, context)
    return context
