"""Floods: what each sends, the limit that it is to break, and what that is called.

A flood is a function of the client that yields pieces of bytes; it may read between them. `reads`
says whether the client takes what comes back; where it does not, the kernel keeps little for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.e2e.support.h2_frames import (
    LARGEST_WINDOW,
    Code,
    Flag,
    Kind,
    Setting,
    frame,
    literal,
    reset,
    settings,
    window_update,
)
from tests.e2e.support.h2_raw import RawH2

__all__ = ["FLOODS", "LIMITED", "UNLIMITED", "Flood"]

HEAD = Flag.END_HEADERS
WHOLE = Flag.END_HEADERS | Flag.END_STREAM
#: HPACK's index of the newest entry of the dynamic table, as a whole field: RFC 7541 6.1.
NEWEST = b"\xbe"
#: What a client sends at least that reads nothing: all that is kept for it on the way, and the
#: frames that may wait.
UNREAD_BYTES = 600_000


@dataclass(frozen=True)
class Flood:
    """One kind of flood."""

    name: str
    pieces: Callable[[RawH2], Iterator[bytes]]
    #: Of `http2.*`.
    counter: str
    #: Fields of http2_protocol_options, and of the connection manager, that let it through.
    off: dict[str, Any] | None = None
    off_manager: dict[str, Any] | None = None
    reads: bool = True
    #: The bound that is met first, where that depends on how the bytes come.
    or_counter: str = ""
    code: int = Code.ENHANCE_YOUR_CALM


def block_of(stream: int, block: bytes, *, flags: int = WHOLE, size: int = 16384) -> bytes:
    """HEADERS and as many CONTINUATION as it takes."""
    pieces = [block[at : at + size] for at in range(0, len(block), size)]
    kinds = [Kind.HEADERS] + [Kind.CONTINUATION] * (len(pieces) - 1)
    out = b""
    for number, (kind, piece) in enumerate(zip(kinds, pieces, strict=True)):
        last = Flag.END_HEADERS if number == len(pieces) - 1 else 0
        end = flags & Flag.END_STREAM if kind == Kind.HEADERS else 0
        out += frame(kind, last | end, stream, piece)
    return out


def repeated(one: bytes, total: int = UNREAD_BYTES) -> Iterator[bytes]:
    """The same frame, in pieces of some KiB."""
    piece = one * (8192 // len(one) + 1)
    for _ in range(total // len(piece) + 1):
        yield piece


# -- what asks for answers ---------------------------------------------------------------------

PING = frame(Kind.PING, 0, 0, b"12345678")
#: At a time, and in all: as many as it takes some tenths of a second to read the answers of.
ASKED, ASKED_IN_ALL = 100, 20_000


def ping_unread(_: RawH2) -> Iterator[bytes]:
    """PING, the answers unread."""
    yield from repeated(PING)


def settings_unread(_: RawH2) -> Iterator[bytes]:
    """SETTINGS, the acknowledgements unread."""
    yield from repeated(settings())


def ping(client: RawH2) -> Iterator[bytes]:
    """PING, each answer read."""
    while client.pongs < ASKED_IN_ALL:
        asked = client.pongs + ASKED
        yield PING * ASKED
        while client.pongs < asked:
            client.read()


def settings_read(client: RawH2) -> Iterator[bytes]:
    """SETTINGS, each acknowledgement read."""
    values = [(Setting.INITIAL_WINDOW_SIZE, 65535)] * 4
    while client.pongs < ASKED_IN_ALL // ASKED:
        yield settings(values) * (ASKED - 1)
        client.ping()


def settings_large(_: RawH2) -> Iterator[bytes]:
    """SETTINGS with very many entries."""
    yield settings([(0xF000 + number, 0) for number in range(2000)])


def answers_unread(client: RawH2) -> Iterator[bytes]:
    """Requests whose answers are unread: they wait, and more streams than 100 are refused."""
    for _ in range(400):
        block = client.block("/empty")
        yield b"".join(frame(Kind.HEADERS, WHOLE, client.new_stream(), block) for _ in range(50))


# -- what makes streams that are given up ------------------------------------------------------


def rapid_reset(client: RawH2) -> Iterator[bytes]:
    """Requests, reset at once: CVE-2023-44487."""
    for _ in range(60):
        out = b""
        for _ in range(5):
            stream = client.new_stream()
            out += frame(Kind.HEADERS, WHOLE, stream, client.block("/slow")) + reset(stream)
        yield out


def made_reset(client: RawH2, fault: Callable[[int], bytes], flags: int) -> Iterator[bytes]:
    """Requests with a fault for which the server resets them: CVE-2025-8671."""
    for _ in range(60):
        out = b""
        for _ in range(5):
            stream = client.new_stream()
            fields = [] if flags & Flag.END_STREAM else [("content-length", "1")]
            head = frame(Kind.HEADERS, flags, stream, client.block("/slow", fields))
            out += head + fault(stream)
        yield out


def made_by_window(client: RawH2) -> Iterator[bytes]:
    """The stream's window overflows."""
    yield from made_reset(client, lambda stream: window_update(stream, LARGEST_WINDOW), WHOLE)


