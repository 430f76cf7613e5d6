"""redact on streams, compared with `re.sub` on the whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import moebridge as mb
from moebridge_plugins.redact import Redact, Rule, Stage, Stages

# Each needs at most 8 bytes from its start (match and look-ahead), and 8 behind.
PATTERNS = [
    rb"secret",
    rb"aba",
    rb"a{1,4}b",
    rb"(?<=a)b",
    rb"a(?=b)",
    rb"\ba\b",
    rb"(?m:^)a",
    rb"(?m)a$",
    rb"\Aab",
    rb"ab\Z",
    rb"(a)(b)?",
    rb"x*",
    rb"a|ab|abb",
    rb"[ab]{2,6}?b",
]
WINDOW = 8
TEXT = st.text("ab sx\n", max_size=60).map(str.encode)


def split(text: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(cut for cut in cuts if cut <= len(text))
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


def streamed(stage: Stage | Stages, pieces: list[bytes], *, empty_last: bool) -> bytes:
    out = b""
    for index, piece in enumerate(pieces):
        is_last = index == len(pieces) - 1
        out += stage.feed(piece, last=is_last and not empty_last)
    return out + (stage.feed(b"", last=True) if empty_last else b"")


def whole(pattern: bytes, template: bytes, text: bytes) -> bytes:
    """re.sub, which leaves empty matches alone."""
    return re.sub(pattern, lambda m: m.expand(template) if m.group() else b"", text)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=TEXT, cuts=st.lists(st.integers(0, 60), max_size=8), empty_last=st.booleans())
@example(text=b"aababbab", cuts=list(range(1, 8)), empty_last=True)
def test_stream_gives_what_sub_gives(
    pattern: bytes, text: bytes, cuts: list[int], empty_last: bool
) -> None:
    # A run that is longer than the window is no fair game: these patterns have none.
    stage = Stage(Rule(pattern=re.compile(pattern), replacement="<>"), WINDOW)
    assert streamed(stage, split(text, cuts), empty_last=empty_last) == whole(pattern, b"<>", text)


@given(text=TEXT, empty_last=st.booleans())
def test_pieces_of_one_byte(text: bytes, empty_last: bool) -> None:
    rule = Rule(pattern=re.compile(rb"(a+)(b)"), replacement=r"[\2\g<1>]")
    runs = re.compile(rb"a{8,}")
    if not runs.search(text):
        stage = Stage(rule, WINDOW + 1)
        pieces = [text[i : i + 1] for i in range(len(text))] or [b""]
        expected = re.sub(rb"(a+)(b)", rb"[\2\1]", text)
        assert streamed(stage, pieces, empty_last=empty_last) == expected


@given(text=TEXT, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_rules_apply_one_after_another(text: bytes, cuts: list[int]) -> None:
    rules = [
        Rule(pattern=re.compile(rb"ab"), replacement="s"),
        Rule(pattern=re.compile(rb"ss"), replacement="<ab>"),
    ]
    expected = text.replace(b"ab", b"s").replace(b"ss", b"<ab>")
    assert streamed(Stages(rules, WINDOW), split(text, cuts), empty_last=True) == expected


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_memory_is_bounded(size: int) -> None:
    stage = Stage(Rule(pattern=re.compile(rb"secret")), 16)
    for _ in range(200):
        stage.feed(b"x" * size, last=False)
        assert len(stage._data) <= 2 * 16 + size


def test_held_bytes_are_less_than_the_window() -> None:
    stage = Stage(Rule(pattern=re.compile(rb"secret")), 16)
    assert len(stage.feed(b"x" * 100, last=False)) == 100 - 15


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, "rules"),
        ({"rules": []}, ""),
        ({"rules": [{"pattern": "("}]}, "rules[0].pattern"),
        ({"rules": [{"pattern": "a", "replacement": r"\1"}]}, "rules[0]"),
        ({"rules": [{"pattern": "a"}], "max_match_bytes": 0}, ""),
        ({"rules": [{"pattern": "a"}], "encoded": "x"}, "encoded"),
    ],
)
def test_wrong_configuration_is_refused(config: dict[str, object], path: str) -> None:
    with pytest.raises(mb.ConfigError) as caught:
        Redact(**config)
    assert [fault.path for fault in caught.value.faults] == [path]
