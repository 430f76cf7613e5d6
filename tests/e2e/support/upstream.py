"""Upstream servers on 127.0.0.1 and port 0 unless told else, each on a thread and asyncio loop of
its own.

A handler is `async def handler(exchange)`: it reads what it wants of the request and writes what it
wants as the response, down to raw bytes. `Upstream.requests` has every request whose head was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType

from .messages import Fields, Request, head, parse_head

__all__ = ["Exchange", "Handler", "Upstream", "echo", "fixed", "pieces"]

Handler = Callable[["Exchange"], Awaitable[None]]

REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


class Exchange:
    """One request on a connection of the upstream."""

    def __init__(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.request = request
        self.reader = reader
        self.writer = writer
        self.keep_alive = request.get("connection").lower() != "close"
        self._body_read = False

    async def read_body(self) -> bytes:
        """Reads the rest of the request."""
        if not self._body_read:
            self._body_read = True
            async for piece in self._pieces():
                self.request.body += piece
        return self.request.body

    async def _pieces(self) -> AsyncIterator[bytes]:
        request = self.request
        if request.get("transfer-encoding") == "chunked":
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                request.trailers += parse_head(b"\r\n" + line)[1]
        elif left := int(request.get("content-length", "0")):
            while left:
                piece = await self.reader.read(min(left, 65536))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", left)
                left -= len(piece)
                yield piece

    async def respond(
        self,
        status: int = 200,
        fields: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Reads the request's rest and answers it, with content-length."""
        await self.read_body()
        lines = [*fields, ("content-length", str(len(body)))]
        await self.send(self.head(status, lines) + (body if self.request.method != "HEAD" else b""))

    def head(self, status: int, fields: Iterable[tuple[str, str]]) -> bytes:
        """The head of a response."""
        return head(f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", fields)

    async def start_chunked(
        self, status: int = 200, fields: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Sends the head of a chunked response."""
        await self.send(self.head(status, [*fields, ("transfer-encoding", "chunked")]))

    async def chunk(self, data: bytes) -> None:
        """Sends a chunk, if there is something in it."""
        if data:
            await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_chunks(self, trailers: Fields | None = None) -> None:
        """Sends the last chunk."""
        await self.send(b"0\r\n" + head("", trailers or [])[2:])

    async def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    def abort(self) -> None:
        """Ends the connection with a TCP reset."""
        self.keep_alive = False
        self.writer.transport.abort()

    def close(self) -> None:
        """Ends the connection when the handler returns."""
        self.keep_alive = False


async def echo(exchange: Exchange) -> None:
    """Answers with the request as JSON: method, target, fields, body (Latin-1), trailers.

    The field `x-id` comes back, for tests that count ids.
    """
    await exchange.read_body()
    request = exchange.request
    said = {
        "method": request.method,
        "target": request.target,
        "fields": request.fields,
        "body": request.body.decode("latin-1"),
        "trailers": request.trailers,
    }
    fields = [("content-type", "application/json"), ("x-id", request.get("x-id"))]
    await exchange.respond(200, fields, json.dumps(said).encode())


def fixed(
    body: bytes = b"", *, status: int = 200, fields: Iterable[tuple[str, str]] = ()
) -> Handler:
    """A handler that always gives the same answer."""
    lines = list(fields)

    async def handler(exchange: Exchange) -> None:
        await exchange.respond(status, lines, body)

    return handler


def pieces(
    parts: Iterable[bytes],
    *,
    fields: Iterable[tuple[str, str]] = (),
    gate: threading.Event | None = None,
    trailers: Fields | None = None,
) -> Handler:
    """A handler that sends each part as a chunk and packet of its own.

    Args:
        parts: the parts; an empty one makes no chunk.
        fields: fields of the response.
        gate: when given, what comes after the first part waits until it is set.
        trailers: fields after the last chunk.
    """
    kept, lines = list(parts), list(fields)

    async def handler(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.start_chunked(200, lines)
        for index, part in enumerate(kept):
            if index == 1 and gate is not None:
                await asyncio.to_thread(gate.wait, 20)
            await exchange.chunk(part)
            await asyncio.sleep(0)
        await exchange.end_chunks(trailers)

    return handler


class Upstream:
    """A server that is up between `with Upstream(handler) as upstream:` and its end."""

    def __init__(self, handler: Handler = echo, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.handler = handler
        self.requests: list[Request] = []
        self.connections = 0
        self.address = ""
        self._host = host
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)

    @property
    def ids(self) -> Counter[str]:
        """How often each value of `x-id` was seen."""
        return Counter(request.get("x-id") for request in list(self.requests))

    def __enter__(self) -> Upstream:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Closes the listener and every connection; may be called twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set_result, None)
            self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        server = await asyncio.start_server(self._connection, self._host, self._port)
        host, port = server.sockets[0].getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._ready.set()
        await self._stopped
        server.close()
        for writer in list(self._open):
            writer.transport.abort()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        start, fields = parse_head((await reader.readuntil(b"\r\n\r\n"))[:-4])
        method, target, _ = start.split(" ")
        exchange = Exchange(Request(method, target, fields), reader, writer)
        self.requests.append(exchange.request)
        await self.handler(exchange)
        await exchange.read_body()
        return exchange.keep_alive
