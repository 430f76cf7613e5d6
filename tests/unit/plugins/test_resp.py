"""RESP in pieces: however bytes are cut, the same commands and replies are found."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moebridge_plugins._resp import Command, Commands, Limits, Replies, RespError, split_inline

names = st.sampled_from([b"GET", b"set", b"FLUSHALL", b"Config", b"KEYS"])
values = st.binary(max_size=12)


def bulk(words: list[bytes]) -> bytes:
    parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)]
    return b"".join(parts)


@st.composite
def command(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    words = [draw(names), *draw(st.lists(values, max_size=4))]
    inline = all(w.isalnum() for w in words) and draw(st.booleans())
    return words, b" ".join(words) + b"\r\n" if inline else bulk(words)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[a:b] for a, b in pairwise(at)]


def run(pieces: list[bytes]) -> tuple[bytes, list[Command], Commands]:
    commands = Commands(Limits())
    seen: list[Command] = []

    def judge(found: Command) -> bool:
        seen.append(found)
        return found.name not in (b"FLUSHALL", b"KEYS")

    out = b""
    for piece in pieces:
        out += b"".join(commands.feed(commands.tail + piece, judge))
    return out, seen, commands


@given(st.lists(command(), max_size=6), st.lists(st.integers(0, 300), max_size=12), st.booleans())
def test_denied_commands_are_cut_out_however_bytes_come(
    given_: list[tuple[list[bytes], bytes]], cuts: list[int], singly: bool
) -> None:
    wire = b"".join(text for _, text in given_)
    pieces = [wire[i : i + 1] for i in range(len(wire))] if singly else cut(wire, cuts)
    out, seen, commands = run(pieces)
    assert [c.name for c in seen] == [words[0].upper() for words, _ in given_]
    assert [c.args for c in seen] == [len(words) for words, _ in given_]
    assert [c.second for c in seen] == [
        words[1].upper() if len(words) > 1 else b"" for words, _ in given_
    ]
    kept = [t for words, t in given_ if words[0].upper() not in (b"FLUSHALL", b"KEYS")]
    assert out == b"".join(kept)
    assert commands.tail == b""
    assert commands.error == ""


def test_what_goes_on_whole_is_not_copied() -> None:
    commands = Commands(Limits())
    piece = bulk([b"SET", b"k", b"v" * 1000])[:900]
    parts = commands.feed(piece, lambda _: True)
    assert len(parts) == 1
    assert parts[0] is piece
    assert commands.skip == 1000 + 2 - (900 - len(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\n"))


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (b"*1\r\n+GET\r\n", "expected '$', got '+'"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1" + b"1" * 40, "invalid multibulk length"),
        (b"*2\r\n$3\r\nGET\r\nx", "expected '$', got 'x'"),
        (b"x" * (64 * 1024), "too big inline request"),
        (b'GET "a\r\n', "unbalanced quotes in request"),
    ],
)
def test_what_is_no_resp_is_said_as_redis_says_it(wire: bytes, error: str) -> None:
    out, _, commands = run([bulk([b"PING"]) + wire])
    assert commands.error == error
    assert out.startswith(bulk([b"PING"]))


@pytest.mark.parametrize("wire", [b"\r\n", b"*0\r\n", b"*-1\r\n", b"\0FLUSHALL\r\n", b"   \n"])
def test_what_is_no_command_passes(wire: bytes) -> None:
    assert run([wire])[:2] == (wire, [])


def test_a_long_name_is_denied_and_its_command_is_stepped_over() -> None:
    long = bulk([b"X" * 65, b"a"])
    seen: list[Command] = []

    def judge(found: Command) -> bool:
        seen.append(found)
        return not found.too_long

    commands = Commands(Limits())
    assert b"".join(commands.feed(long + bulk([b"PING"]), judge)) == bulk([b"PING"])
    assert [c.too_long for c in seen] == [True, False]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"GET a", [b"GET", b"a"]),
        (b'"FLUSHALL"', [b"FLUSHALL"]),
        (b'"\\x46LUSHALL"', [b"FLUSHALL"]),
        (b"'FLUSHALL'", [b"FLUSHALL"]),
        (b'FLU"SHALL"', [b"FLUSHALL"]),
        (b"'a\\'b' \"c\\n\\\"\"", [b"a'b", b'c\n"']),
        (b"GET\0 FLUSHALL", [b"GET"]),
        (b"\t GET\v a\r", [b"GET", b"a"]),
    ],
)
def test_inline_words_are_read_as_redis_reads_them(line: bytes, words: list[bytes]) -> None:
    assert split_inline(line) == words


@pytest.mark.parametrize("line", [b'"a', b"'a", b'"a"b'])
def test_unbalanced_quotes_are_an_error(line: bytes) -> None:
    with pytest.raises(RespError):
        split_inline(line)


def _line(kind: bytes, text: bytes) -> bytes:
    return kind + text.replace(b"\r", b".").replace(b"\n", b".") + b"\r\n"


def _aggregate(children: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    def array(kind: bytes, items: list[bytes]) -> bytes:
        return kind + b"%d\r\n" % len(items) + b"".join(items)

    def pairs(items: list[bytes]) -> bytes:
        return b"%%%d\r\n" % len(items) + b"".join(item + item for item in items)

    some = st.lists(children, max_size=3)
    return st.builds(array, st.sampled_from([b"*", b"~", b">"]), some) | st.builds(pairs, some)


replies = st.recursive(
    st.builds(_line, st.sampled_from([b"+", b"-", b",", b"#", b"("]), values)
    | st.builds(lambda v: b"$%d\r\n%s\r\n" % (len(v), v), values)
    | st.builds(lambda v: b"=%d\r\n%s\r\n" % (len(v), v), values)
    | st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"_\r\n", b":12\r\n", b":-7\r\n"]),
    _aggregate,
    max_leaves=8,
)


@given(st.lists(replies, max_size=5), st.lists(st.integers(0, 400), max_size=10), st.booleans())
def test_replies_end_where_they_end_however_they_come(
    given_: list[bytes], cuts: list[int], singly: bool
) -> None:
    wire = b"".join(given_)
    pieces = [wire[i : i + 1] for i in range(len(wire))] if singly else cut(wire, cuts)
    parser = Replies()
    ends, starts, at = [], [], 0
    for piece in pieces:
        for found in parser.feed(piece):
            ends.append(at + found.end)
            starts.append((at + found.start, found.kind))
        at += len(piece)
    want, total = [], 0
    for text in given_:
        total += len(text)
        want.append(total)
    assert ends == want
    assert [kind for _, kind in starts] == [text[0] for text in given_]
    assert parser.kind == 0


def test_an_attribute_belongs_to_the_reply_behind_it() -> None:
    wire = b"|1\r\n+a\r\n+b\r\n:1\r\n+OK\r\n"
    assert [r.end for r in Replies().feed(wire)] == [len(wire) - 5, len(wire)]


def test_the_first_word_of_an_array_is_told() -> None:
    wire = b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n"
    for pieces in ([wire], [wire[i : i + 1] for i in range(len(wire))]):
        parser = Replies()
        found = [r for piece in pieces for r in parser.feed(piece)]
        assert [(r.word, r.number) for r in found] == [(b"subscribe", 2)]