def made_by_length(client: RawH2) -> Iterator[bytes]:
    """More body than content-length says."""
    yield from made_reset(client, lambda stream: frame(Kind.DATA, 1, stream, b"12"), HEAD)


def made_by_head(client: RawH2) -> Iterator[bytes]:
    """A field name in upper case."""
    for _ in range(60):
        block = client.block("/slow") + literal(b"Upper", b"x")
        heads = (frame(Kind.HEADERS, WHOLE, client.new_stream(), block) for _ in range(5))
        yield b"".join(heads)


# -- header blocks -----------------------------------------------------------------------------


def continuation(client: RawH2) -> Iterator[bytes]:
    """One block in very many frames."""
    stream, field = client.new_stream(), literal(b"a", b"b")
    yield frame(Kind.HEADERS, Flag.END_STREAM, stream, client.block())
    for _ in range(13):
        yield frame(Kind.CONTINUATION, 0, stream, field)
    yield frame(Kind.CONTINUATION, Flag.END_HEADERS, stream, field)


def continuation_endless(client: RawH2) -> Iterator[bytes]:
    """A block of full frames that never ends."""
    stream = client.new_stream()
    yield frame(Kind.HEADERS, Flag.END_STREAM, stream, client.block())
    for _ in range(200):
        yield frame(Kind.CONTINUATION, 0, stream, literal(b"a", b"b" * 16378))


def bomb(client: RawH2, name: bytes, value: bytes, count: int) -> Iterator[bytes]:
    """A field in the dynamic table, named by one byte very often."""
    head = client.block() + literal(name, value, indexed=True)
    yield block_of(client.new_stream(), head + NEWEST * count)


def hpack_bomb(client: RawH2) -> Iterator[bytes]:
    """Large values by one byte each."""
    yield from bomb(client, b"x-large", b"x" * 4000, 80)


def cookie_crumbs(client: RawH2) -> Iterator[bytes]:
    """Cookies of nothing, by one byte each: CVE-2026-47774."""
    yield from bomb(client, b"cookie", b"", 45_000)


# -- what asks for nothing ---------------------------------------------------------------------


def empty_data(client: RawH2) -> Iterator[bytes]:
    """DATA of no bytes that does not end the stream."""
    stream = client.new_stream()
    yield frame(Kind.HEADERS, HEAD, stream, client.block(method="POST"))
    for _ in range(20):
        yield frame(Kind.DATA, 0, stream) * 50


def padding_only(client: RawH2) -> Iterator[bytes]:
    """DATA of nothing but padding."""
    stream = client.new_stream()
    yield frame(Kind.HEADERS, HEAD, stream, client.block(method="POST"))
    for _ in range(20):
        yield frame(Kind.DATA, Flag.PADDED, stream, b"\x10" + bytes(16)) * 10


