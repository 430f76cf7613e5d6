"""A raw HTTP/2 client: every frame is made by hand, so that it can be wrong. RFC 9113.

What it reads it understands far enough to answer SETTINGS and PING and to keep windows open; each
of these can be switched off.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Mapping
from types import TracebackType

from hpack import Decoder

from .h2_frames import (
    LARGEST_WINDOW,
    PREFACE,
    Answer,
    Flag,
    Frame,
    Kind,
    Setting,
    frame,
    literal,
    settings,
    window_update,
)

__all__ = ["Ended", "RawH2"]

TIMEOUT_S = 20.0
#: Of the connection, unless a test closes it.
OPEN_WINDOW = 2**30
PROTOCOL_WINDOW = 65535
#: Of a client that is to be slow: the kernel keeps little for it, on both sides.
SMALL_BUFFER = 4096
SMALL_SEGMENT = 536


class Ended(Exception):
    """The other side has ended the connection."""


class RawH2:
    """One connection (h2c by prior knowledge, or TLS with `context`).

    Args:
        address: `ip:port`.
        hello: what is sent first; default: the preface and SETTINGS with `values`.
        values: settings.
        windows: False: no WINDOW_UPDATE is sent for what comes, nor a large one at the start.
        acks: False: SETTINGS and PING are not answered.
        small: the kernel buffers little of what the client does not read.
        context: TLS.
    """

    def __init__(
        self,
        address: str,
        *,
        hello: bytes | None = None,
        values: Mapping[Setting, int] | None = None,
        windows: bool = True,
        acks: bool = True,
        small: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        host, _, port = address.rpartition(":")
        self.socket: socket.socket = socket.socket()
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="test.local")
        self.windows, self.acks = windows, acks
        #: Bytes of HTTP/2, both ways.
        self.sent = self.received = 0
        #: All that came, by stream, and the codes of GOAWAY.
        self.answers: dict[int, Answer] = {}
        self.goaways: list[tuple[int, int]] = []
        self.pongs = 0
        self._decoder = Decoder()
        self._decoder.max_header_list_size = 1 << 20
        #: What may be sent: of each stream's body, and of all (0).
        self._rooms: dict[int, int] = {0: PROTOCOL_WINDOW}
        self._first_room = PROTOCOL_WINDOW
        self._data = bytearray()
        self._next = 1
        if hello is None:
            hello = PREFACE + settings((values or {}).items())
            if windows:
                hello += window_update(0, OPEN_WINDOW)
        if hello:
            self.send(hello)

    def __enter__(self) -> RawH2:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    # -- sending ---------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Sends bytes as they are.

        Raises:
            Ended: the other side takes no more.
        """
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError) as error:
            raise Ended from error
        self.sent += len(data)

    def new_stream(self) -> int:
        """The number of the next stream."""
        self._next += 2
        return self._next - 2

    @staticmethod
    def block(
        path: str = "/", fields: Iterable[tuple[str, str]] = (), *, method: str = "GET"
    ) -> bytes:
        """A request's header block, that leaves no trace in the dynamic table."""
        head = [
            (":method", method),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test.local"),
        ]
        return b"".join(literal(name.encode(), value.encode()) for name, value in [*head, *fields])

    def request(
        self,
        path: str = "/",
        fields: Iterable[tuple[str, str]] = (),
        *,
        method: str = "GET",
        end: bool = True,
    ) -> int:
        """Sends a request's head; returns its stream."""
        stream = self.new_stream()
        flags = Flag.END_HEADERS | (Flag.END_STREAM if end else 0)
        self.send(frame(Kind.HEADERS, flags, stream, self.block(path, fields, method=method)))
        return stream

    def room(self, stream: int) -> int:
        """How much body may be sent on a stream now."""
        return min(self._rooms[0], self._rooms.setdefault(stream, self._first_room))

    def send_data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Sends body, for which there is room."""
        assert len(data) <= self.room(stream)
        self._rooms[0] -= len(data)
        self._rooms[stream] -= len(data)
        self.send(frame(Kind.DATA, Flag.END_STREAM if end else 0, stream, data))

    def _windows_changed(self, got: Frame) -> None:
        if got.kind == Kind.WINDOW_UPDATE:
            room = self._rooms.setdefault(got.stream, self._first_room)
            self._rooms[got.stream] = room + int.from_bytes(got.payload, "big")
            return
        for at in range(0, len(got.payload), 6):
            key, value = struct.unpack_from("!HI", got.payload, at)
            if key == Setting.INITIAL_WINDOW_SIZE:
                for stream in self._rooms.keys() - {0}:
                    self._rooms[stream] += value - self._first_room
                self._first_room = value

    # -- reading ---------------------------------------------------------------------------------

    def read(self) -> Frame:
        """Reads a frame, and does what it asks for.

        Raises:
            Ended: the connection has ended.
            TimeoutError: nothing came in time.
        """
        while len(self._data) < 9 or len(self._data) < 9 + int.from_bytes(self._data[:3], "big"):
            self._more()
        length = int.from_bytes(self._data[:3], "big")
        stream = int.from_bytes(self._data[5:9], "big") & LARGEST_WINDOW
        got = Frame(self._data[3], self._data[4], stream, bytes(self._data[9 : 9 + length]))
        del self._data[: 9 + length]
        self._act(got)
        return got

    def _more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
            raise Ended from error
        if not data:
            raise Ended
        self._data += data
        self.received += len(data)

    def _act(self, got: Frame) -> None:
        answer = self.answers.setdefault(got.stream, Answer()) if got.stream else Answer()
        if got.kind == Kind.HEADERS:
            fields = self._decoder.decode(got.payload)
            answer.fields.update({str(name): str(value) for name, value in fields})
        elif got.kind == Kind.DATA:
            answer.body += got.payload
            if self.windows and got.payload:
                both = window_update(0, len(got.payload))
                if not got.flags & Flag.END_STREAM:
                    both += window_update(got.stream, len(got.payload))
                self._say(both)
        elif got.kind == Kind.RST_STREAM:
            answer.reset = got.code
        elif got.kind == Kind.GOAWAY:
            self.goaways.append((int.from_bytes(got.payload[:4], "big"), got.code))
        elif got.kind in (Kind.SETTINGS, Kind.PING):
            if got.flags & Flag.ACK:
                self.pongs += got.kind == Kind.PING
            elif self.acks:
                payload = got.payload if got.kind == Kind.PING else b""
                self._say(frame(got.kind, Flag.ACK, 0, payload))
        if got.kind in (Kind.WINDOW_UPDATE, Kind.SETTINGS):
            self._windows_changed(got)
        if got.kind in (Kind.HEADERS, Kind.DATA) and got.flags & Flag.END_STREAM:
            answer.ended = True

    def _say(self, data: bytes) -> None:
        with contextlib.suppress(Ended):  # what has come may still be read
            self.send(data)

    def answer(self, stream: int) -> Answer:
        """Reads until a stream is over."""
        while not self.answers.setdefault(stream, Answer()).over:
            self.read()
        return self.answers[stream]

    def fetch(self, path: str = "/", fields: Iterable[tuple[str, str]] = ()) -> Answer:
        """A request and its answer."""
        return self.answer(self.request(path, fields))

    def ping(self) -> None:
        """Reads until what was sent before has been dealt with."""
        before = self.pongs
        self.send(frame(Kind.PING, 0, 0, b"12345678"))
        while self.pongs == before:
            self.read()

    def end(self, within_s: float) -> int | None:
        """Reads to the end of the connection; the code of the last GOAWAY, None: there was none.

        Raises:
            TimeoutError: it has not ended within the time.
        """
        deadline = time.monotonic() + within_s
        with contextlib.suppress(Ended):
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"not closed within {within_s} s")
                self.socket.settimeout(left)
                self.read()
        return self.goaways[-1][1] if self.goaways else None
