"""What other parsers make of a client's bytes, as whole messages up to the first that is none."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import h11
import httptools

__all__ = ["Message", "Reading", "Recorder", "read_h11", "read_httptools"]

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
END_S = 20


@dataclass(frozen=True)
class Message:
    """A request that is complete."""

    method: bytes
    target: bytes
    body: bytes


@dataclass
class Reading:
    """What was read; `refused` when it ended with an error of the peer."""

    messages: list[Message] = field(default_factory=list)
    refused: bool = False


def read_h11(data: bytes) -> Reading:
    """As h11 reads it, answering at once. Empty lines before a request go (RFC 9112 2.2)."""
    reading = Reading()
    while data and not reading.refused:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        for _ in range(2):
            data = data.removeprefix(b"\r\n")
        connection.receive_data(data)
        message = _read_one(connection, reading)
        if message is None or message.method == b"CONNECT":  # a tunnel begins
            break
        reading.messages.append(message)
        connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        connection.send(h11.EndOfMessage())
        if connection.our_state is not h11.DONE:
            break
        data = connection.trailing_data[0]
    return reading


def _read_one(connection: h11.Connection, reading: Reading) -> Message | None:
    method = target = body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                method, target = event.method, event.target
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Message(method, target, body)
            else:
                return None
    except h11.RemoteProtocolError:
        reading.refused = True
        return None


class _Collector:
    def __init__(self) -> None:
        self.reading = Reading()
        self.parser: Any = None
        self.url = b""
        self.body = bytearray()

    def on_message_begin(self) -> None:
        self.url, self.body = b"", bytearray()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        method = self.parser.get_method()
        self.reading.messages.append(Message(method, self.url, bytes(self.body)))


def read_httptools(data: bytes) -> Reading:
    """As llhttp reads it, which is what Node.js and uvicorn use."""
    collector = _Collector()
    collector.parser = httptools.HttpRequestParser(collector)
    try:
        collector.parser.feed_data(data)
    except httptools.HttpParserError:
        collector.reading.refused = True
    return collector.reading


class Recorder:
    """An upstream that keeps every byte it gets and answers what h11 takes for whole requests."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        host, port = self._server.getsockname()
        self.address = f"{host}:{port}"
        #: Bytes of each connection since `clear`.
        self.connections: list[bytearray] = []
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def clear(self) -> None:
        """Forgets; connections that are open go on in lists of their own."""
        for data in self.connections:
            data.clear()

    def received(self) -> list[bytes]:
        """What came on each connection."""
        return [bytes(data) for data in self.connections if data]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                connection.settimeout(END_S)
                self._sockets.append(connection)
                data = bytearray()
                self.connections.append(data)
                serve: Callable[..., None] = self._serve
                threading.Thread(target=serve, args=(connection, data), daemon=True).start()

    def _serve(self, connection: socket.socket, data: bytearray) -> None:
        answered = b""
        with contextlib.suppress(OSError), connection:
            while piece := connection.recv(65536):
                if not data:
                    answered = b""
                data += piece
                whole = len(read_h11(bytes(data)).messages)
                missing = ANSWER * whole
                connection.sendall(missing[len(answered) :])
                answered = missing

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(END_S)