def empty_headers(client: RawH2) -> Iterator[bytes]:
    """HEADERS and CONTINUATION of no bytes."""
    stream = client.new_stream()
    yield frame(Kind.HEADERS, 0, stream)
    for _ in range(5):
        yield frame(Kind.CONTINUATION, 0, stream)
    yield frame(Kind.CONTINUATION, Flag.END_HEADERS, stream, client.block())


def priority(_: RawH2) -> Iterator[bytes]:
    """PRIORITY."""
    yield from repeated(frame(Kind.PRIORITY, 0, 1, b"\0\0\0\0\x10"), 20_000)


def window_updates(client: RawH2) -> Iterator[bytes]:
    """WINDOW_UPDATE that nothing was sent for."""
    client.fetch("/one")
    yield from repeated(window_update(0, 1), 20_000)


def unknown(_: RawH2) -> Iterator[bytes]:
    """Frames of a type that nobody knows."""
    yield from repeated(frame(Kind.UNKNOWN, 0, 0, b"what"), 20_000)


def resets_again(client: RawH2) -> Iterator[bytes]:
    """RST_STREAM of a stream that is over."""
    stream = client.request("/one")
    client.answer(stream)
    yield from repeated(reset(stream), 20_000)


MANY = 1_000_000
CONTROL = {"max_outbound_control_frames": MANY, "max_outbound_frames": MANY}
EMPTY = {"max_consecutive_inbound_frames_with_empty_payload": MANY}
PRIORITY = {"max_inbound_priority_frames_per_stream": MANY}
UPDATES = {"max_inbound_window_update_frames_per_data_frame_sent": MANY}
LARGE_HEAD = {"max_request_headers_kb": 8000}

FLOODS = [
    Flood("ping", ping, "inbound_control_frames_flood", CONTROL),
    Flood("settings", settings_read, "inbound_control_frames_flood", CONTROL),
    *(
        Flood(
            name,
            pieces,
            "outbound_control_flood",
            CONTROL,
            reads=False,
            or_counter="inbound_control_frames_flood",
        )
        for name, pieces in (("ping_unread", ping_unread), ("settings_unread", settings_unread))
    ),
    Flood("settings_large", settings_large, "outbound_control_flood"),
    Flood("answers_unread", answers_unread, "premature_resets_flood", reads=False),
    Flood("rapid_reset", rapid_reset, "premature_resets_flood"),
    Flood("made_by_window", made_by_window, "premature_resets_flood"),
    Flood("made_by_length", made_by_length, "premature_resets_flood"),
    Flood("made_by_head", made_by_head, "premature_resets_flood"),
    Flood("continuation", continuation, "inbound_continuation_flood", {}, {**LARGE_HEAD}),
    Flood("continuation_endless", continuation_endless, "inbound_continuation_flood"),
    Flood("hpack_bomb", hpack_bomb, "header_overflow", {}, LARGE_HEAD),
    Flood("cookie_crumbs", cookie_crumbs, "header_overflow", {}, LARGE_HEAD),
    Flood("empty_data", empty_data, "inbound_empty_frames_flood", EMPTY),
    Flood("padding_only", padding_only, "inbound_empty_frames_flood", EMPTY),
    Flood("empty_headers", empty_headers, "inbound_empty_frames_flood", EMPTY),
    Flood("priority", priority, "inbound_priority_frames_flood", PRIORITY),
    Flood("window_updates", window_updates, "inbound_window_update_frames_flood", UPDATES),
    Flood("unknown", unknown, "inbound_other_frames_flood", PRIORITY),
    Flood("resets_again", resets_again, "inbound_other_frames_flood", PRIORITY),
]
#: Those that a configuration can let through, and the others.
LIMITED = [flood for flood in FLOODS if flood.off is not None]
UNLIMITED = [flood for flood in FLOODS if flood.off is None]
