"""Adds, changes and removes headers and trailers, in the order given.

The Python twin of the built-in `header_mutation`: the same configuration, the same results, with
two differences. Formats know fewer operators (`_format.py`; others are refused when the
configuration loads), and a per-route override replaces the chain's mutations instead of adding to
them. Source: Envoy's HeaderMutation.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Literal

import moebridge as mb
from moebridge_plugins._format import Format

__all__ = ["HeaderMutation"]

Step = Callable[[mb.Stream, mb.Headers], None]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class Header(mb.Config):
    """A name, and a value with operators."""

    key: str
    value: str = ""


class Append(mb.Config):
    """Envoy's HeaderValueOption."""

    header: Header
    append_action: Literal[
        "APPEND_IF_EXISTS_OR_ADD",
        "ADD_IF_ABSENT",
        "OVERWRITE_IF_EXISTS_OR_ADD",
        "OVERWRITE_IF_EXISTS",
    ] = "APPEND_IF_EXISTS_OR_ADD"
    keep_empty_value: bool = False


class Regex(mb.Config):
    """A regular expression that matches a whole name."""

    regex: re.Pattern[str]


class KeyMatcher(mb.Config):
    """Envoy's StringMatcher: exactly one of the first five."""

    exact: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    contains: str | None = None
    safe_regex: Regex | None = None
    ignore_case: bool = False

    def __post_init__(self) -> None:
        """Checks that there is one."""
        kinds = (self.exact, self.prefix, self.suffix, self.contains, self.safe_regex)
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("exactly one of exact, prefix, suffix, contains, safe_regex is needed")

    def matches(self, name: str) -> bool:
        """Whether a header of this name is meant."""

        def fold(text: str) -> str:
            return text.lower() if self.ignore_case else text

        if self.exact is not None:
            return name == fold(self.exact)
        if self.prefix is not None:
            return name.startswith(fold(self.prefix))
        if self.suffix is not None:
            return name.endswith(fold(self.suffix))
        if self.contains is not None:
            return fold(self.contains) in name
        return self.safe_regex is not None and self.safe_regex.regex.fullmatch(name) is not None


class Match(mb.Config):
    """Envoy's HeaderMutation.RemoveOnMatch."""

    key_matcher: KeyMatcher


class Mutation(mb.Config):
    """One step: exactly one of these."""

    append: Append | None = None
    remove: str | None = None
    remove_on_match: Match | None = None

    def __post_init__(self) -> None:
        """Checks that there is one, and the names."""
        if sum(item is not None for item in (self.append, self.remove, self.remove_on_match)) != 1:
            raise ValueError("exactly one of append, remove and remove_on_match is needed")
        name = self.append.header.key if self.append is not None else self.remove
        if name is not None and (name.lower() == "host" or not _NAME.match(name)):
            raise ValueError(f"{name!r} is no header name that can be changed here")
        if self.append is not None:
            Format(self.append.header.value)

    def step(self) -> Step:
        """What is done with headers."""
        if self.append is not None:
            return _append(self.append)
        if self.remove is not None:
            name = self.remove
            return lambda _, headers: _remove(headers, name)
        match = self.remove_on_match
        assert match is not None

        def remove_matching(_: mb.Stream, headers: mb.Headers) -> None:
            for name in dict.fromkeys(headers):
                if match.key_matcher.matches(name):
                    headers.remove(name)

        return remove_matching


class Mutations(mb.Config):
    """The four lists."""

    request_mutations: list[Mutation] = []
    request_trailers_mutations: list[Mutation] = []
    response_mutations: list[Mutation] = []
    response_trailers_mutations: list[Mutation] = []


class HeaderMutation(mb.HttpFilter):
    """Add, change and remove headers and trailers."""

    class Config(mb.Config):
        """Configuration: Envoy's message."""

        mutations: Mutations = Mutations()
        #: Taken for the twin's sake; overrides replace here.
        most_specific_header_mutations_wins: bool = False

    config: Config

    def on_load(self) -> None:
        """Makes the steps."""
        lists = self.config.mutations
        self._request = [item.step() for item in lists.request_mutations]
        self._request_trailers = [item.step() for item in lists.request_trailers_mutations]
        self._response = [item.step() for item in lists.response_mutations]
        self._response_trailers = [item.step() for item in lists.response_trailers_mutations]

    def on_request_headers(self, stream: mb.Stream) -> None:
        """Changes the request's headers."""
        for step in self._request:
            step(stream, stream.request.headers)

    def on_request_trailers(self, stream: mb.Stream) -> None:
        """Changes the request's trailers."""
        for step in self._request_trailers:
            step(stream, stream.request.trailers)

    def on_response_headers(self, stream: mb.Stream) -> None:
        """Changes the response's headers."""
        for step in self._response:
            step(stream, stream.response.headers)

    def on_response_trailers(self, stream: mb.Stream) -> None:
        """Changes the response's trailers."""
        for step in self._response_trailers:
            step(stream, stream.response.trailers)


def _remove(headers: mb.Headers, name: str) -> None:
    headers.remove(name)


def _append(append: Append) -> Step:
    name, make = append.header.key.lower(), Format(append.header.value)

    def step(stream: mb.Stream, headers: mb.Headers) -> None:
        value = make(stream)
        if not value and not append.keep_empty_value:
            return
        with contextlib.suppress(ValueError):  # a value that came out malformed is left out
            match append.append_action:
                case "APPEND_IF_EXISTS_OR_ADD":
                    headers.add(name, value)
                case "ADD_IF_ABSENT":
                    if name not in headers:
                        headers.add(name, value)
                case "OVERWRITE_IF_EXISTS":
                    if name in headers:
                        headers.set(name, value)
                case "OVERWRITE_IF_EXISTS_OR_ADD":
                    headers.set(name, value)

    return step
