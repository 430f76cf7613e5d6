"""Fixtures of the tunnel tests: proxies that let upgrades through, upstreams that take them up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import pytest
from tests.e2e.support.client import RawClient
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import cluster, http_config
from tests.e2e.support.messages import Response, head
from tests.e2e.support.upstream import Exchange
from websockets.asyncio.server import ServerConnection, serve

END_S = 40
SWITCH = [("connection", "upgrade"), ("upgrade", "raw")]
ASK = [("connection", "Upgrade"), ("upgrade", "raw")]
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
OVER_H2 = {"http2_protocol_options": {"allow_connect": True}}

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


def h2_cluster(address: str, **options: Any) -> Any:
    """A cluster that speaks HTTP/2."""
    typed = {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": options},
    }
    return cluster(address, typed_extension_protocol_options={OPTIONS: typed})


class H2Client:
    """A connection of the `h2` library with one stream at a time of interest."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), END_S)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.data = b""
        self.ended = False
        self.reset: int | None = None
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Sends what the library has to say."""
        self.socket.sendall(self.h2.data_to_send())

    def step(self) -> None:
        """Reads once."""
        data = self.socket.recv(65_536)
        assert data, "the connection ended"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers = {str(k): str(v) for k, v in self._text(event.headers)}
                self.status = int(self.headers[":status"])
            elif isinstance(event, h2.events.DataReceived):
                self.data += event.data
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True
            elif isinstance(event, h2.events.StreamReset):
                self.reset = int(event.error_code)
        self.flush()

    @staticmethod
    def _text(headers: Any) -> Any:
        for name, value in headers:
            yield (
                name.decode() if isinstance(name, bytes) else name,
                value.decode() if isinstance(value, bytes) else value,
            )

    def read_until(self, condition: Any) -> None:
        """Reads until something has come."""
        while not condition():
            self.step()

    def ask(
        self, *fields: tuple[str, str], path: str = "/chat", protocol: str = "websocket"
    ) -> int:
        """Sends an extended CONNECT; the stream's number."""
        self.read_until(lambda: self.h2.remote_settings.enable_connect_protocol)
        number = self.h2.get_next_available_stream_id()
        fixed = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test.local"),
        ]
        self.h2.send_headers(number, [*fixed, *fields])
        self.flush()
        return number

    def send(self, number: int, data: bytes, *, end: bool = False) -> None:
        """Sends a piece, as the window allows."""
        while data or end:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if not room and data:
                self.step()
                continue
            piece, data = data[:room], data[room:]
            self.h2.send_data(number, piece, end_stream=end and not data)
            self.flush()
            if not data:
                return
