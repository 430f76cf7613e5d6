"""Fixtures of the tunnel tests: proxies that let upgrades through, upstreams that take them up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.support.client import RawClient
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import http_config
from tests.e2e.support.messages import Response, head
from tests.e2e.support.upstream import Exchange
from websockets.asyncio.server import ServerConnection, serve

END_S = 40
SWITCH = [("connection", "upgrade"), ("upgrade", "raw")]
ASK = [("connection", "Upgrade"), ("upgrade", "raw")]

FileProxyMaker = Callable[..., Core]


@pytest.fixture
def file_proxy(tmp_path: Path) -> Iterator[FileProxyMaker]:
    """Starts cores with a file's content: `file_proxy(upstream address, **http_config parts)`."""
    with ExitStack() as stack:

        def make(address: Any, **parts: Any) -> Core:
            return stack.enter_context(Core(http_config(address, **parts), tmp_path))

        yield make


def allow(*kinds: str, **fields: Any) -> dict[str, Any]:
    """Fields of the connection manager that let upgrades through."""
    return {"upgrade_configs": [{"upgrade_type": kind} for kind in kinds], **fields}


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a test's coroutine, bounded."""
    asyncio.run(asyncio.wait_for(coroutine, END_S))


def until(condition: Callable[[], object]) -> None:
    """Waits for something that comes for certain."""
    for _ in range(4000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come")


async def echo_messages(connection: ServerConnection) -> None:
    """Sends back each message as it came, fragments joined."""
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def websocket_server(
    handler: Callable[[ServerConnection], Coroutine[Any, Any, None]] = echo_messages, **options: Any
) -> AsyncIterator[str]:
    """A WebSocket server on the test's loop; yields its address."""
    options.setdefault("max_size", 1 << 24)
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        yield f"{host}:{port}"


async def switch(exchange: Exchange) -> None:
    """Takes the upgrade to `raw` up, sends back what comes, and ends after the peer's end."""
    await exchange.send(head("HTTP/1.1 101 Switching Protocols", SWITCH))
    exchange.close()
    while data := await exchange.reader.read(65536):
        await exchange.send(data)


def open_tunnel(client: RawClient, target: str = "/") -> Response:
    """Asks for `raw` and reads the head of the answer."""
    client.start("GET", target, ASK)
    return client.read_head()
