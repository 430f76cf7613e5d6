"""A server with filters, its client and its upstream, all on the worker's own asyncio loop.

No thread and no sleep: `Bench.ask()` runs the loop until the answer is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from msgspec.structs import replace

import moebridge as mb
from moebridge._dispatch import Place
from moebridge._server import Server
from moebridge.config.cluster_model import UpstreamHttp
from moebridge.config.model import Http1Options, PathMatch, PerFilter, RouteConfig, encode
from moebridge.config.model import HttpFilter as Entry
from moebridge.config.simple import SimpleOptions, build_simple

T = TypeVar("T")
Handler = Callable[["Message"], "Message | Awaitable[Message]"]
WAIT_S = 20.0


class Message:
    """A request or a response as it was on the wire."""

    def __init__(
        self, start: str, headers: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> None:
        self.start = start
        self.headers = headers or []
        self.trailers: list[tuple[str, str]] = []
        self.body = body

    @property
    def status(self) -> int:
        return int(self.start.split()[1])

    @property
    def path(self) -> str:
        return self.start.split()[1]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def getall(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def wire(self) -> bytes:
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers)]
        if self.get("transfer-encoding") is None and self.get("content-length") is None:
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


async def read_message(
    reader: asyncio.StreamReader, *, head_only: bool = False, has_body: bool = True
) -> Message:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    message = Message(head[0], [_field(line) for line in head[1:] if line])
    if head_only:
        return message
    if message.get("transfer-encoding") == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            message.body += await reader.readexactly(size)
            await reader.readexactly(2)
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            message.trailers.append(_field(line.decode("latin-1").rstrip("\r\n")))
    elif has_body:
        message.body = await reader.readexactly(int(message.get("content-length") or 0))
    return message


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


def echo(request: Message) -> Message:
    """Answers with the request's body and, as x-echo-*, its headers."""
    headers = [(f"x-echo-{name}", value) for name, value in request.headers]
    headers.append(("x-echo-start", request.start))
    headers += [(f"x-echo-trailer-{name}", value) for name, value in request.trailers]
    return Message("HTTP/1.1 200 OK", headers, request.body)


class Bench:
    """One server in front of one upstream."""

    def __init__(self, *filters: mb.HttpFilter, handler: Handler = echo, **options: Any) -> None:
        self.handler = handler
        self.requests: list[Message] = []
        self.server = Server()
        self.loop = self.server.loop
        self.fail_open = options.pop("fail_open", False)
        self.hook_timeout_s = options.pop("hook_timeout_s", 0.0)
        #: (path, filter): on routes of that prefix the first filter is this object.
        self.override: tuple[str, mb.HttpFilter] | None = options.pop("override", None)
        self.places: list[Place] = []
        self._options: SimpleOptions = options  # type: ignore[assignment]
        self._upstream = self.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._tasks: set[asyncio.Task[Any]] = set()
        self.reload(*filters)
        self.server.accept()
        host, _, port = self.server.listeners["main"].rpartition(":")
        self.address = (host, int(port))

    def reload(self, *filters: mb.HttpFilter) -> None:
        """Applies a configuration with these filters."""
        places = [
            self.server.load(
                item,
                name=f"f{number}",
                fail_open=self.fail_open,
                hook_timeout_s=self.hook_timeout_s,
            )
            for number, item in enumerate(filters)
        ]
        self.run(self.server.start_filters(places))
        entries = [
            Entry(name=place.name, module="python", filter=place.name, config=place.index)
            for place in places
        ]
        port = self._upstream.sockets[0].getsockname()[1]
        config = build_simple("127.0.0.1:0", f"127.0.0.1:{port}", entries, **self._options)
        listener = config.listeners[0]
        chain = listener.filter_chains[0]
        assert chain.hcm is not None
        hcm = replace(chain.hcm, http1=Http1Options(enable_trailers=True))
        if self.override is not None:
            hcm = replace(hcm, route_config=self._overridden(hcm.route_config, *self.override))
        cluster = replace(config.clusters[0], http=UpstreamHttp(enable_trailers=True))
        listener = replace(listener, filter_chains=[replace(chain, hcm=hcm)])
        self.server.apply(encode(replace(config, listeners=[listener], clusters=[cluster])))
        self.places = places

    def _overridden(self, routes: RouteConfig, path: str, item: mb.HttpFilter) -> RouteConfig:
        place = self.server.load(item, name="override")
        host = routes.virtual_hosts[0]
        route = host.routes[0]
        own = replace(
            route,
            match=replace(route.match, path=PathMatch(kind="prefix", value=path)),
            per_filter={"f0": PerFilter(has_config=True, config=place.index)},
        )
        return replace(routes, virtual_hosts=[replace(host, routes=[own, route])])

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs the core and the loop until the coroutine is done."""
        return self.server.run(asyncio.wait_for(coroutine, WAIT_S))

    def close(self) -> None:
        self._upstream.close()
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await read_message(reader)
                self.requests.append(request)
                response = self.handler(request)
                if isinstance(response, Awaitable):
                    response = await response
                writer.write(response.wire())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)

    async def exchange(self, wire: bytes, *, has_body: bool = True) -> Message:
        """Sends bytes on a new connection and reads one response."""
        reader, writer = await self.connect()
        try:
            writer.write(wire)
            return await read_message(reader, has_body=has_body)
        finally:
            writer.close()

    def ask(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        headers: list[tuple[str, str]] | None = None,
        body: bytes = b"",
    ) -> Message:
        """One request, one response."""
        message = Message(f"{method} {path} HTTP/1.1", [("host", "a.test"), *(headers or [])], body)
        if not body and method in ("GET", "HEAD"):
            wire = message.wire().replace(b"content-length: 0\r\n", b"")
        else:
            wire = message.wire()
        return self.run(self.exchange(wire, has_body=method != "HEAD"))

    def ask_pieces(self, *pieces: bytes, path: str = "/", trailers: str = "") -> Message:
        """A chunked request; each piece is on its way before the next is sent."""

        async def send() -> Message:
            reader, writer = await self.connect()
            framing = "host: a.test\r\ntransfer-encoding: chunked\r\n\r\n"
            writer.write(f"POST {path} HTTP/1.1\r\n{framing}".encode())
            for piece in pieces:
                if piece:
                    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await turns(3)
            writer.write(b"0\r\n" + trailers.encode() + b"\r\n")
            try:
                return await read_message(reader)
            finally:
                writer.close()

        return self.run(send())

    def stats(self) -> dict[str, Any]:
        self.run(turns(2))  # counts are flushed when a batch ends
        return self.server.stats()


async def turns(count: int) -> None:
    """Lets the core and the loop run a few turns."""
    for _ in range(count):
        await asyncio.sleep(0)
