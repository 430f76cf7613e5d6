"""Clients that break the protocol: the connection ends with the right word, and no other does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.e2e.h2.conftest import FrontMaker
from tests.e2e.h2.neighbour import Neighbour
from tests.e2e.support.h2_frames import (
    LARGEST_WINDOW,
    PREFACE,
    Code,
    Flag,
    Kind,
    frame,
    literal,
    settings,
    window_update,
)
from tests.e2e.support.h2_raw import RawH2

WITHIN_S = 2.0
HEAD = Flag.END_HEADERS
WHOLE = Flag.END_HEADERS | Flag.END_STREAM
Bytes = Callable[[RawH2], bytes]


def opened(client: RawH2, *, whole: bool = False) -> tuple[int, bytes]:
    """A request to a stream that stays open."""
    stream = client.new_stream()
    return stream, frame(Kind.HEADERS, WHOLE if whole else HEAD, stream, client.block("/slow"))


def after_end(client: RawH2) -> bytes:
    """DATA on a stream that the client has ended."""
    stream, head = opened(client, whole=True)
    return head + frame(Kind.DATA, 0, stream, b"more")


def zero_update(client: RawH2) -> bytes:
    """A window is opened by nothing."""
    stream, head = opened(client)
    return head + window_update(stream, 0)


def padding(client: RawH2) -> bytes:
    """More padding than frame."""
    stream, head = opened(client)
    return head + frame(Kind.DATA, Flag.PADDED, stream, b"\xff" + bytes(100))


def padding_of_head(client: RawH2) -> bytes:
    """More padding than frame, of a head."""
    return frame(Kind.HEADERS, WHOLE | Flag.PADDED, client.new_stream(), b"\xff" + client.block())


def promise(client: RawH2) -> bytes:
    """PUSH_PROMISE from a client."""
    stream, head = opened(client)
    return head + frame(Kind.PUSH_PROMISE, HEAD, stream, b"\0\0\0\2" + client.block())


def foreign_frame_in_block(client: RawH2) -> bytes:
    """Something else between HEADERS and CONTINUATION."""
    stream = client.new_stream()
    return frame(Kind.HEADERS, 0, stream, client.block()) + frame(Kind.PING, payload=bytes(8))


def large_frame(client: RawH2) -> bytes:
    """DATA of more than the largest frame."""
    stream, head = opened(client)
    return head + frame(Kind.DATA, 0, stream, bytes(16385))


FAULTS: dict[str, tuple[Bytes, Code]] = {
    "after_end": (after_end, Code.STREAM_CLOSED),
    "zero_update": (zero_update, Code.PROTOCOL_ERROR),
    "zero_update_of_all": (lambda _: window_update(0, 0), Code.PROTOCOL_ERROR),
    "overflow_of_all": (lambda _: window_update(0, LARGEST_WINDOW), Code.FLOW_CONTROL_ERROR),
    "padding": (padding, Code.PROTOCOL_ERROR),
    "padding_of_head": (padding_of_head, Code.PROTOCOL_ERROR),
    "promise": (promise, Code.PROTOCOL_ERROR),
    "foreign_frame_in_block": (foreign_frame_in_block, Code.PROTOCOL_ERROR),
    "continuation_of_nothing": (
        lambda client: frame(Kind.CONTINUATION, HEAD, 1, client.block()),
        Code.PROTOCOL_ERROR,
    ),
    "data_of_nothing": (lambda _: frame(Kind.DATA, 0, 7, b"x"), Code.PROTOCOL_ERROR),
    "data_of_all": (lambda _: frame(Kind.DATA, 0, 0, b"x"), Code.PROTOCOL_ERROR),
    "even_stream": (
        lambda client: frame(Kind.HEADERS, WHOLE, 2, client.block()),
        Code.PROTOCOL_ERROR,
    ),
    "large_frame": (large_frame, Code.FRAME_SIZE_ERROR),
    "large_frame_begun": (
        lambda _: frame(Kind.UNKNOWN, 0, 0, length=2**24 - 1),
        Code.FRAME_SIZE_ERROR,
    ),
    "short_ping": (lambda _: frame(Kind.PING, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
    "settings_of_stream": (lambda _: frame(Kind.SETTINGS, 0, 1), Code.PROTOCOL_ERROR),
    "ack_unasked": (lambda _: frame(Kind.SETTINGS, 1) * 3, Code.PROTOCOL_ERROR),
    "window_setting": (lambda _: settings([(4, 2**31)]), Code.FLOW_CONTROL_ERROR),
    "frame_size_setting": (lambda _: settings([(5, 1)]), Code.PROTOCOL_ERROR),
    "hpack": (
        lambda client: frame(Kind.HEADERS, WHOLE, client.new_stream(), b"\xff" * 9),
        Code.COMPRESSION_ERROR,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_broken_frame_ends_its_connection_and_no_other(front: FrontMaker, name: str) -> None:
    make, code = FAULTS[name]
    core = front()
    with Neighbour(core.address), RawH2(core.address) as client:
        assert client.fetch("/one").body == b"1"
        client.send(make(client))
        assert client.end(WITHIN_S) == code
    stats = core.stats()
    assert stats["http.ingress.downstream_cx_protocol_error"] == 1
    assert stats["http2.goaway_sent"] == 1
    assert stats["http2.streams_active"] == 0


@pytest.mark.parametrize("cut", [1, len(PREFACE) - 1])
def test_preface_that_is_none_is_not_http2(front: FrontMaker, cut: int) -> None:
    core = front(codec_type="HTTP2")
    with RawH2(core.address, hello=PREFACE[:cut] + b"?" + PREFACE[cut:]) as client:
        client.end(WITHIN_S)
    assert core.stats()["http.ingress.downstream_cx_protocol_error"] == 1


BAD_HEADS = {
    "upper_case": [(b"Upper", b"x")],
    "connection": [(b"connection", b"close")],
    "transfer_encoding": [(b"transfer-encoding", b"chunked")],
    "te": [(b"te", b"gzip")],
    "pseudo_at_the_end": [(b"x", b"y"), (b":method", b"GET")],
    "pseudo_twice": [(b":path", b"/other")],
    "pseudo_of_response": [(b":status", b"200")],
    "another_host": [(b"host", b"elsewhere")],
    "line_break": [(b"x", b"a\r\nb")],
    "nul": [(b"x", b"a\0b")],
    "length": [(b"content-length", b"1, 2")],
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_malformed_head_resets_its_stream_only(front: FrontMaker, name: str) -> None:
    core = front()
    with RawH2(core.address) as client:
        stream = client.new_stream()
        block = client.block() + b"".join(literal(*field) for field in BAD_HEADS[name])
        client.send(frame(Kind.HEADERS, WHOLE, stream, block))
        assert client.answer(stream).reset == Code.PROTOCOL_ERROR
        assert client.fetch("/one").body == b"1"
    assert core.stats()["http2.rx_messaging_error"] == 1


def test_padding_and_unknown_frames_and_flags_are_fine(front: FrontMaker) -> None:
    core = front()
    with RawH2(core.address) as client:
        stream = client.new_stream()
        block = b"\x05" + client.block("/echo", method="POST") + bytes(5)
        out = frame(Kind.HEADERS, HEAD | Flag.PADDED, stream, block)
        out += frame(Kind.UNKNOWN, 0xFF, stream, b"?")
        out += frame(Kind.DATA, Flag.PADDED | 0x40, stream, b"\x02some" + bytes(2))
        out += frame(Kind.DATA, Flag.PADDED | Flag.END_STREAM, stream, b"\x00body")
        client.send(out)
        assert b'"body": "somebody"' in client.answer(stream).body


def test_client_that_said_goodbye_gets_all_it_asks_for(front: FrontMaker) -> None:
    core = front()
    with RawH2(core.address) as client:
        first = client.request("/echo", method="POST", end=False)
        client.send(frame(Kind.GOAWAY, 0, 0, bytes(8)))
        for _ in range(3):
            assert client.fetch("/one").body == b"1"
            client.send(frame(Kind.GOAWAY, 0, 0, bytes(8)))
        client.send_data(first, b"late", end=True)
        assert b'"body": "late"' in client.answer(first).body
        client.end(WITHIN_S)  # with its last stream
        assert client.goaways == [(7, 0)]


def test_settings_that_are_never_acknowledged_do_no_harm(front: FrontMaker) -> None:
    core = front()
    with RawH2(core.address, acks=False) as client:
        for number in range(50):
            assert client.fetch("/echo", [("x-id", str(number))]).fields["x-id"] == str(number)
        over = [client.request("/echo") for _ in range(200)]
        answers = [client.answer(stream) for stream in over]
        assert {answer.status for answer in answers if answer.ended} == {200}
        assert {a.reset for a in answers if not a.ended} <= {Code.REFUSED_STREAM}
