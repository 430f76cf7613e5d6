"""body_scan's counting, piece by piece as it is told, compared with `bytes.count`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from moebridge_plugins.body_scan import BodyScan, Side, last_bytes


class Piece(bytes):
    """Stands for a Buffer, in slices of two bytes."""

    __slots__ = ()

    def slices(self) -> list[memoryview]:
        return [memoryview(self)[at : at + 2] for at in range(0, len(self), 2)]


def counted(pattern: str, pieces: list[bytes]) -> int:
    made: Any = BodyScan(pattern=pattern)
    made.prepare()
    side = Side()
    found = 0
    for piece in pieces:
        if piece:
            found += made._count(side, Piece(piece))
            assert len(side.tail) < len(pattern)
    return found


@pytest.mark.parametrize("pattern", ["a", "ab", "aa", "aba", "abab", "needle", "aabaa"])
@given(text=st.text("abnedl", max_size=40), cuts=st.lists(st.integers(0, 40), max_size=40))
@example(text="needleedle", cuts=list(range(10)))
@example(text="abaababaaaaabaab", cuts=list(range(16)))
@example(text="ababaabaa", cuts=[2, 3, 3, 7])
def test_pieces_count_as_the_whole(pattern: str, text: str, cuts: list[int]) -> None:
    ends = sorted(cut for cut in cuts if cut <= len(text))
    pieces = [text[a:b].encode() for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
    assert counted(pattern, pieces) == text.count(pattern)


@pytest.mark.parametrize("count", range(6))
def test_last_bytes(count: int) -> None:
    data: Any = Piece(b"abcde")
    assert last_bytes(data, count) == b"abcde"[5 - count :]
