"""What is known about a connection beside its bytes."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["ConnectionInfo"]

# Numbers of mb_connection_info (network_filter.h). The names are those of the attributes.
NUMBERS: Final = {
    "id": 0,
    "bytes_received": 13,
    "bytes_sent": 14,
    "start_us": 15,
    "duration_us": 16,
    "worker": 17,
}
TEXTS: Final = {
    "remote_address": 1,
    "local_address": 2,
    "direct_remote_address": 3,
    "listener": 4,
    "sni": 5,
    "alpn": 6,
    "tls_version": 7,
    "tls_cipher": 8,
    "peer_subject": 9,
    "peer_sha256": 10,
    "cluster": 11,
    "upstream_address": 12,
    "close_details": 18,
}


class ConnectionInfo:
    """Facts about a connection as they are now; read each time they are asked for.

    Texts are None and numbers 0 while they are not known.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def _number(self, which: int) -> int:
        return self._connection._info_number(which) or 0

    def _text(self, which: int) -> str | None:
        text: str | None = self._connection._info_text(which)
        return text

    @property
    def id(self) -> int:
        """The connection's number; never used again in its worker."""
        return self._number(0)

    @property
    def remote_address(self) -> str | None:
        """Gives "ip:port" of the client, as the PROXY protocol says it where that is used."""
        return self._text(1)

    @property
    def local_address(self) -> str | None:
        """Gives "ip:port" that the client connected to."""
        return self._text(2)

    @property
    def direct_remote_address(self) -> str | None:
        """Gives "ip:port" of the peer of the socket."""
        return self._text(3)

    @property
    def listener(self) -> str | None:
        """Name of the listener."""
        return self._text(4)

    @property
    def sni(self) -> str | None:
        """The server name that the client asked for."""
        return self._text(5)

    @property
    def alpn(self) -> str | None:
        """The protocol that TLS agreed on."""
        return self._text(6)

    @property
    def tls_version(self) -> str | None:
        """None in clear text."""
        return self._text(7)

    @property
    def tls_cipher(self) -> str | None:
        """None in clear text."""
        return self._text(8)

    @property
    def peer_subject(self) -> str | None:
        """Subject of the client's certificate."""
        return self._text(9)

    @property
    def peer_sha256(self) -> str | None:
        """Fingerprint of the client's certificate, hexadecimal."""
        return self._text(10)

    @property
    def cluster(self) -> str | None:
        """The cluster that the TCP proxy has chosen."""
        return self._text(11)

    @property
    def upstream_address(self) -> str | None:
        """Gives "ip:port" of the chosen host."""
        return self._text(12)

    @property
    def bytes_received(self) -> int:
        """Bytes from the client so far, before any filter."""
        return self._number(13)

    @property
    def bytes_sent(self) -> int:
        """Bytes sent to the client so far, behind all filters."""
        return self._number(14)

    @property
    def start_us(self) -> int:
        """When it was accepted, microseconds since 1970."""
        return self._number(15)

    @property
    def duration_us(self) -> int:
        """Time since then, or of the whole life once it is closed."""
        return self._number(16)

    @property
    def worker(self) -> int:
        """Index of the worker."""
        return self._number(17)

    @property
    def close_details(self) -> str | None:
        """Why a filter closed it."""
        return self._text(18)


def snapshot(connection: Any) -> dict[int, int | str]:
    """Returns all that is known now, by number."""
    found: dict[int, int | str] = {}
    for number in NUMBERS.values():
        value = connection._info_number(number)
        if value is not None:
            found[number] = value
    for number in TEXTS.values():
        text = connection._info_text(number)
        if text is not None:
            found[number] = text
    return found
