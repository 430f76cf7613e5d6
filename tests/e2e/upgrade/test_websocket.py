"""WebSockets through the proxy, with the `websockets` library on both sides: without a filter, with
one that edits frames, and with hooks that wait."""

# ruff: noqa: ARG002  (a hook has the arguments that it has)

from __future__ import annotations

import asyncio
import contextlib
import json
import socket as socket_module
import struct
from pathlib import Path
from typing import Any

import pytest
from examples.websocket_filter import Frames, UpperCase, masked
from tests.e2e.support.command import Command
from tests.e2e.support.envoy_config import http_config
from tests.e2e.upgrade.conftest import allow, echo_messages, run, until, websocket_server
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

import moebridge as mb

ROOT = Path(__file__).resolve().parents[3]


class AsyncUpperCase(UpperCase):
    """The same, but each body hook waits for the loop first."""

    async def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().on_request_body(stream, data)

    async def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().on_response_body(stream, data)


class Whole(mb.HttpFilter):
    """Has hooks for whole messages, and for their heads."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def on_request_headers(self, stream: mb.Stream) -> None:
        self.calls.append(f"{stream.request.method} {stream.request.headers.get('upgrade')}")

    def on_request(self, stream: mb.Stream) -> None:
        self.calls.append("whole request")

    def on_response(self, stream: mb.Stream) -> None:
        self.calls.append("whole response")

    def on_complete(self, stream: mb.Stream) -> None:
        self.calls.append("complete")


KINDS: dict[str, Any] = {"none": None, "edits": UpperCase, "edits, async": AsyncUpperCase}


def reset(connection: ClientConnection | ServerConnection) -> None:
    """Ends a connection with RST: a FIN would be one direction's end."""
    sock = connection.transport.get_extra_info("socket")
    sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


