"""Filters that raise: which request fails, in which hook and with what, follows from its id."""
# ruff: noqa: ARG002 (hooks have their arguments, whether they use them or not)

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import NoReturn

import moebridge as mb

__all__ = ["HOOKS", "KINDS", "STREAM_HOOKS", "WHOLE_HOOKS", "fault_of", "raised"]

STREAM_HOOKS = (
    "on_request_headers",
    "on_request_body",
    "on_request_trailers",
    "on_response_headers",
    "on_response_body",
    "on_response_trailers",
    "on_complete",
)
WHOLE_HOOKS = ("on_request", "on_response")
#: Each hook once as `def` and once as `async def`.
HOOKS = tuple(
    (name, is_async) for name in (*STREAM_HOOKS, *WHOLE_HOOKS) for is_async in (False, True)
)


class OwnError(BaseException):
    """No Exception."""


def _recurse(number: int) -> int:
    return _recurse(number + 1) + 1


def _in_except() -> NoReturn:
    try:
        raise KeyError("first")
    except KeyError:
        raise ValueError("second") from None


def _raiser(error: type[BaseException]) -> Callable[[], object]:
    def call() -> NoReturn:
        raise error("as told")

    return call


KINDS: tuple[Callable[[], object], ...] = (
    *(
        _raiser(error)
        for error in (
            ValueError,
            OwnError,
            SystemExit,
            KeyboardInterrupt,
            MemoryError,
            GeneratorExit,
            StopIteration,
            StopAsyncIteration,
            asyncio.CancelledError,
        )
    ),
    lambda: _recurse(0),
    _in_except,
)

#: How often each hook raised, by "name async|def".
raised: Counter[str] = Counter()


def fault_of(number: int) -> tuple[tuple[str, bool], Callable[[], object]] | None:
    """The hook in which a request raises, and what: one in a hundred."""
    chosen, rest = divmod(number, 100)
    if rest != 37:
        return None
    return HOOKS[chosen % len(HOOKS)], KINDS[chosen // len(HOOKS) % len(KINDS)]


def _perhaps(stream: mb.Stream, name: str, is_async: bool) -> None:
    if "id" not in stream.state:
        return  # on_complete of a stream that failed before it came here
    fault = fault_of(stream.state["id"])
    # Body hooks run several times: the first one raises.
    if fault is not None and fault[0] == (name, is_async) and "raised" not in stream.state:
        stream.state["raised"] = True
        raised[f"{name} {'async' if is_async else 'def'}"] += 1
        fault[1]()


def _begin(stream: mb.Stream) -> None:
    stream.state["id"] = int(stream.request.headers["x-id"])


class RaiseInStream(mb.HttpFilter):
    """Raises in the hooks of headers, pieces, trailers, and at the end."""

    def on_request_headers(self, stream: mb.Stream) -> None:
        _begin(stream)
        _perhaps(stream, "on_request_headers", False)

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        _perhaps(stream, "on_request_body", False)

    def on_request_trailers(self, stream: mb.Stream) -> None:
        _perhaps(stream, "on_request_trailers", False)

    def on_response_headers(self, stream: mb.Stream) -> None:
        _perhaps(stream, "on_response_headers", False)

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        _perhaps(stream, "on_response_body", False)

    def on_response_trailers(self, stream: mb.Stream) -> None:
        _perhaps(stream, "on_response_trailers", False)

    def on_complete(self, stream: mb.Stream) -> None:
        _perhaps(stream, "on_complete", False)


class RaiseInTask(mb.HttpFilter):
    """The same, suspended before it raises."""

    async def on_request_headers(self, stream: mb.Stream) -> None:
        _begin(stream)
        await asyncio.sleep(0)
        _perhaps(stream, "on_request_headers", True)

    async def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        await asyncio.sleep(0)
        _perhaps(stream, "on_request_body", True)

    async def on_request_trailers(self, stream: mb.Stream) -> None:
        await asyncio.sleep(0)
        _perhaps(stream, "on_request_trailers", True)

    async def on_response_headers(self, stream: mb.Stream) -> None:
        await asyncio.sleep(0)
        _perhaps(stream, "on_response_headers", True)

    async def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        await asyncio.sleep(0)
        _perhaps(stream, "on_response_body", True)

    async def on_response_trailers(self, stream: mb.Stream) -> None:
        await asyncio.sleep(0)
        _perhaps(stream, "on_response_trailers", True)

    async def on_complete(self, stream: mb.Stream) -> None:
        await asyncio.sleep(0)
        _perhaps(stream, "on_complete", True)


class RaiseInWhole(mb.HttpFilter):
    """Raises when a message is whole."""

    def on_request(self, stream: mb.Stream) -> None:
        _begin(stream)
        _perhaps(stream, "on_request", False)

    def on_response(self, stream: mb.Stream) -> None:
        _perhaps(stream, "on_response", False)


class RaiseInWholeTask(mb.HttpFilter):
    """The same, suspended before it raises."""

    async def on_request(self, stream: mb.Stream) -> None:
        _begin(stream)
        await asyncio.sleep(0)
        _perhaps(stream, "on_request", True)

    async def on_response(self, stream: mb.Stream) -> None:
        await asyncio.sleep(0)
        _perhaps(stream, "on_response", True)
