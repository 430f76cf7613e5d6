"""A blocking client on a raw socket: sends exactly the bytes it is told, reads whole responses."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from .messages import Fields, Response, head, parse_head

__all__ = ["ClosedEarly", "RawClient", "fetch"]

TIMEOUT_S = 20.0


class ClosedEarly(Exception):
    """The connection ended inside a response; `partial` is what had come."""

    def __init__(self, partial: bytes) -> None:
        super().__init__(f"closed after {len(partial)} bytes: {partial[-80:]!r}")
        self.partial = partial


class RawClient:
    """One connection."""

    def __init__(self, address: str, *, timeout_s: float = TIMEOUT_S) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self.socket.close()

    def abort(self) -> None:
        """Closes it with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.socket.sendall(data)

    def send_bytewise(self, data: bytes) -> None:
        """Sends each byte in a packet of its own."""
        for byte in data:
            self.socket.sendall(bytes([byte]))

    def request(
        self,
        method: str = "GET",
        target: str = "/",
        fields: Iterable[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] | None = None,
    ) -> Response:
        """Sends a request and reads its response.

        Args:
            method: the method.
            target: the target.
            fields: field lines; `host` is added where it is missing.
            body: bytes go with content-length, an iterable goes chunked, each item a chunk.
        """
        self.start(method, target, fields, body)
        return self.read_response(method)

    def start(
        self,
        method: str = "GET",
        target: str = "/",
        fields: Iterable[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] | None = None,
    ) -> None:
        """Sends a request, as `request`, and reads nothing."""
        lines = list(fields)
        if not any(name.lower() == "host" for name, _ in lines):
            lines.insert(0, ("host", "test.local"))
        start = f"{method} {target} HTTP/1.1"
        if body is None:
            self.send(head(start, lines))
        elif isinstance(body, bytes):
            self.send(head(start, [*lines, ("content-length", str(len(body)))]) + body)
        else:
            self.send(head(start, [*lines, ("transfer-encoding", "chunked")]))
            for piece in body:
                if piece:
                    self.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.send(b"0\r\n\r\n")

    def read_response(self, method: str = "GET") -> Response:
        """Reads one response; 1xx are counted and passed over.

        Raises:
            ClosedEarly: the connection ended before the response did.
        """
        interim: list[int] = []
        while True:
            response = self.read_head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response.status)
        response.interim = interim
        if method != "HEAD" and response.status not in (204, 304):
            for piece in self.body_pieces(response):
                response.body += piece
        return response

    def read_head(self) -> Response:
        """Reads a status line and the fields."""
        start, fields = parse_head(self._until(b"\r\n\r\n"))
        version, status = start.split(" ", 2)[:2]
        assert version == "HTTP/1.1", start
        return Response(int(status), fields)

    def body_pieces(self, response: Response) -> Iterator[bytes]:
        """Reads the body as it comes; chunk sizes and trailers are noted in `response`."""
        if response.get("transfer-encoding") == "chunked":
            while size := int(self._until(b"\r\n").split(b";")[0], 16):
                response.chunks.append(size)
                yield self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            response.trailers = self._trailers()
        elif response.has("content-length"):
            left = int(response.get("content-length"))
            while left:
                piece = self._some(left)
                left -= len(piece)
                yield piece
        else:
            with contextlib.suppress(ClosedEarly):
                while True:
                    yield self._some(65536)

    def _trailers(self) -> Fields:
        fields: Fields = []
        while line := self._until(b"\r\n"):
            fields += parse_head(b"\r\n" + line)[1]
        return fields

    def read_to_end(self) -> bytes:
        """All bytes up to the end of the connection."""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                self._data += data
        return bytes(self._data)

    def is_closed(self) -> bool:
        """Waits for the end of the connection; False when bytes come instead."""
        if self._data:
            return False
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except ConnectionResetError:
            return True

    def _more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise ClosedEarly(bytes(self._data))
        self._data += data

    def _until(self, end: bytes) -> bytes:
        while (at := self._data.find(end)) < 0:
            self._more()
        found = bytes(self._data[:at])
        del self._data[: at + len(end)]
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            self._more()
        return self._some(size)

    def _some(self, most: int) -> bytes:
        if not self._data:
            self._more()
        found = bytes(self._data[:most])
        del self._data[:most]
        return found


def fetch(
    address: str,
    target: str = "/",
    *,
    method: str = "GET",
    fields: Iterable[tuple[str, str]] = (),
    body: bytes | Iterable[bytes] | None = None,
) -> Response:
    """One request on a connection of its own."""
    with RawClient(address) as client:
        return client.request(method, target, fields, body)
