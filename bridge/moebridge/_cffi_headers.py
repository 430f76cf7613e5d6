"""Header maps of the cffi dispatcher: what _dispatch_headers.pxi does, in Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, final

from moebridge._core_api import ffi, lib
from moebridge.errors import FilterError

if TYPE_CHECKING:
    from moebridge._cffi_stream import Stream

__all__ = ["Headers", "RawHeaders"]

HOST: Final = lib.mb_host_table()
EINVAL: Final = -3
_EPHASE: Final = -5


def slice_of(data: bytes) -> Any:
    return ffi.new("mb_slice *", {"ptr": ffi.from_buffer(data), "len": len(data)})[0]


def bytes_of(part: Any) -> bytes:
    return ffi.buffer(part.ptr, part.len)[:] if part.len else b""


def refused(result: int, what: str) -> Exception:
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
        out, key = ffi.new("mb_slice *"), slice_of(name)
        while HOST.headers_get(found, key, len(values), out) > 0:
            values.append(bytes_of(out))
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
        function = HOST.headers_add if add and wire != b":authority" else HOST.headers_set
        result = function(found, slice_of(wire), slice_of(value))
        if result == EINVAL:
            if any(byte in value for byte in b"\r\n\0"):
                raise ValueError(f"{what}: the value of {name!r:.80} has CR, LF or NUL in it")
            raise ValueError(
                f"{what}: {name!r:.80} is no header name, or {value!r:.80} no value for it"
            )
        if result < 0:
            raise refused(result, what)

    def _remove(self, wire: bytes | None) -> int:
        found = self._writable()
        if wire is None:
            return 0
        if wire == b":authority":
            raise ValueError("remove(): a request keeps its host; set .authority instead")
        result: int = HOST.headers_remove(found, slice_of(wire))
        if result < 0:
            raise ValueError("remove(): that is no header name")
        return result

    def _fields(self) -> list[tuple[bytes, bytes]]:
        found = self._map()
        if not found:
            return []
        field = ffi.new("mb_header *")
        fields = []
        for index in range(HOST.headers_count(found)):
            if HOST.headers_at(found, index, field) < 0:
                break
            fields.append((bytes_of(field.name), bytes_of(field.value)))
        return fields

    def __len__(self) -> int:
        found = self._map()
        return HOST.headers_count(found) if found else 0


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
