"""What is known about a stream beside its messages."""

from __future__ import annotations

from typing import Any, Final

from moebridge.tls_info import TLS_NUMBERS, TLS_TEXTS, TlsInfo

__all__ = ["Info"]

# Numbers of mb_info (filter.h). The names are those of Info's attributes.
NUMBERS: Final = {
    "id": 0,
    "response_code": 13,
    "bytes_received": 14,
    "bytes_sent": 15,
    "start_us": 16,
    "duration_us": 17,
    "upstream_service_us": 18,
    "attempts": 19,
    "connection_id": 20,
    "worker": 22,
}
TEXTS: Final = {
    "protocol": 1,
    "remote_address": 2,
    "local_address": 3,
    "direct_remote_address": 4,
    "upstream_address": 5,
    "upstream_local_address": 6,
    "cluster": 7,
    "route": 8,
    "virtual_host": 9,
    "request_id": 10,
    "response_flags": 11,
    "response_details": 12,
    "tls_version": 21,
    "listener": 23,
    "upstream_protocol": 37,
}


class Info:
    """Facts about a stream as they are now; read each time they are asked for.

    Texts are None and numbers 0 while they are not known.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def _number(self, which: int) -> int:
        return self._stream._info_number(which) or 0

    def _text(self, which: int) -> str | None:
        text: str | None = self._stream._info_text(which)
        return text

    @property
    def id(self) -> int:
        """The stream's number; never used again in its worker."""
        return self._number(0)

    @property
    def protocol(self) -> str:
        """The client's protocol: "HTTP/1.1"."""
        return self._text(1) or ""

    @property
    def remote_address(self) -> str | None:
        """Gives "ip:port" of the trusted client address."""
        return self._text(2)

    @property
    def local_address(self) -> str | None:
        """Gives "ip:port" that the client connected to."""
        return self._text(3)

    @property
    def direct_remote_address(self) -> str | None:
        """Gives "ip:port" of the peer of the socket."""
        return self._text(4)

    @property
    def upstream_address(self) -> str | None:
        """Gives "ip:port" of the chosen upstream host."""
        return self._text(5)

    @property
    def upstream_local_address(self) -> str | None:
        """Gives "ip:port" that the upstream sees."""
        return self._text(6)

    @property
    def cluster(self) -> str | None:
        """Name of the cluster that the request goes to."""
        return self._text(7)

    @property
    def route(self) -> str | None:
        """Name of the route that matches."""
        return self._text(8)

    @property
    def virtual_host(self) -> str | None:
        """Name of the virtual host that matches."""
        return self._text(9)

    @property
    def request_id(self) -> str | None:
        """x-request-id."""
        return self._text(10)

    @property
    def response_flags(self) -> str:
        """Envoy's short names, "-" for none."""
        return self._text(11) or "-"

    @property
    def response_details(self) -> str | None:
        """Envoy's response code details."""
        return self._text(12)

    @property
    def response_code(self) -> int:
        """The status that was sent to the client; 0 before."""
        return self._number(13)

    @property
    def bytes_received(self) -> int:
        """Bytes of the request's body, so far."""
        return self._number(14)

    @property
    def bytes_sent(self) -> int:
        """Bytes of the response's body, so far."""
        return self._number(15)

    @property
    def start_us(self) -> int:
        """When the first byte came, microseconds since 1970."""
        return self._number(16)

    @property
    def duration_us(self) -> int:
        """Time since then, or of the whole life once the stream is complete."""
        return self._number(17)

    @property
    def upstream_service_us(self) -> int | None:
        """Request sent to first byte of the response."""
        number: int | None = self._stream._info_number(18)
        return number

    @property
    def attempts(self) -> int:
        """Upstream attempts."""
        return self._number(19)

    @property
    def connection_id(self) -> int:
        """The client's connection."""
        return self._number(20)

    @property
    def tls_version(self) -> str | None:
        """None in clear text."""
        return self._text(21)

    @property
    def tls(self) -> TlsInfo | None:
        """The client's TLS connection; None in clear text."""
        return TlsInfo(self._stream) if self._text(21) is not None else None

    @property
    def worker(self) -> int:
        """Index of the worker."""
        return self._number(22)

    @property
    def listener(self) -> str | None:
        """Name of the listener."""
        return self._text(23)

    @property
    def upstream_protocol(self) -> str | None:
        """What is spoken with the upstream: "HTTP/1.1", "HTTP/2"; None before there is one."""
        return self._text(37)


def snapshot(stream: Any) -> dict[int, int | str]:
    """Returns all that is known now, by number."""
    found: dict[int, int | str] = {}
    for number in NUMBERS.values():
        value = stream._info_number(number)
        if value is not None:
            found[number] = value
    for number in TEXTS.values():
        text = stream._info_text(number)
        if text is not None:
            found[number] = text
    if TLS_TEXTS["version"] in found:
        _add_tls(stream, found)
    return found


def _add_tls(stream: Any, found: dict[int, int | str]) -> None:
    for number in TLS_NUMBERS.values():
        value = stream._info_number(number)
        if value is not None:
            found[number] = value
    for number in TLS_TEXTS.values():
        text = stream._info_text(number)
        if text is not None:
            found[number] = text
