"""HTTP/1.1 messages as tests see them: every field line kept, nothing normalised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Fields", "Request", "Response", "head", "parse_head"]

#: Field lines in order; names lower-case.
Fields = list[tuple[str, str]]


class _Message:
    fields: Fields

    def get(self, name: str, default: str = "") -> str:
        """The first value of a field."""
        return next((value for key, value in self.fields if key == name), default)

    def getall(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for key, value in self.fields if key == name]

    def has(self, name: str) -> bool:
        """True when the field is there, with any value."""
        return any(key == name for key, _ in self.fields)


@dataclass
class Request(_Message):
    """A request as the upstream read it."""

    method: str
    target: str
    fields: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=list)


@dataclass
class Response(_Message):
    """A response as the client read it."""

    status: int
    fields: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    #: Sizes of the chunks, for chunked bodies.
    chunks: list[int] = field(default_factory=list)
    #: The statuses of 1xx responses that came before.
    interim: list[int] = field(default_factory=list)


def parse_head(text: bytes) -> tuple[str, Fields]:
    """A start line and field lines, without the empty line at the end."""
    start, *lines = text.decode("latin-1").split("\r\n")
    fields = []
    for line in lines:
        if line:
            name, colon, value = line.partition(":")
            assert colon, f"no field line: {line!r}"
            fields.append((name.lower(), value.strip()))
    return start, fields


def head(start: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """A start line and field lines as bytes, with the empty line."""
    lines = [start, *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")
