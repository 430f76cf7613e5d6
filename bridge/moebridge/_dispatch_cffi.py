"""Entry into Python hooks and header access through cffi: the plain one of the two dispatchers.

It does what _trampoline.c, _dispatch_hooks.pxi and _dispatch_headers.pxi do, in Python, so that
the bridge's tests compare two implementations. cffi takes the GIL in every callback. Bodies and
what is asked of a stream (`Gate`, `Buffer`) are the Cython types in both.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final, final

from moebridge import _reply, _runtime
from moebridge._core_api import ffi, lib
from moebridge._dispatch import Gate, Worker
from moebridge.errors import FilterError
from moebridge.status import CODES, Status

__all__ = ["Headers", "RawHeaders", "Request", "Response", "Stream", "module_address"]

_HOST: Final = lib.mb_host_table()
_EINVAL: Final = -3
_EPHASE: Final = -5
_ECONFIG: Final = -11
_COMPLETE: Final = 6

# By mb_module's context; both go with the Worker.
_workers: weakref.WeakValueDictionary[int, Worker] = weakref.WeakValueDictionary()
_streams: dict[int, Stream] = {}  # by mb_filter's address
_keep: dict[object, Any] = {}  # cdata that the core points to


def _slice(data: bytes) -> Any:
    return ffi.new("mb_slice *", {"ptr": ffi.from_buffer(data), "len": len(data)})[0]


def _bytes(part: Any) -> bytes:
    return ffi.buffer(part.ptr, part.len)[:] if part.len else b""


def _refused(result: int, what: str) -> Exception:
    if result == _EPHASE:
        return FilterError(f"{what}: not allowed in this phase of the stream")
    return FilterError(f"{what}: the core refused it ({result})")


class _HeaderMap:
    """What Headers and RawHeaders share; names and values are bytes here."""

    __slots__ = ("_direction", "_stream", "_trailers")

    def __init__(self, stream: Stream, direction: int, trailers: bool) -> None:
        self._stream = stream
        self._direction = direction
        self._trailers = trailers

    def _map(self) -> Any:
        self._stream._usable()
        address = self._stream._headers_address(self._direction, self._trailers)
        return ffi.cast("mb_headers *", address)

    def _writable(self) -> Any:
        found = self._map()
        if self._stream._over():
            raise FilterError("on_complete may read the stream, not change it")
        if not found:
            side = "response" if self._direction else "request"
            part = "trailers" if self._trailers else "headers"
            raise FilterError(
                f"the {side} has no {part} now: they can be changed only while they pass this "
                "filter"
            )
        return found

    def _wire_name(self, name: bytes) -> bytes | None:
        name = name.lower()
        if not name or name.startswith(b":"):
            return None
        is_host = name == b"host" and not self._direction and not self._trailers
        return b":authority" if is_host else name

    def _values(self, name: bytes | None, most: int | None = None) -> list[bytes]:
        found = self._map()
        values: list[bytes] = []
        if not found or name is None:
            return values
        out, key = ffi.new("mb_slice *"), _slice(name)
        while _HOST.headers_get(found, key, len(values), out) > 0:
            values.append(_bytes(out))
            if len(values) == most:
                break
        return values

    def _put(self, name: object, wire: bytes | None, value: bytes, what: str, add: bool) -> None:
        found = self._writable()
        if wire is None:
            if name and str(name).startswith((":", "b':")):
                raise ValueError(
                    f"{what}: {name!r} is an attribute (.method, .path, .authority, .status)"
                )
            raise ValueError(f"{what}: {name!r:.80} is no header name")
        function = _HOST.headers_add if add and wire != b":authority" else _HOST.headers_set
        result = function(found, _slice(wire), _slice(value))
        if result == _EINVAL:
            if any(byte in value for byte in b"\r\n\0"):
                raise ValueError(f"{what}: the value of {name!r:.80} has CR, LF or NUL in it")
            raise ValueError(
                f"{what}: {name!r:.80} is no header name, or {value!r:.80} no value for it"
            )
        if result < 0:
            raise _refused(result, what)

    def _remove(self, wire: bytes | None) -> int:
        found = self._writable()
        if wire is None:
            return 0
        if wire == b":authority":
            raise ValueError("remove(): a request keeps its host; set .authority instead")
        result: int = _HOST.headers_remove(found, _slice(wire))
        if result < 0:
            raise ValueError("remove(): that is no header name")
        return result

    def _fields(self) -> list[tuple[bytes, bytes]]:
        found = self._map()
        if not found:
            return []
        field = ffi.new("mb_header *")
        fields = []
        for index in range(_HOST.headers_count(found)):
            if _HOST.headers_at(found, index, field) < 0:
                break
            fields.append((_bytes(field.name), _bytes(field.value)))
        return fields

    def __len__(self) -> int:
        found = self._map()
        return _HOST.headers_count(found) if found else 0


@final
class Headers(_HeaderMap):
    """As `_dispatch.Headers`."""

    __slots__ = ()

    def _name(self, name: object, what: str) -> bytes | None:
        if not isinstance(name, str):
            raise TypeError(f"{what}: a header's name is str, not {type(name).__name__}")
        try:
            return self._wire_name(name.encode("latin-1"))
        except UnicodeEncodeError:
            return None

    def _value(self, value: object, what: str) -> bytes:
        if not isinstance(value, str):
            raise TypeError(f"{what}: a header's value is str, not {type(value).__name__}")
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"{what}: {value!r:.80} has characters outside Latin-1") from None

    def _text(self, value: bytes) -> str:
        self._stream.place.worker.counted_str()
        return value.decode("latin-1")

    def get(self, name: str, default: Any = None) -> Any:
        values = self._values(self._name(name, "get()"), 1)
        return self._text(values[0]) if values else default

    def getall(self, name: str) -> list[str]:
        return [self._text(value) for value in self._values(self._name(name, "getall()"))]

    def add(self, name: str, value: str) -> None:
        data = self._value(value, "add()")
        self._put(name, self._name(name, "add()"), data, "add()", True)

    def set(self, name: str, value: str) -> None:
        data = self._value(value, "set()")
        self._put(name, self._name(name, "set()"), data, "set()", False)

    def remove(self, name: str) -> int:
        return self._remove(self._name(name, "remove()"))

    def __getitem__(self, name: str) -> str:
        values = self._values(self._name(name, "headers[]"), 1)
        if not values:
            raise KeyError(name)
        return self._text(values[0])

    def __setitem__(self, name: str, value: str) -> None:
        data = self._value(value, "headers[] =")
        self._put(name, self._name(name, "headers[] ="), data, "headers[] =", False)

    def __delitem__(self, name: str) -> None:
        if not self.remove(name):
            raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._values(self._name(name, "in"), 1))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        return [self._text(name) for name, _ in self._fields()]

    def values(self) -> list[str]:
        return [self._text(value) for _, value in self._fields()]

    def items(self) -> list[tuple[str, str]]:
        return [(self._text(name), self._text(value)) for name, value in self._fields()]

    @property
    def raw(self) -> RawHeaders:
        return RawHeaders(self._stream, self._direction, self._trailers)

    def __repr__(self) -> str:
        try:
            return f"<Headers {self.items()!r}>"
        except Exception:  # noqa: BLE001
            return "<Headers, gone>"


@final
class RawHeaders(_HeaderMap):
    """As `_dispatch.RawHeaders`."""

    __slots__ = ()

    def _name(self, name: object, what: str) -> bytes | None:
        if isinstance(name, str):
            try:
                return self._wire_name(name.encode("latin-1"))
            except UnicodeEncodeError:
                return None
        if isinstance(name, bytes | bytearray | memoryview):
            return self._wire_name(bytes(name))
        raise TypeError(f"{what}: a raw header name is bytes, not {type(name).__name__}")

    def _value(self, value: object, what: str) -> bytes:
        if isinstance(value, str):
            raise TypeError(f"{what}: a raw header value is bytes, not str")
        try:
            return bytes(memoryview(value))  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(f"{what} takes bytes, not {type(value).__name__}") from None

    def get(self, name: bytes | str, default: Any = None) -> Any:
        values = self._values(self._name(name, "raw.get()"), 1)
        return values[0] if values else default

    def getall(self, name: bytes | str) -> list[bytes]:
        return self._values(self._name(name, "raw.getall()"))

    def add(self, name: bytes | str, value: bytes) -> None:
        data = self._value(value, "raw.add()")
        self._put(name, self._name(name, "raw.add()"), data, "raw.add()", True)

    def set(self, name: bytes | str, value: bytes) -> None:
        data = self._value(value, "raw.set()")
        self._put(name, self._name(name, "raw.set()"), data, "raw.set()", False)

    def remove(self, name: bytes | str) -> int:
        return self._remove(self._name(name, "raw.remove()"))

    def __getitem__(self, name: bytes | str) -> bytes:
        values = self._values(self._name(name, "raw[]"), 1)
        if not values:
            raise KeyError(name)
        return values[0]

    def __setitem__(self, name: bytes | str, value: bytes) -> None:
        data = self._value(value, "raw[] =")
        self._put(name, self._name(name, "raw[] ="), data, "raw[] =", False)

    def __delitem__(self, name: bytes | str) -> None:
        if not self.remove(name):
            raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str | bytes) and bool(self._values(self._name(name, "in"), 1))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.keys())

    def keys(self) -> list[bytes]:
        return [name for name, _ in self._fields()]

    def values(self) -> list[bytes]:
        return [value for _, value in self._fields()]

    def items(self) -> list[tuple[bytes, bytes]]:
        return self._fields()

    def __repr__(self) -> str:
        return f"<RawHeaders of {self.items()!r}>"


class _Message:
    __slots__ = ("_direction", "_stream", "headers", "trailers")

    def __init__(self, stream: Stream, direction: int) -> None:
        self._stream = stream
        self._direction = direction
        self.headers = Headers(stream, direction, False)
        self.trailers = Headers(stream, direction, True)

    @property
    def body(self) -> Any:
        return self._stream._held(self._direction)

    @property
    def ended(self) -> bool:
        ended: bool = self._stream._ended(self._direction)
        return ended

    def _pseudo(self, name: bytes) -> str:
        values = self.headers._values(name, 1)
        return self.headers._text(values[0]) if values else ""

    def _set_pseudo(self, name: bytes, value: object, what: str) -> None:
        data = self.headers._value(value, what)
        result = _HOST.headers_set(self.headers._writable(), _slice(name), _slice(data))
        if result == _EINVAL:
            raise ValueError(f"{what}: {value!r:.80} is no value for it")
        if result < 0:
            raise _refused(result, what)


def _pseudo(name: str) -> Any:
    key = f":{name}".encode()

    def get(self: _Message) -> str:
        return self._pseudo(key)

    def put(self: _Message, value: str) -> None:
        self._set_pseudo(key, value, name)

    return property(get, put)


@final
class Request(_Message):
    """As `_dispatch.Request`."""

    __slots__ = ()
    method, path, authority, scheme = (
        _pseudo(name) for name in ("method", "path", "authority", "scheme")
    )


@final
class Response(_Message):
    """As `_dispatch.Response`."""

    __slots__ = ()

    @property
    def status(self) -> int:
        value = self._pseudo(b":status")
        return int(value) if value else 0

    @status.setter
    def status(self, value: int) -> None:
        checked = _reply.check_status(value, "status")
        self._set_pseudo(b":status", str(checked), "status")


@final
class Stream(Gate):
    """As `_dispatch.Stream`."""

    @property
    def request(self) -> Request:
        return Request(self, 0)

    @property
    def response(self) -> Response:
        return Response(self, 1)

    def __repr__(self) -> str:
        return "<Stream, gone>" if self._gone() else f"<Stream of filter {self.place.name!r}>"


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
    acted: bool = stream.acted
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


def _group(filters: Any, count: int, ran: Any, run: Callable[[Any], tuple[int, bool]]) -> int:
    status = 0
    for index in range(count):
        if index:
            slot = filters[index].slot
            slot.filter = filters[index].name
            slot.sequence += 1
        status, acted = run(filters[index])
        ran[0] = index + 1
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


@_callback()
def mbpy_cffi_stream_complete(c: Any) -> None:
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
def mbpy_cffi_scheduled(c: Any, event: int) -> None:
    stream = _streams.get(int(ffi.cast("uintptr_t", c)))
    if stream is not None:
        stream._enter(stream.place, -1)
        _runtime.scheduled(stream, event)


@_callback()
def mbpy_cffi_destroy(c: Any) -> None:
    stream = _streams.pop(int(ffi.cast("uintptr_t", c)), None)
    if stream is not None:
        stream._detach()


@ffi.def_extern(error=_ECONFIG)  # type: ignore[untyped-decorator]
def mbpy_cffi_config_new(context: Any, args: Any, config: Any, wants: Any) -> int:
    worker = _workers[int(ffi.cast("uintptr_t", context))]
    try:
        place = _runtime.place_for(worker, _bytes(args.config), _bytes(args.name))
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
    group = ffi.new("mb_group_hooks *")
    group.headers, group.body = lib.mbpy_cffi_group_headers, lib.mbpy_cffi_group_body
    module_name = ffi.new("char[]", b"moebridge")
    module = ffi.new("mb_module *")
    module.abi_version = lib.MB_ABI_VERSION
    module.struct_size = ffi.sizeof("mb_module")
    module.name = module_name
    module.filters, module.filter_count, module.group = kind, 1, group
    module.on_batch_end = lib.mbpy_cffi_batch_end
    context = int(ffi.cast("uintptr_t", module))
    module.context = ffi.cast("void *", context)
    _workers[context] = worker
    _keep[context] = (hooks, name, kind, group, module_name, module)
    weakref.finalize(worker, _keep.pop, context)
    return context
