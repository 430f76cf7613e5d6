"""Server-sent events, piece by piece: the data of each event, in bounded memory.

Source: WHATWG HTML, 9.2 Server-sent events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["Events"]

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Events:
    """Splits a stream into events.

    Args:
        max_bytes: of one event, its lines together; a larger one is left out and counted.
    """

    __slots__ = ("_at_start", "_data", "_is_too_long", "_line", "_max", "_skip_lf", "oversized")

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._line = bytearray()  # the line that has begun
        self._data: list[bytes] = []  # data lines of the event that has begun
        self._skip_lf = False  # the last piece ended with CR
        self._at_start = True
        self._is_too_long = False
        self.oversized = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Takes a piece; gives the data of each event that it ends."""
        if self._skip_lf and data:
            self._skip_lf = False
            if data[:1] == b"\n":
                data = data[1:]
        at = 0
        for match in _LINE_END.finditer(data):
            self._extend(data[at : match.start()])
            at = match.end()
            event = self._end_line()
            if event is not None:
                yield event
        if data.endswith(b"\r"):
            self._skip_lf = True
        self._extend(data[at:])

    def _extend(self, part: bytes) -> None:
        if not self._is_too_long:
            held = len(self._line) + sum(map(len, self._data))
            if held + len(part) <= self._max:
                self._line += part
                return
            self._is_too_long = True
            self.oversized += 1
            self._data.clear()
        if part or self._line:
            self._line[:] = b":"  # something, so that it is not the event's end

    def _end_line(self) -> bytes | None:
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if line:
            name, _, value = line.partition(b":")
            if name == b"data" and not self._is_too_long:
                self._data.append(value.removeprefix(b" "))
            return None
        event = b"\n".join(self._data) if self._data and not self._is_too_long else None
        self._data.clear()
        self._is_too_long = False
        return event
