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
from dataclasses import dataclass, field
from enum import IntEnum
from types import TracebackType

from hpack import Decoder

__all__ = [
    "Answer",
    "Code",
    "Ended",
    "Flag",
    "Frame",
    "Kind",
    "RawH2",
    "Setting",
    "frame",
    "literal",
    "reset",
    "settings",
    "window_update",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TIMEOUT_S = 20.0
LARGEST_WINDOW = 2**31 - 1
#: Of the connection, unless a test closes it.
OPEN_WINDOW = 2**30
#: Of a client that is to be slow: the kernel keeps little for it, on both sides.
SMALL_BUFFER = 4096
SMALL_SEGMENT = 536


class Kind(IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9
    UNKNOWN = 0x42


class Flag(IntEnum):
    """Flags; END_STREAM is ACK too."""

    NONE = 0
    END_STREAM = 1
    ACK = 1
    END_HEADERS = 4
    PADDED = 8
    PRIORITY = 0x20


class Setting(IntEnum):
    """Settings."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5


class Code(IntEnum):
    """Error codes."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class Ended(Exception):
    """The other side has ended the connection."""


@dataclass(frozen=True)
class Frame:
    """A frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of RST_STREAM and GOAWAY."""
        at = 4 if self.kind == Kind.GOAWAY else 0
        return int.from_bytes(self.payload[at : at + 4], "big")


@dataclass
class Answer:
    """What came on a stream."""

    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    #: The code of RST_STREAM.
    reset: int | None = None

    @property
    def status(self) -> int:
        """The status; 0: none yet."""
        return int(self.fields.get(":status", "0"))

    @property
    def over(self) -> bool:
        """Nothing more comes."""
        return self.ended or self.reset is not None


def frame(
    kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int | None = None
) -> bytes:
    """A frame; `length` may lie."""
    size = len(payload) if length is None else length
    head = size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def settings(values: Mapping[int, int] | Iterable[tuple[int, int]] = ()) -> bytes:
    """SETTINGS with these values."""
    pairs = values.items() if isinstance(values, Mapping) else values
    return frame(Kind.SETTINGS, payload=b"".join(struct.pack("!HI", *pair) for pair in pairs))


def window_update(stream: int, increment: int) -> bytes:
    """WINDOW_UPDATE."""
    return frame(Kind.WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def reset(stream: int, code: int = Code.CANCEL) -> bytes:
    """RST_STREAM."""
    return frame(Kind.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def literal(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """A field with a new name: RFC 7541 6.2.1, 6.2.2."""
    assert len(name) < 127
    size = len(value) - 127
    length = bytearray([len(value)] if size < 0 else [127])
    while size >= 0:
        length.append(size & 127 | (128 if size > 127 else 0))
        size = (size >> 7) or -1
    return bytes([64 if indexed else 0, len(name)]) + name + bytes(length) + value


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
        values: Mapping[int, int] | None = None,
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
        self._data = bytearray()
        self._next = 1
        if hello is None:
            hello = PREFACE + settings(values or {})
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
