"""A server of TCP with network filters, its client and upstream, all on the worker's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import moebridge as mb
from moebridge._dispatch import Place
from moebridge._server import Server
from moebridge.config.model import HttpFilter as Entry
from moebridge.config.model import encode
from moebridge.config.simple import build_simple

from .harness import WAIT_S, turns

T = TypeVar("T")
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Handler = Callable[[Reader, Writer], Awaitable[None]]


async def echo(reader: Reader, writer: Writer) -> None:
    """Sends back what comes; at the end a mark."""
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.write(b"<end>")


class TcpBench:
    """One server in front of one upstream."""

    def __init__(self, *filters: mb.NetworkFilter, handler: Handler = echo, **options: Any) -> None:
        self.server = Server()
        self.loop = self.server.loop
        fail_open = options.pop("fail_open", False)
        hook_timeout_s = options.pop("hook_timeout_s", 0.0)
        self._handler = handler
        self._upstream = self.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.places: list[Place] = [
            self.server.load(
                item, name=f"f{number}", fail_open=fail_open, hook_timeout_s=hook_timeout_s
            )
            for number, item in enumerate(filters)
        ]
        self.run(self.server.start_filters(self.places))
        entries = [
            Entry(name=place.name, module="python", filter=place.name, config=place.index)
            for place in self.places
        ]
        port = self._upstream.sockets[0].getsockname()[1]
        config = build_simple("127.0.0.1:0", f"127.0.0.1:{port}", (), entries, **options)
        self.server.apply(encode(config))
        self.server.accept()
        host, _, number_ = self.server.listeners["main"].rpartition(":")
        self.address = (host, int(number_))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs the core and the loop until the coroutine is done."""
        return self.server.run(asyncio.wait_for(coroutine, WAIT_S))

    def close(self) -> None:
        self._upstream.close()
        self.server.close()

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        try:
            await self._handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def talk(self, *pieces: bytes) -> bytes:
        """Sends pieces, each on its way before the next, ends, and reads to the end."""

        async def exchange() -> bytes:
            reader, writer = await asyncio.open_connection(*self.address)
            try:
                for piece in pieces:
                    writer.write(piece)
                    await turns(6)
                writer.write_eof()
                return await reader.read()
            finally:
                writer.close()

        return self.run(exchange())

    def settle(self) -> None:
        self.run(turns(8))

    def stats(self) -> dict[str, Any]:
        self.settle()
        return self.server.stats()
