"""HTTP/2 frames made by hand, so that they can be wrong, and what comes back. RFC 9113."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

__all__ = [
    "LARGEST_WINDOW",
    "PREFACE",
    "Answer",
    "Code",
    "Flag",
    "Frame",
    "Kind",
    "Setting",
    "frame",
    "literal",
    "reset",
    "settings",
    "window_update",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST_WINDOW = 2**31 - 1


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


def settings(values: Iterable[tuple[int, int]] = ()) -> bytes:
    """SETTINGS with these values."""
    return frame(Kind.SETTINGS, payload=b"".join(struct.pack("!HI", *pair) for pair in values))


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
