"""Streams and messages of the cffi dispatcher: what Stream adds to Gate, in Python."""

from __future__ import annotations

from typing import Any, final

from moebridge import _reply
from moebridge._cffi_headers import EINVAL, HOST, Headers, refused, slice_of
from moebridge._dispatch import StreamGate

__all__ = ["Request", "Response", "Stream"]


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
        result = HOST.headers_set(self.headers._writable(), slice_of(name), slice_of(data))
        if result == EINVAL:
            raise ValueError(f"{what}: {value!r:.80} is no value for it")
        if result < 0:
            raise refused(result, what)


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
class Stream(StreamGate):
    """As `_dispatch.Stream`."""

    @property
    def request(self) -> Request:
        return Request(self, 0)

    @property
    def response(self) -> Response:
        return Response(self, 1)

    def __repr__(self) -> str:
        return "<Stream, gone>" if self._gone() else f"<Stream of filter {self.place.name!r}>"
