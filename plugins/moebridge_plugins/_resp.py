"""RESP, Redis' protocol, cut into commands and replies as its bytes come.

Both parsers take pieces of any size, hold back only what they cannot judge yet (a few bytes), and
step over large values by their length, without looking at them. They are as strict as Redis or
stricter: what Redis would read in another way than they do is an error.

Source: Redis serialization protocol specification (RESP2 and RESP3); redis/src/networking.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["Command", "Commands", "Limits", "Replies", "Reply", "RespError", "split_inline"]

_CRLF: Final = b"\r\n"
#: Digits of a length, with sign and CRLF, are fewer.
_NUMBER_BYTES: Final = 32
_MAX_BULK: Final = 512 * 1024 * 1024
_SPACES: Final = b" \t\n\v\f\r"
_ESCAPES: Final = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}


class RespError(Exception):
    """The bytes are no RESP; the message is what Redis would say."""


class Limits(NamedTuple):
    """Bounds of what a client may send."""

    name_bytes: int = 64
    args: int = 1024 * 1024
    inline_bytes: int = 64 * 1024


class Command(NamedTuple):
    """The beginning of a command, as far as it is needed to judge it."""

    #: Upper case; cut at the limit, then `too_long`.
    name: bytes
    #: The first argument, upper case; empty where there is none, or it is long.
    second: bytes
    #: Arguments, the name counted.
    args: int
    too_long: bool = False


#: What becomes of a command: True it goes on, False it is dropped, bytes stand in its place.
Verdict = bool | bytes


class Commands:
    """A client's bytes.

    Args:
        limits: the bounds.
    """

    __slots__ = ("_forward", "_left", "_limits", "error", "skip", "tail")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        #: Why the bytes are no RESP; then nothing more goes on.
        self.error = ""
        #: Held back until more has come; to be put in front of the next piece.
        self.tail = b""
        #: Bytes of the present value that are still to come.
        self.skip = 0
        self._left = 0  # values of the present command behind that one
        self._forward = True

    @property
    def passes(self) -> bool:
        """Whether the present command goes on."""
        return self._forward

    def feed(self, data: bytes, judge: Callable[[Command], Verdict]) -> list[bytes]:
        """Takes a piece, with `tail` in front; returns what goes on of it, in parts.

        Where all of it does, the only part is `data` itself.

        Args:
            data: the piece.
            judge: called for each command, in order.
        """
        out: list[bytes] = []
        run = 0 if self._forward else -1  # where the bytes that go on begin
        pos = 0
        end = len(data)
        self.tail = b""
        while pos < end:
            if self.skip:
                taken = min(self.skip, end - pos)
                self.skip -= taken
                pos += taken
                continue
            start = pos
            is_value = self._left > 0
            try:
                command, pos = self._value(data, pos) if is_value else self._command(data, pos)
            except RespError as error:
                self.error = str(error)
                data, end = data[:start], start
                break
            if pos < 0:
                end = start
                break
            if is_value:
                continue
            verdict = True if command is None else judge(command)
            self._forward = verdict is True
            if self._forward and run < 0:
                run = start
            elif not self._forward and run >= 0:
                out.append(data[run:start])
                run = -1
            if isinstance(verdict, bytes):
                out.append(verdict)
        if run >= 0:
            out.append(data[run:end] if run or end < len(data) else data)
        self.tail = data[end:]
        return out

    def _value(self, data: bytes, pos: int) -> tuple[None, int]:
        """The next value of the present command."""
        length, pos = _number(data, pos, b"$", "bulk")
        if pos >= 0:
            self._left -= 1
            self.skip = length + 2
        return None, pos

    def _command(self, data: bytes, pos: int) -> tuple[Command | None, int]:
        """Reads as much of a command as is needed; (None, ...) is no command, (..., -1) partial."""
        if data[pos] != 42:  # "*"
            return self._inline(data, pos)
        count, at = _number(data, pos, b"*", "multibulk", most=self._limits.args)
        if at < 0 or count <= 0:
            return None, at
        length, at = _number(data, at, b"$", "bulk")
        if at < 0:
            return None, -1
        most = self._limits.name_bytes
        if length > most:
            self._left, self.skip = count - 1, length + 2
            return Command(b"", b"", count, too_long=True), at
        if len(data) < at + length + 2:
            return None, -1
        name, at = data[at : at + length].upper(), at + length + 2
        second = b""
        after = at
        if count > 1:
            length, at = _number(data, at, b"$", "bulk")
            if at < 0 or (length <= most and len(data) < at + length):
                return None, -1
            if length <= most:
                second = data[at : at + length].upper()
        self._left = count - 1
        return Command(name, second, count), after

    def _inline(self, data: bytes, pos: int) -> tuple[Command | None, int]:
        most = self._limits.inline_bytes
        found = data.find(b"\n", pos, pos + most)
        if found < 0:
            if len(data) - pos >= most:
                raise RespError("too big inline request")
            return None, -1
        words = split_inline(data[pos:found])
        if not words:
            return None, found + 1
        name = words[0]
        second = words[1].upper() if len(words) > 1 else b""
        too_long = len(name) > self._limits.name_bytes
        return Command(b"" if too_long else name.upper(), second, len(words), too_long), found + 1


def _number(
    data: bytes, pos: int, sign: bytes, what: str, most: int = _MAX_BULK
) -> tuple[int, int]:
    """Reads `$123` and CRLF; returns the number and where it ends, or -1: more is needed."""
    if pos == len(data):
        return 0, -1
    if data[pos] != sign[0]:
        shown = chr(data[pos]) if 32 <= data[pos] < 127 else "?"
        raise RespError(f"expected '{sign.decode()}', got '{shown}'")
    found = data.find(_CRLF, pos, pos + _NUMBER_BYTES)
    if found < 0:
        if len(data) - pos >= _NUMBER_BYTES:
            raise RespError(f"invalid {what} length")
        return 0, -1
    digits = data[pos + 1 : found]
    negative = what == "multibulk" and digits[:1] == b"-"
    plain = digits[1:] if negative else digits
    if not plain.isdigit() or (plain[:1] == b"0" and len(plain) > 1):
        raise RespError(f"invalid {what} length")
    number = -int(plain) if negative else int(plain)
    if number > most:
        raise RespError(f"invalid {what} length")
    return number, found + 2


def split_inline(line: bytes) -> list[bytes]:
    """Splits an inline command as Redis does (sdssplitargs): quotes, escapes, an end at NUL.

    Raises:
        RespError: unbalanced quotes.
    """
    line = line.partition(b"\0")[0]
    words: list[bytes] = []
    pos, end = 0, len(line)
    while True:
        while pos < end and line[pos] in _SPACES:
            pos += 1
        if pos == end:
            return words
        word, pos = _word(line, pos)
        words.append(word)


def _word(line: bytes, pos: int) -> tuple[bytes, int]:
    word = bytearray()
    end = len(line)
    while pos < end and line[pos] not in _SPACES:
        quote = line[pos]
        if quote not in b"\"'":
            word.append(quote)
            pos += 1
            continue
        pos += 1
        while pos < end and line[pos] != quote:
            pos = _quoted(line, pos, quote, word)
        if pos >= end or (pos + 1 < end and line[pos + 1] not in _SPACES):
            raise RespError("unbalanced quotes in request")
        return bytes(word), pos + 1
    return bytes(word), pos


def _quoted(line: bytes, pos: int, quote: int, word: bytearray) -> int:
    """One character within quotes, with its escape."""
    if line[pos] != 92 or pos + 1 >= len(line):  # "\\"
        word.append(line[pos])
        return pos + 1
    following = line[pos + 1]
    if quote == 39:
        if following == 39:
            word.append(39)
            return pos + 2
        word.append(92)
        return pos + 1
    digits = line[pos + 2 : pos + 4]
    if following == 120 and len(digits) == 2 and digits.isalnum():  # "x"
        try:
            word.append(int(digits, 16))
        except ValueError:
            word.append(following)
            return pos + 2
        return pos + 4
    word.append(_ESCAPES.get(following, following))
    return pos + 2


class Reply(NamedTuple):
    """A reply, or a push message, that has come to its end."""

    #: Where it begins in the piece, 0 if it began before, and where it ends.
    start: int
    end: int
    #: Its first byte: "+", "-", ":", "$", "*", ">", ...
    kind: int
    #: The first element of an array or push, if that is a short string; else empty.
    word: bytes
    #: The last integer in it.
    number: int


_LINES: Final = frozenset(b"+-_,#(")
_BULKS: Final = frozenset(b"$!=")
#: Elements of an aggregate for each that it counts.
_AGGREGATES: Final = {42: 1, 126: 1, 62: 1, 37: 2, 124: 2}  # * ~ > % |
#: What has a header that can be cut.
_COUNTED: Final = frozenset(_AGGREGATES) | _BULKS | {58}
_WORD_BYTES: Final = 32


class Replies:
    """A server's bytes. Nothing is held back: what is incomplete is only remembered."""

    __slots__ = (
        "_elements",
        "_left",
        "_line",
        "_number",
        "_partial",
        "_word",
        "kind",
        "skip",
        "start",
    )

    def __init__(self) -> None:
        #: The first byte of the message that has begun, 0 between messages.
        self.kind = 0
        #: Where it began in the last piece.
        self.start = 0
        #: Bytes of the present value that are still to come.
        self.skip = 0
        self._left = 0  # elements of it that are still to come
        self._elements = 0  # that have come
        self._line = False  # within a line whose content does not matter
        self._partial = b""  # the beginning of a header or a short word
        self._word = b""
        self._number = 0

    def feed(self, data: bytes) -> list[Reply]:
        """Takes a piece; returns what came to its end in it.

        Raises:
            RespError: this is no RESP.
        """
        before = len(self._partial)
        if before:
            data, self._partial = self._partial + data, b""
        found: list[Reply] = []
        pos, end = 0, len(data)
        self.start = 0
        while pos < end:
            if not self.kind:
                self.start = max(pos - before, 0)
            if self.skip:
                taken = min(self.skip, end - pos)
                self.skip -= taken
                pos += taken
            elif self._line:
                at = data.find(b"\n", pos)
                pos = end if at < 0 else at + 1
                self._line = at < 0
            else:
                after = self._element(data, pos)
                if after < 0:
                    self._partial = data[pos:]
                    break
                pos = after
            if not (self.skip or self._line or self._left) and self.kind:
                reply = Reply(self.start, pos - before, self.kind, self._word, self._number)
                found.append(reply)
                self.kind = 0
        return found

    def _element(self, data: bytes, pos: int) -> int:
        """The header of an element; returns where its content begins, -1 where it is cut."""
        kind = data[pos]
        begins = not self.kind
        if kind in _LINES:
            if begins:
                self._begin(kind)
            self._left -= 1
            self._elements += 1
            self._line = True
            return pos + 1
        at = data.find(_CRLF, pos, pos + _NUMBER_BYTES)
        if at < 0:
            if len(data) - pos >= _NUMBER_BYTES:
                raise RespError("a reply without length")
            if begins and kind in _COUNTED:
                self._begin(kind)
            return -1
        try:
            number = int(data[pos + 1 : at])
        except ValueError:
            raise RespError("a reply without length") from None
        return self._counted(data, kind, number, at + 2)

    def _counted(self, data: bytes, kind: int, number: int, after: int) -> int:
        first = self._elements == 1 and self.kind in b"*>"
        begins = not self.kind
        if kind == 58:  # ":"
            self._number = number
        elif kind in _BULKS:
            if first and not begins and kind == 36 and 0 <= number <= _WORD_BYTES:
                if len(data) < after + number:
                    return -1
                self._word = bytes(data[after : after + number])
            if not -1 <= number <= _MAX_BULK:
                raise RespError("a reply of a wrong length")
        elif kind not in _AGGREGATES:
            raise RespError("an unknown kind of reply")
        if begins or self._elements == 0:
            self._begin(kind)
        self._elements += 1
        self._left -= 1
        if kind in _AGGREGATES:
            self._left += max(number, 0) * _AGGREGATES[kind] + (kind == 124)
        elif kind in _BULKS and number >= 0:
            self.skip = number + 2
        return after

    def _begin(self, kind: int) -> None:
        if not self.kind:
            self.kind = kind
            self._left, self._elements, self._word, self._number = 1, 0, b"", 0