def make_proxy(upstream: str, *filters: mb.HttpFilter) -> mb.Proxy:
    return mb.Proxy(
        listen="127.0.0.1:0", upstream=upstream, filters=list(filters), upgrades=["websocket"]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_messages_of_all_kinds_pass(kind: str) -> None:
    item = KINDS[kind]

    def seen(text: str) -> str:
        return text.upper() if item else text

    async def main() -> None:
        async with (
            websocket_server() as upstream,
            make_proxy(upstream, *([item()] if item else [])) as proxy,
            connect(f"ws://{proxy.addresses['main']}/chat?x", max_size=1 << 24) as socket,
        ):
            for text in ("hello", "", "Straße " * 1000, "x" * 125, "x" * 126, "x" * 65_536):
                await socket.send(text)
                # "ß" stays: the filter knows ASCII, since lengths must not change
                assert await socket.recv() == (text.encode().upper().decode() if item else text), (
                    text[:20]
                )
            for size in (0, 1, 65_535, 1 << 20):
                binary = bytes(range(256)) * (size // 256 + 1)
                await socket.send(binary[:size])
                assert await socket.recv() == binary[:size]
            await socket.send("y" * (1 << 20))
            assert await socket.recv() == seen("y" * (1 << 20))
            await socket.send(["a", "bc", "", "def"])  # fragments
            assert await socket.recv() == seen("abcdef")
            await (await socket.ping(b"payload of a ping"))
        if item:
            return
        assert proxy.stats()["http.ingress_http.downstream_rq_1xx"] == 1

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_of_one_byte(kind: str) -> None:
    item = KINDS[kind]
    mask = b"\x01\x80\xff\x00"

    def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
        return (
            bytes([opcode | (0x80 if last else 0), 0x80 | len(payload)])
            + mask
            + masked(payload, mask, 0)
        )

    async def main() -> None:
        async with (
            websocket_server() as upstream,
            make_proxy(upstream, *([item()] if item else [])) as proxy,
        ):
            reader, writer = await asyncio.open_connection(*proxy.addresses["main"].split(":"))
            sent = (
                b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            sent += frame(Opcode.TEXT, b"ab", last=False) + frame(Opcode.PING, b"p")
            sent += frame(Opcode.CONT, b"cde") + frame(Opcode.BINARY, b"bin")
            for byte in sent:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            text = b"ABCDE" if item else b"abcde"
            for expected in (b"\x8a\x01p", b"\x81\x05" + text, b"\x82\x03bin"):
                assert await reader.readexactly(len(expected)) == expected
            writer.close()
            await writer.wait_closed()

    run(main())


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_frames_are_followed_however_they_are_cut(step: int) -> None:
    mask = b"mask"
    payloads = [b"", b"a" * 125, b"b" * 126, b"c" * 70_000]
    stream = expected = b""
    for payload in payloads:
        size = len(payload)
        length = (
            bytes([size])
            if size < 126
            else b"\x7e" + size.to_bytes(2, "big")
            if size < 65_536
            else b"\x7f" + size.to_bytes(8, "big")
        )
        stream += b"\x81" + bytes([length[0] | 0x80]) + length[1:] + mask + masked(payload, mask, 0)
        stream += b"\x82\x01x"
        upper = masked(payload.upper(), mask, 0)
        expected += b"\x81" + bytes([length[0] | 0x80]) + length[1:] + mask + upper + b"\x82\x01x"
    frames = Frames()
    got = b"".join(frames.edit(stream[at : at + step]) for at in range(0, len(stream), step))
    assert got == expected


def test_hooks_of_whole_messages_are_not_for_tunnels() -> None:
    whole = Whole()

    async def main() -> None:
        async with websocket_server() as upstream, make_proxy(upstream, whole) as proxy:
            address = proxy.addresses["main"]
            async with connect(f"ws://{address}/", compression=None) as socket:
                await socket.send("x" * 100_000)  # more than may be held
                assert len(await socket.recv()) == 100_000
            reader, writer = await asyncio.open_connection(*address.split(":"))
            writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")  # the server asks for an upgrade
            assert b"426" in await reader.readline()
            writer.close()
            await writer.wait_closed()

    run(main())
    assert whole.calls == [
        "GET websocket",
        "complete",
        "GET None",
        "whole request",
        "whole response",
        "complete",
    ]


def test_the_closing_handshake_ends_both_sides() -> None:
    codes: list[int | None] = []
    ended = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        with pytest.raises(ConnectionClosed):
            await echo_messages(connection)
        codes.append(connection.close_code)
        ended.set()

    async def main() -> None:
        async with websocket_server(handler) as upstream, make_proxy(upstream) as proxy:
            async with connect(f"ws://{proxy.addresses['main']}/") as socket:
                await socket.close(4001, "enough")
            assert socket.close_code == 4001
            await ended.wait()
            await asyncio.to_thread(
                until, lambda: proxy.stats()["cluster.upstream.upstream_cx_active"] == 0
            )

    run(main())
    assert codes == [4001]


# -- while a hook waits ----------------------------------------------------------------------------


class Gate(mb.HttpFilter):
    """Holds the first piece of one direction until the test says so."""

    #: The test's loop, set before the first stream.
    caller: asyncio.AbstractEventLoop

    def __init__(self, *, response: bool) -> None:
        super().__init__()
        self.response = response
        self.waits = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.over = asyncio.Event()

    def on_worker_start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.let = asyncio.Event()

    async def hold(self, caller: asyncio.AbstractEventLoop) -> None:
        caller.call_soon_threadsafe(self.waits.set)
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            caller.call_soon_threadsafe(self.cancelled.set)
            raise

    async def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        if not self.response and len(data):
            await self.hold(self.caller)

    async def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        if self.response and len(data) and stream.response.status == 101:
            await self.hold(self.caller)

    def on_complete(self, stream: mb.Stream) -> None:
        self.caller.call_soon_threadsafe(self.over.set)

    def release(self) -> None:
        self.loop.call_soon_threadsafe(self.let.set)


DIRECTIONS = pytest.mark.parametrize("response", [False, True], ids=["request", "response"])


@DIRECTIONS
def test_a_hook_that_waits_delays_only(response: bool) -> None:
    async def main() -> None:
        gate = Gate(response=response)
        gate.caller = asyncio.get_running_loop()
        async with websocket_server() as upstream, make_proxy(upstream, gate) as proxy:
            async with connect(f"ws://{proxy.addresses['main']}/") as socket:
                await socket.send("one")
                await gate.waits.wait()
                await socket.send("two")
                gate.release()
                assert [await socket.recv(), await socket.recv()] == ["one", "two"]
            await gate.over.wait()
            assert not gate.cancelled.is_set()

    run(main())


@DIRECTIONS
def test_client_gone_while_a_hook_waits(response: bool) -> None:
    gone = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await echo_messages(connection)
        gone.set()

    async def main() -> None:
        gate = Gate(response=response)
        gate.caller = asyncio.get_running_loop()
        async with websocket_server(handler) as upstream, make_proxy(upstream, gate) as proxy:
            socket = await connect(f"ws://{proxy.addresses['main']}/")
            await socket.send("one")
            await gate.waits.wait()
            reset(socket)
            await gate.cancelled.wait()
            await gate.over.wait()
            await gone.wait()

    run(main())


@DIRECTIONS
def test_upstream_gone_while_a_hook_waits(response: bool) -> None:
    left = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        if response:
            await connection.send("first")
        await left.wait()
        reset(connection)

    async def main() -> None:
        gate = Gate(response=response)
        gate.caller = asyncio.get_running_loop()
        async with websocket_server(handler) as upstream, make_proxy(upstream, gate) as proxy:
            socket = await connect(f"ws://{proxy.addresses['main']}/")
            await socket.send("one")
            await gate.waits.wait()
            left.set()
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            await gate.over.wait()
            await gate.cancelled.wait()  # the task hears of it in the loop's next turn

    left = asyncio.Event()
    run(main())


@DIRECTIONS
def test_reload_while_a_hook_waits(response: bool) -> None:
    async def main() -> None:
        old, new = Gate(response=response), Whole()
        old.caller = asyncio.get_running_loop()
        async with websocket_server() as upstream, make_proxy(upstream, old) as proxy:
            async with connect(f"ws://{proxy.addresses['main']}/") as socket:
                await socket.send("one")
                await old.waits.wait()
                await asyncio.to_thread(proxy.reload, filters=[new])
                old.release()
                assert await socket.recv() == "one"
                async with connect(f"ws://{proxy.addresses['main']}/") as other:
                    await other.send("two")
                    assert await other.recv() == "two"
                await socket.send("three")  # still on the old configuration
                assert await socket.recv() == "three"
            await old.over.wait()
            assert new.calls[0] == "GET websocket"
            assert not old.cancelled.is_set()

    run(main())


@DIRECTIONS
def test_drain_while_a_hook_waits(response: bool) -> None:
    async def main() -> None:
        gate = Gate(response=response)
        gate.caller = asyncio.get_running_loop()
        async with websocket_server() as upstream:
            proxy = make_proxy(upstream, gate)
            await asyncio.to_thread(proxy.start)
            socket = await connect(f"ws://{proxy.addresses['main']}/")
            await socket.send("one")
            await gate.waits.wait()
            stopped = asyncio.create_task(asyncio.to_thread(proxy.stop))
            while True:  # the listener is closed: the drain has begun
                try:
                    _, writer = await asyncio.open_connection(*proxy.addresses["main"].split(":"))
                except (OSError, KeyError):
                    break
                writer.close()
            gate.release()
            assert await socket.recv() == "one"
            await socket.send("two")
            assert await socket.recv() == "two"
            await socket.close()
            await stopped
            assert not gate.cancelled.is_set()

    run(main())


def test_sigterm_closes_tunnels_at_the_drain_timeout(tmp_path: Path) -> None:
    async def main() -> None:
        async with websocket_server() as upstream:
            file = tmp_path / "envoy.json"
            config = http_config(upstream, hcm=allow("websocket", drain_timeout="1s"))
            file.write_text(json.dumps(config))
            with Command("run", "-c", str(file)) as command:
                address = await asyncio.to_thread(lambda: command.address)
                socket = await connect(f"ws://{address}/")
                await socket.send("one")
                assert await socket.recv() == "one"
                ended = asyncio.create_task(asyncio.to_thread(command.terminate))
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
                assert await ended == 0

    run(main())
