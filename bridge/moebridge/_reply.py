"""Checks what `stream.respond()` was given, before any of it reaches the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["HeadersLike", "check_body", "check_details", "check_headers", "check_status"]

#: Fields of a reply: a mapping (a value may be a list), or pairs; str (Latin-1) or bytes.
Text = str | bytes
HeadersLike = Mapping[str, Sequence[str] | bytes] | Iterable[tuple[Text, Text]]

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
_FORBIDDEN = frozenset(b"\r\n\0")


def check_status(status: object, what: str = "respond()") -> int:
    """Returns the status of a reply; 200 to 599."""
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"{what}: a status is int, not {type(status).__name__}")
    if not 200 <= status <= 599:
        raise ValueError(f"{what}: status {status} is not between 200 and 599")
    return int(status)


def check_headers(headers: object) -> list[tuple[bytes, bytes]]:
    """Returns the fields of a reply as bytes, names lower-case."""
    if headers is None:
        return []
    pairs: list[tuple[bytes, bytes]] = []
    for name, value in _pairs(headers):
        data = _latin1(name, "a header's name").lower()
        if not data or not _TOKEN.issuperset(data):
            raise ValueError(f"respond(): {name!r:.80} is no header name")
        many = value if isinstance(value, list | tuple) else (value,)
        for item in many:
            text = _latin1(item, f"the value of {name!r:.80}")
            if not _FORBIDDEN.isdisjoint(text):
                raise ValueError(f"respond(): the value of {name!r:.80} has CR, LF or NUL in it")
            pairs.append((data, text))
    return pairs


def _pairs(headers: object) -> Iterable[tuple[object, object]]:
    if isinstance(headers, str | bytes) or not isinstance(headers, Iterable):
        kind = type(headers).__name__
        raise TypeError(f"respond(): headers are a mapping or pairs, not {kind}")
    items: Iterable[object] = headers
    if isinstance(headers, Mapping):
        items = headers.items()
    for item in items:
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise TypeError(f"respond(): {item!r:.80} is no (name, value) pair")
        yield item[0], item[1]


def _latin1(value: object, what: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError(f"respond(): {what} is str, not {type(value).__name__}")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"respond(): {what} has characters outside Latin-1") from None


def check_body(body: object) -> bytes:
    """Returns the body of a reply as bytes."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        raise TypeError("respond(): the body is bytes, not str: encode it first")
    try:
        return bytes(memoryview(body))  # type: ignore[arg-type]
    except TypeError:
        kind = type(body).__name__
        raise TypeError(f"respond(): the body is bytes, not {kind}") from None


def check_details(details: object) -> bytes:
    """Returns the response code details: one word for logs."""
    if not isinstance(details, str):
        raise TypeError(f"details are str, not {type(details).__name__}")
    if not details.isascii() or (details and not details.isprintable()):
        raise ValueError(f"details are printable ASCII, not {details!r:.80}")
    return details.encode().replace(b" ", b"_")
