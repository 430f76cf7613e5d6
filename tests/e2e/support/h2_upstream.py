"""An HTTP/2 upstream (h2c, prior knowledge) whose behaviour a test writes as a script.

`H2Upstream(script)` runs `script(peer, number)` on a thread for each connection, `number` counting
them from 0. The script reads requests and answers them, well or badly; when it returns the
connection is closed.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes, Settings

__all__ = ["H2Upstream", "Peer", "Script", "echo_path"]

TIMEOUT_S = 20

Script = Callable[["Peer", int], None]


def _fields(headers: Iterable[Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers}


class Gone(Exception):
    """The other side has closed the connection."""


class Peer:
    """One connection, as the script sees it."""

    def __init__(
        self, sock: socket.socket, settings: dict[SettingCodes, int] | None, *, quiet: bool = False
    ) -> None:
        self.sock = sock
        #: Keeps everything back, SETTINGS too, until a `flush` without it.
        self.quiet = quiet
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        if settings is not None:
            self.h2.local_settings = Settings(client=False, initial_values=settings)
        self.h2.initiate_connection()
        self.flush()
        self._events: deque[Event] = deque()
        #: Gives the windows of uploads back as their bytes come.
        self.acknowledge = True
        #: Streams whose request has ended, by number: its fields.
        self.requests: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytearray] = {}
        self.trailers: dict[int, dict[str, str]] = {}
        self.resets: Counter[int] = Counter()

    def flush(self) -> None:
        """Sends what the library has to say."""
        if self.quiet:
            return
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def event(self) -> Event:
        """The next event; `Gone` at the end of the connection."""
        while not self._events:
            data = self.sock.recv(65536)
            if not data:
                raise Gone
            self._events.extend(self.h2.receive_data(data))
            self.flush()
        event = self._events.popleft()
        if isinstance(event, RequestReceived):
            self.requests[event.stream_id] = _fields(event.headers)
            self.bodies[event.stream_id] = bytearray()
        elif isinstance(event, DataReceived):
            self.bodies[event.stream_id] += event.data
            if self.acknowledge and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.flush()
        elif isinstance(event, TrailersReceived):
            self.trailers[event.stream_id] = _fields(event.headers)
        elif isinstance(event, StreamReset):
            self.resets[int(event.error_code)] += 1
        return event

    def request(self) -> int:
        """Waits for the head of a request; returns its stream."""
        while True:
            event = self.event()
            if isinstance(event, RequestReceived):
                return int(event.stream_id)

    def ended(self) -> int:
        """Waits for the end of a request; returns its stream."""
        while True:
            event = self.event()
            if isinstance(event, StreamEnded):
                return int(event.stream_id)
            if isinstance(event, ConnectionTerminated):
                raise Gone

    def pong(self) -> None:
        """Waits for the answer to a PING."""
        while not isinstance(self.event(), PingAckReceived):
            pass

    def respond(self, stream: int, body: bytes = b"", status: str = "200") -> None:
        """Answers a request; the body must fit the windows."""
        self.h2.send_headers(stream, [(":status", status)], end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        self.flush()

    def reset(self, stream: int, code: int) -> None:
        """RST_STREAM."""
        self.h2.reset_stream(stream, code)
        self.flush()

    def goaway(self, last: int) -> None:
        """GOAWAY, as a raw frame: the library would refuse to go on."""
        frame = b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + bytes(4)
        self.flush()
        self.sock.sendall(frame)

    def run_until_gone(self, each: Callable[[int], None]) -> None:
        """Answers each request that has ended with `each(stream)` until the other side closes."""
        while True:
            each(self.ended())


def echo_path(peer: Peer, number: int) -> None:
    """Answers every request with its path."""

    def answer(stream: int) -> None:
        peer.respond(stream, peer.requests[stream][":path"].encode())

    del number
    peer.run_until_gone(answer)


class H2Upstream:
    """A listening upstream, between `with` and its end."""

    def __init__(
        self,
        script: Script = echo_path,
        *,
        settings: dict[SettingCodes, int] | None = None,
        quiet: bool = False,
    ) -> None:
        self.script = script
        self.settings = settings
        self.quiet = quiet
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        host, port = self.listener.getsockname()
        self.address = f"{host}:{port}"
        self.peers: list[Peer] = []
        #: What scripts raised.
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._run, args=(sock, len(self._threads)))
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(TIMEOUT_S)
        with sock:
            try:
                peer = Peer(sock, self.settings, quiet=self.quiet)
                self.peers.append(peer)
                self.script(peer, number)
            except (Gone, ConnectionError):
                pass
            except BaseException as error:  # noqa: BLE001 - told to the test's thread
                self.errors.append(error)

    def __enter__(self) -> H2Upstream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        if kind is None and self.errors:
            raise self.errors[0]
