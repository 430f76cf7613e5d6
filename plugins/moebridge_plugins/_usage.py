"""Finds the token counts in what OpenAI-style services answer: JSON, or server-sent events."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, Protocol

from moebridge_plugins._sse import Events

__all__ = ["EventMeter", "JsonMeter", "Meter", "Tokens"]

_KEY = re.compile(rb'(?<!\\)"usage"\s*:\s*(?=\{)')
_decoder = json.JSONDecoder()
MAX_TOKENS = 1 << 40


class Tokens(NamedTuple):
    """What a service says that an answer has cost."""

    prompt: int
    completion: int


class Meter(Protocol):
    """Sees a body pass."""

    @property
    def oversized(self) -> int:
        """What was too long to be read."""
        ...

    def feed(self, data: bytes) -> None:
        """Takes a piece."""

    def tokens(self) -> Tokens | None:
        """What was found by now."""


class JsonMeter:
    """Of one JSON document.

    Args:
        max_bytes: of a document that is longer only so many of the last bytes are looked at, where
            services write `usage`.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._data = bytearray()
        self.oversized = 0

    def feed(self, data: bytes) -> None:
        """Keeps the piece."""
        self._data += data
        if len(self._data) > 2 * self._max:
            del self._data[: -self._max]
            self.oversized = 1

    def tokens(self) -> Tokens | None:
        """Reads the document, or its end."""
        if not self.oversized:
            return tokens_of(parse(bytes(self._data)))
        found = None
        for match in _KEY.finditer(self._data):
            text = self._data[match.end() :].decode("utf-8", "replace")
            try:
                found = counts_of(_decoder.raw_decode(text)[0]) or found
            except (ValueError, RecursionError):
                continue
        return found


class EventMeter:
    """Of a stream of events; the last `usage` counts, since some services send it each time.

    Args:
        max_bytes: of one event.
    """

    def __init__(self, max_bytes: int) -> None:
        self._events = Events(max_bytes)
        self._found: Tokens | None = None

    @property
    def oversized(self) -> int:
        """Events that were left out."""
        return self._events.oversized

    def feed(self, data: bytes) -> None:
        """Reads the events that end in the piece."""
        for event in self._events.feed(data):
            if b'"usage"' in event:
                self._found = tokens_of(parse(event)) or self._found

    def tokens(self) -> Tokens | None:
        """The last that was found."""
        return self._found


def parse(data: bytes) -> Any:
    """JSON, or None."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def tokens_of(document: Any) -> Tokens | None:
    """The `usage` of an answer, of a chunk, or of the answer that an event carries."""
    if not isinstance(document, dict):
        return None
    found = counts_of(document.get("usage"))
    inner = document.get("response")
    if found is None and isinstance(inner, dict):
        found = counts_of(inner.get("usage"))
    return found


def counts_of(usage: Any) -> Tokens | None:
    """The numbers of a `usage`, under the names of either of OpenAI's interfaces."""
    if not isinstance(usage, dict):
        return None
    prompt = _number(usage, "prompt_tokens", "input_tokens")
    completion = _number(usage, "completion_tokens", "output_tokens")
    if prompt is None and completion is None:
        return None
    return Tokens(prompt or 0, completion or 0)


def _number(usage: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = usage.get(name)
        if type(value) is int and 0 <= value <= MAX_TOKENS:
            return value
    return None
