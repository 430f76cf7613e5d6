"""Envoy's `%OP(arg):max%` in header values, as much of it as the public API can answer."""

from __future__ import annotations

import re
from collections.abc import Callable

import moebridge as mb

__all__ = ["Format"]

_PART = re.compile(r"%(?:(?P<op>[A-Z_0-9]+)(?:\((?P<arg>[^)]*)\))?(?::(?P<max>[0-9]+))?)?%|%")
_PSEUDO: dict[str, Callable[[mb.Stream], str]] = {
    ":method": lambda stream: stream.request.method,
    ":path": lambda stream: stream.request.path,
    ":authority": lambda stream: stream.request.authority,
    ":scheme": lambda stream: stream.request.scheme,
    "host": lambda stream: stream.request.authority,
}
_PLAIN: dict[str, Callable[[mb.Stream], str | None]] = {
    "DOWNSTREAM_LOCAL_ADDRESS": lambda stream: stream.info.local_address,
    "DOWNSTREAM_REMOTE_ADDRESS": lambda stream: stream.info.remote_address,
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": lambda stream: _host(stream.info.remote_address),
    "PROTOCOL": lambda stream: stream.info.protocol,
    "RESPONSE_CODE": lambda stream: str(stream.info.response_code or stream.response.status),
    "ROUTE_NAME": lambda stream: stream.info.route,
    "UPSTREAM_CLUSTER": lambda stream: stream.info.cluster,
    "UPSTREAM_HOST": lambda stream: stream.info.upstream_address,
}
_ONE_ARGUMENT = ("REQ", "RESP")


class Format:
    """A value with operators, split once.

    Args:
        text: the value.

    Raises:
        ValueError: a lone `%`, or an operator that is not known here.
    """

    def __init__(self, text: str) -> None:
        #: Literal texts, and functions of the stream.
        self._parts: list[str | Callable[[mb.Stream], str]] = []
        at = 0
        for match in _PART.finditer(text):
            self._literal(text[at : match.start()])
            at = match.end()
            if match[0] == "%%":
                self._literal("%")
            elif match["op"] is None:
                raise ValueError(f"{text!r}: a lone % (write %%)")
            else:
                self._parts.append(_operator(match["op"], match["arg"], match["max"]))
        self._literal(text[at:])

    def _literal(self, text: str) -> None:
        if text and self._parts and isinstance(self._parts[-1], str):
            self._parts[-1] += text
        elif text:
            self._parts.append(text)

    def __call__(self, stream: mb.Stream) -> str:
        """The value for a stream; what is unset adds nothing."""
        return "".join(part if isinstance(part, str) else part(stream) for part in self._parts)


def _operator(op: str, arg: str | None, limit: str | None) -> Callable[[mb.Stream], str]:
    if op in _PLAIN and arg is None:
        plain = _PLAIN[op]
        get: Callable[[mb.Stream], str | None] = plain
    elif op in _ONE_ARGUMENT and arg:
        names = [name.strip().lower() for name in arg.split("?", 1)]
        get = _header(names, of_request=op == "REQ")
    else:
        known = ", ".join([*(f"{name}(...)" for name in _ONE_ARGUMENT), *_PLAIN])
        raise ValueError(f"%{op}% is not known to this filter; there are {known}")
    end = int(limit) if limit is not None else None
    return lambda stream: (get(stream) or "")[:end]


def _header(names: list[str], *, of_request: bool) -> Callable[[mb.Stream], str | None]:
    def get(stream: mb.Stream) -> str | None:
        message = stream.request if of_request else stream.response
        for name in names:
            if of_request and name in _PSEUDO:
                value: str | None = _PSEUDO[name](stream)
            elif name == ":status":
                value = str(stream.response.status)
            else:
                value = message.headers.get(name)
            if value is not None:
                return value
        return None

    return get


def _host(address: str | None) -> str | None:
    return None if address is None else address.rpartition(":")[0].strip("[]")
