"""Replaces what regular expressions match in bodies that stream, in bounded memory.

A rule's result is that of `re.sub` on the whole body, wherever the pieces begin and end, for
matches that need no more than `max_match_bytes` (W): the match and what it looks ahead at lie in W
bytes from its start, what it looks behind at in the W bytes before. A longer match may be found in
part or not at all. Each rule holds back W - 1 bytes until more or the end has come, so a stream
that pauses is behind by that much. Empty matches are left alone.

Rules apply one after another: the second sees what the first one wrote.
"""

from __future__ import annotations

import re
from typing import Literal

import moebridge as mb

__all__ = ["Redact", "Stage"]

#: Fields that say something of the exact bytes of the body.
DIGESTS = ("content-length", "content-md5", "digest", "content-digest", "repr-digest", "etag")


class Rule(mb.Config):
    """What is replaced by what."""

    #: Of bytes: write UTF-8 text as it is.
    pattern: re.Pattern[bytes]
    #: A template as of `re.sub`: `\\1`, `\\g<name>`.
    replacement: str = "[redacted]"

    def __post_init__(self) -> None:
        """Checks the template."""
        try:
            self.pattern.sub(self.replacement.encode(), b"")
        except (re.error, IndexError) as error:
            raise ValueError(f"replacement: {error}") from None


class Stage:
    """One rule on one body.

    Args:
        rule: the rule.
        window: W.
    """

    __slots__ = ("_at", "_data", "_pattern", "_template", "_window", "count")

    def __init__(self, rule: Rule, window: int) -> None:
        self._pattern = rule.pattern
        self._template = rule.replacement.encode()
        self._window = window
        self._data = b""  # up to W bytes that were given out, for look-behind, then those held
        self._at = 0  # where the held ones begin
        self.count = 0

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """Takes a piece; returns what is decided."""
        data = self._data + data
        # Whatever begins before `limit` sees all of its W bytes.
        limit = len(data) + 1 if last else len(data) - self._window + 1
        at = self._at
        parts: list[bytes] = []
        if limit > at:
            for match in self._pattern.finditer(data, at):
                start, end = match.span()
                if start >= limit:
                    break
                if end > start:
                    parts.append(data[at:start])
                    parts.append(match.expand(self._template))
                    self.count += 1
                    at = end
            parts.append(data[at : max(at, limit)])
            at = min(max(at, limit), len(data))
        keep = max(0, at - self._window)
        self._data = data[keep:]
        self._at = at - keep
        return b"".join(parts)


class Stages:
    """All rules on one body."""

    __slots__ = ("_stages",)

    def __init__(self, rules: list[Rule], window: int) -> None:
        self._stages = [Stage(rule, window) for rule in rules]

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """Takes a piece; returns what all rules have decided."""
        for stage in self._stages:
            data = stage.feed(data, last=last)
        return data

    @property
    def count(self) -> int:
        """How many matches were replaced."""
        return sum(stage.count for stage in self._stages)


class Bodies:
    """One stream: the bodies that are changed."""

    __slots__ = ("request", "response")

    def __init__(self) -> None:
        self.request: Stages | None = None
        self.response: Stages | None = None


class Redact(mb.HttpFilter):
    """Replace what regular expressions match in streamed bodies.

    Only bodies of the chosen content types; encoded ones (gzip ...) cannot be read: the upstream is
    asked for none, and what comes encoded all the same is passed on or blocked. `range` is taken
    off requests, since a match cut by a range would not be found.
    """

    class Config(mb.Config):
        """Configuration."""

        rules: list[Rule]
        request: bool = False
        response: bool = True
        #: Types, `text/*` too; "*" = all.
        content_types: tuple[str, ...] = ("text/*", "application/json", "application/xml")
        #: W, 1 to 65536.
        max_match_bytes: int = 256
        #: Set `accept-encoding: identity` on requests.
        ask_identity: bool = True
        #: A response that is encoded all the same: "pass" it on as it is, or "block" it with 502.
        #: A request: the same, with 415.
        encoded: Literal["pass", "block"] = "pass"

        def __post_init__(self) -> None:
            """Checks the ranges."""
            if not self.rules:
                raise ValueError("rules: at least one is needed")
            if not 1 <= self.max_match_bytes <= 65536:
                raise ValueError("max_match_bytes: must be 1 to 65536")

    State = Bodies
    config: Config

    def on_load(self) -> None:
        """Defines the counters."""
        self._matches = self.counter("matches")
        self._bodies = self.counter("bodies")
        self._encoded = self.counter("encoded")

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        """Prepares the request, and asks for a response that can be read."""
        headers = stream.request.headers
        if self.config.response:
            headers.remove("range")
            headers.remove("if-range")
            if self.config.ask_identity:
                headers["accept-encoding"] = "identity"
        if not self.config.request or stream.request.ended or not self._is_chosen(headers):
            return None
        if is_encoded(headers):
            return self._unreadable(stream, 415)
        stream.state.request = self._begin(headers)
        return None

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        """Changes a piece of the request."""
        stages = stream.state.request
        if stages is not None:
            self._change(stages, data, stream.request.ended)

    def on_response_headers(self, stream: mb.Stream) -> mb.Status | None:
        """Prepares the response."""
        response = stream.response
        headers = response.headers
        if not self.config.response or response.ended or not self._is_chosen(headers):
            return None
        if is_encoded(headers):
            return self._unreadable(stream, 502)
        stream.state.response = self._begin(headers)
        return None

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        """Changes a piece of the response."""
        stages = stream.state.response
        if stages is not None:
            self._change(stages, data, stream.response.ended)

    def _is_chosen(self, headers: mb.Headers) -> bool:
        given = headers.get("content-type", "").partition(";")[0].strip().lower()
        return any(
            given.startswith(kind[:-1]) if kind.endswith("*") else given == kind
            for kind in self.config.content_types
        )

    def _unreadable(self, stream: mb.Stream, status: int) -> mb.Status | None:
        self._encoded.inc()
        if self.config.encoded == "pass":
            return None
        body = b"the body is encoded and cannot be checked\n"
        return stream.respond(status, body=body, details="redact_encoded")

    def _begin(self, headers: mb.Headers) -> Stages:
        for name in DIGESTS:
            headers.remove(name)
        self._bodies.inc()
        return Stages(self.config.rules, self.config.max_match_bytes)

    def _change(self, stages: Stages, data: mb.Buffer, ended: bool) -> None:
        before = stages.count
        data.replace(stages.feed(bytes(data), last=ended))
        if stages.count > before:
            self._matches.inc(stages.count - before)


def is_encoded(headers: mb.Headers) -> bool:
    """Whether a body has a content coding."""
    return headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
