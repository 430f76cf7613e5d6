"""Events of a stream, whole and cut everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moebridge_plugins._sse import Events

STREAM = (
    b"\xef\xbb\xbfdata: one\n\ndata:two\r\ndata: three\r\n\r\n: note\n\nevent: x\rdata\r\rdata: cut"
)
EVENTS = [b"one", b"two\nthree", b""]


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    events = Events(1000)
    ends = sorted(cuts)
    pieces = [STREAM[a:b] for a, b in zip([0, *ends], [*ends, len(STREAM)], strict=True)]
    assert [event for piece in pieces for event in events.feed(piece)] == EVENTS


def test_pieces_of_one_byte() -> None:
    events = Events(1000)
    found = [event for byte in STREAM for event in events.feed(bytes([byte]))]
    assert found == EVENTS


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_too_long_event_is_left_out_and_the_next_is_read(size: int, end: bytes) -> None:
    events = Events(20)
    long = b"data: " + b"x" * 50 + end + b"data: more" + end + end
    text = long + b"data: next" + end + end
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert [event for piece in pieces for event in events.feed(piece)] == [b"next"]
    assert events.oversized == 1


def test_memory_is_bounded_without_line_ends() -> None:
    events = Events(100)
    for _ in range(100):
        assert list(events.feed(b"x" * 1000)) == []
    assert len(events._line) <= 100
