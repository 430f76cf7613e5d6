"""Counts a pattern of bytes in the bodies that pass, without holding them.

The Python twin of the built-in `body_scan`: the same configuration, the same counts.
"""

from __future__ import annotations

import moebridge as mb

__all__ = ["BodyScan"]

MAX_PATTERN_BYTES = 256
SPACE = "moebridge.body_scan"


class Side:
    """One body: what came last and is no part of a match."""

    __slots__ = ("tail",)

    def __init__(self) -> None:
        self.tail = b""


class Counts:
    """One stream."""

    __slots__ = ("count", "request", "response", "unsaved")

    def __init__(self) -> None:
        self.count = 0
        self.unsaved = False
        self.request = Side()
        self.response = Side()


class BodyScan(mb.HttpFilter):
    """Count a pattern of bytes in request and response bodies.

    Matches do not overlap and are counted as if each body were one piece: of what came last the
    filter keeps `len(pattern) - 1` bytes. The count of both bodies is in the metadata
    `moebridge.body_scan` under `count`, from the end of each body on, and in the counter
    `matches`.
    """

    class Config(mb.Config):
        """Configuration."""

        #: 1 to 256 bytes; text is UTF-8.
        pattern: str
        request: bool = True
        response: bool = True

        def __post_init__(self) -> None:
            """Checks the length."""
            if not 1 <= len(self.pattern.encode()) <= MAX_PATTERN_BYTES:
                raise ValueError(f"pattern: must be a text of 1 to {MAX_PATTERN_BYTES} bytes")

    State = Counts
    config: Config

    def on_load(self) -> None:
        """Defines the counter."""
        self.prepare()
        self._matches = self.counter("matches")

    def prepare(self) -> None:
        """Looks at the pattern."""
        self._pattern = self.config.pattern.encode()
        self._keep = len(self._pattern) - 1
        self._overlaps = overlaps_itself(self._pattern)

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        """Counts in a piece of the request."""
        if self.config.request:
            state: Counts = stream.state
            self._body(stream, state, state.request, data, stream.request.ended)

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        """Counts in a piece of the response."""
        if self.config.response:
            state: Counts = stream.state
            self._body(stream, state, state.response, data, stream.response.ended)

    def on_complete(self, stream: mb.Stream) -> None:
        """Writes the count of a body that was cut."""
        if stream.state.unsaved:
            self._save(stream, stream.state)

    def _body(
        self, stream: mb.Stream, state: Counts, side: Side, data: mb.Buffer, ended: bool
    ) -> None:
        if len(data):
            found = self._count(side, data)
            state.unsaved = True
            if found:
                state.count += found
                self._matches.inc(found)
        if ended:
            self._save(stream, state)

    def _save(self, stream: mb.Stream, state: Counts) -> None:
        state.unsaved = False
        stream.metadata.set(SPACE, "count", state.count)

    def _count(self, side: Side, data: mb.Buffer) -> int:
        pattern, keep = self._pattern, self._keep
        if not keep:
            return data.count(pattern)
        across = end = self._match_across(side.tail, data)
        found = 1 if across else 0
        if not self._overlaps:
            # No match begins inside another one, so only their number matters.
            found += data.count(pattern)
        else:
            while (at := data.find(pattern, end)) >= 0:
                end = at + len(pattern)
                found += 1
        old = b"" if end else side.tail
        side.tail = (old + last_bytes(data, min(keep, len(data) - end)))[-keep:]
        return found

    def _match_across(self, tail: bytes, data: mb.Buffer) -> int:
        """A match that begins in the tail and ends in the piece: where it ends there, or 0."""
        for before in range(len(tail), 0, -1):
            rest = self._pattern[before:]
            if tail.endswith(self._pattern[:before]) and data.startswith(rest):
                return len(rest)
        return 0


def overlaps_itself(pattern: bytes) -> bool:
    """True when the pattern begins with what it ends with."""
    return any(pattern.startswith(pattern[shift:]) for shift in range(1, len(pattern)))


def last_bytes(data: mb.Buffer, count: int) -> bytes:
    """The last bytes of a piece; copies no more than these."""
    parts: list[bytes] = []
    for view in reversed(data.slices()):
        if count <= 0:
            break
        parts.append(bytes(view[-count:]))
        count -= len(parts[-1])
    return b"".join(reversed(parts))
