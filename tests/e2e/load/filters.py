# ruff: noqa: ARG002 (hooks have their arguments, whether they use them or not)
"""Filters that the load tests put into the proxy; `facts()` is what they noted."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, ClassVar

from tests.e2e.load.raisers import (
    RaiseInStream,
    RaiseInTask,
    RaiseInWhole,
    RaiseInWholeTask,
    raised,
)

import moebridge as mb

__all__ = [
    "CountByte",
    "Generation",
    "Later",
    "LookAtPieces",
    "RaiseInStream",
    "RaiseInTask",
    "RaiseInWhole",
    "RaiseInWholeTask",
    "Stamp",
    "facts",
]

_noted: dict[str, Any] = {}


def facts() -> dict[str, Any]:
    """What filters noted, for JSON."""
    alive = sorted(filter_.config.number for filter_ in Generation.alive)
    return {**_noted, "raised": dict(raised), "alive": alive}


def _note(name: str, amount: int = 1) -> None:
    _noted[name] = _noted.get(name, 0) + amount


class LookAtPieces(mb.HttpFilter):
    """Looks at the length and the first and last byte of each piece, both ways."""

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        self._look("request", data)

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        self._look("response", data)

    def _look(self, direction: str, data: mb.Buffer) -> None:
        _note(f"{direction}_bytes", len(data))
        _note(f"{direction}_pieces")
        if data:
            with memoryview(data) as view:
                _note("edges", view[0] + view[-1])


class CountByte(mb.HttpFilter):
    """Counts one byte in all bodies, both ways."""

    class Config(mb.Config):
        byte: int = 0

    config: Config

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        _note("request_matches", data.count(bytes([self.config.byte])))

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        _note("response_matches", data.count(bytes([self.config.byte])))


class Stamp(mb.HttpFilter):
    """Says the id of the request in the response, by its state."""

    class State:
        number: str = ""

    def on_request_headers(self, stream: mb.Stream) -> None:
        stream.state.number = stream.request.headers["x-id"]
        stream.request.headers["x-tag"] = stream.state.number

    def on_response_headers(self, stream: mb.Stream) -> None:
        stream.response.headers["x-load"] = stream.state.number
        if stream.request.headers["x-id"] != stream.state.number:
            _note("mixed_up")

    def on_complete(self, stream: mb.Stream) -> None:
        _note("completed")


class Later(mb.HttpFilter):
    """Suspends each request and each response for a turn of the loop."""

    async def on_request_headers(self, stream: mb.Stream) -> None:
        await asyncio.sleep(0)

    async def on_response_headers(self, stream: mb.Stream) -> None:
        await asyncio.sleep(0)
        _note("later")


class Generation(mb.HttpFilter):
    """Stamps requests and responses with the number of its configuration."""

    class Config(mb.Config):
        number: int

    config: Config
    #: All objects that there are.
    alive: ClassVar[weakref.WeakSet[mb.HttpFilter]] = weakref.WeakSet()

    def on_load(self) -> None:
        self.alive.add(self)

    def on_worker_start(self) -> None:
        _noted.setdefault("started", []).append(self.config.number)

    async def on_worker_stop(self) -> None:
        await asyncio.sleep(0)
        _noted.setdefault("stopped", []).append(self.config.number)

    async def on_request_headers(self, stream: mb.Stream) -> None:
        if int(stream.request.headers["x-id"]) % 4 == 0:
            await asyncio.sleep(0.001)
        self._stamp(stream.request.headers, "x-tag")
        _noted["newest"] = max(_noted.get("newest", 0), self.config.number)

    async def on_response_headers(self, stream: mb.Stream) -> None:
        if int(stream.request.headers["x-id"]) % 4 == 1:
            await asyncio.sleep(0.001)
        self._stamp(stream.response.headers, "x-load")

    def _stamp(self, headers: mb.Headers, name: str) -> None:
        before = headers.get(name, "-")
        mine = str(self.config.number)
        headers[name] = mine if before == "-" else f"{before},{mine}"
