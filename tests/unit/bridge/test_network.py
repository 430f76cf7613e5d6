"""Network filters: which hooks are called, what each status does, and how connections end."""

# ruff: noqa: ARG001, ARG002  (a hook has the arguments that it has)

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import moebridge as mb
from moebridge._network import HOOK_NAMES
from moebridge._server import Server
from moebridge.config.model import HttpFilter as Entry
from moebridge.config.model import encode
from moebridge.config.simple import build_simple

from .harness import turns
from .tcp_harness import Reader, TcpBench, Writer

BenchMaker = Callable[..., TcpBench]
CONTINUE, STOP = mb.Status.CONTINUE, mb.Status.STOP_ITERATION


@pytest.fixture
def make_tcp() -> Iterator[BenchMaker]:
    """Makes servers of TCP; they close with the test."""
    with ExitStack() as stack:

        def make(*filters: mb.NetworkFilter, **options: Any) -> TcpBench:
            bench = TcpBench(*filters, **options)
            stack.callback(bench.close)
            return bench

        yield make


class Log(mb.NetworkFilter):
    """Notes every hook in a list that the test gives."""

    def __init__(self, name: str, seen: list[str]) -> None:
        super().__init__()
        self.own = name
        self.seen = seen

    def on_connect(self, conn: mb.Connection) -> None:
        self.seen.append(f"{self.own} connect")

    def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
        self.seen.append(f"{self.own} data {bytes(data)!r} {conn.ended}")

    def on_write(self, conn: mb.Connection, data: mb.Buffer) -> None:
        if data:
            self.seen.append(f"{self.own} write {bytes(data)!r}")

    def on_close(self, conn: mb.Connection) -> None:
        self.seen.append(f"{self.own} close")


def test_hooks_run_in_order_and_writes_in_reverse(make_tcp: BenchMaker) -> None:
    seen: list[str] = []
    bench = make_tcp(Log("a", seen), Log("b", seen))
    assert bench.talk(b"xy") == b"xy<end>"
    bench.settle()
    assert seen[:10] == [
        "a connect",
        "b connect",
        "a data b'xy' False",
        "b data b'xy' False",
        "b write b'xy'",
        "a write b'xy'",
        "a data b'' True",
        "b data b'' True",
        "b write b'<end>'",
        "a write b'<end>'",
    ]
    assert seen[10:] == ["a close", "b close"]


def test_data_may_be_changed_both_ways(make_tcp: BenchMaker) -> None:
    class Change(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            data.replace(bytes(data).upper())

        def on_write(self, conn: mb.Connection, data: mb.Buffer) -> None:
            if data:
                data.prepend(b"[")
                data.append(b"]")

    assert make_tcp(Change()).talk(b"abc").startswith(b"[ABC]")


def test_stopped_data_is_shown_again_with_what_came_behind(make_tcp: BenchMaker) -> None:
    seen: list[bytes] = []

    class Lines(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> mb.Status:
            seen.append(bytes(data))
            return CONTINUE if conn.ended or b"\n" in data else STOP

    assert make_tcp(Lines()).talk(b"ab", b"cd", b"e\n") == b"abcde\n<end>"
    assert seen == [b"ab", b"abcd", b"abcde\n", b""]


def test_a_filter_answers_and_closes(make_tcp: BenchMaker) -> None:
    class Deny(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            conn.write(b"no ")
            conn.write(b"more")
            conn.close(details="denied")

        def on_close(self, conn: mb.Connection) -> None:
            why.append(conn.info.close_details)

    why: list[str | None] = []
    bench = make_tcp(Deny())
    assert bench.talk(b"x") == b"no more"
    bench.settle()
    assert why == ["denied"]


def test_a_filter_speaks_for_the_client(make_tcp: BenchMaker) -> None:
    class Hello(mb.NetworkFilter):
        def on_connect(self, conn: mb.Connection) -> None:
            conn.feed(b"from " + (conn.info.remote_address or "").split(":")[0].encode() + b" ")

    assert make_tcp(Hello()).talk(b"x") == b"from 127.0.0.1 x<end>"


def test_the_upstream_does_not_know_of_a_connection_that_is_stopped(make_tcp: BenchMaker) -> None:
    asked: list[bytes] = []

    async def note(reader: Reader, writer: Writer) -> None:
        asked.append(await reader.read())

    class Password(mb.NetworkFilter):
        def on_connect(self, conn: mb.Connection) -> mb.Status:
            return STOP

        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> mb.Status | None:
            if conn.state.get("known"):
                return None
            if not data.startswith(b"secret\n"):
                conn.close("reset")
                return STOP
            conn.state["known"] = True
            data.drain(7)
            return None

    bench = make_tcp(Password(), handler=note)
    assert bench.talk(b"secret\n", b"hi") == b""
    assert asked == [b"hi"]
    with pytest.raises(ConnectionError):
        bench.talk(b"wrong\n")
    assert asked == [b"hi"]


def test_an_async_hook_suspends_its_direction_only(make_tcp: BenchMaker) -> None:
    seen: list[str] = []

    class Slow(mb.NetworkFilter):
        async def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            seen.append(f"begin {bytes(data)!r}")
            conn.write(b"wait ")
            await turns(10)
            data.append(b"!")
            seen.append("end")

        def on_write(self, conn: mb.Connection, data: mb.Buffer) -> None:
            seen.append("write")

    bench = make_tcp(Slow())
    found = bench.talk(b"a", b"b")
    assert found.startswith(b"wait ")
    assert found.replace(b"wait ", b"") in (b"a!b!<end>", b"a!b!!<end>")
    assert seen[:3] == ["begin b'a'", "end", "begin b'b'"] or seen[0] == "begin b'a'"
    assert seen.index("end") < seen.index("begin b'b'")


def test_an_async_connect_holds_what_comes(make_tcp: BenchMaker) -> None:
    class Late(mb.NetworkFilter):
        async def on_connect(self, conn: mb.Connection) -> None:
            await turns(20)
            conn.feed(b"late ")

    assert make_tcp(Late()).talk(b"a", b"b") == b"late ab<end>"


def test_a_client_that_goes_cancels_what_is_suspended(make_tcp: BenchMaker) -> None:
    seen: list[str] = []
    begun, ended = asyncio.Event(), asyncio.Event()

    class Forever(mb.NetworkFilter):
        async def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            seen.append("begin")
            begun.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                seen.append("cancelled")
                ended.set()
                raise

        def on_close(self, conn: mb.Connection) -> None:
            seen.append("close")

    bench = make_tcp(Forever())

    async def go() -> None:
        _, writer = await asyncio.open_connection(*bench.address)
        writer.write(b"x")
        await begun.wait()
        # A reset: the end alone would be a half-close, and what is suspended could still answer.
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        await ended.wait()

    bench.run(go())
    assert seen == ["begin", "close", "cancelled"]


def test_an_async_close_has_a_frozen_copy(make_tcp: BenchMaker) -> None:
    found: list[object] = []

    class Report(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            conn.state["seen"] = conn.state.get("seen", 0) + len(data)
            conn.metadata.set("app", "user", "ann")

        async def on_close(self, conn: mb.Connection) -> None:
            await turns(10)
            found.extend([conn.state["seen"], conn.info.bytes_received, conn.info.cluster])
            found.append(conn.metadata.get("app", "user"))
            with pytest.raises(mb.FilterError):
                conn.write(b"x")

    bench = make_tcp(Report())
    bench.talk(b"abc")
    bench.run(turns(30))
    assert found == [3, 3, "upstream", "ann"]


@pytest.mark.parametrize("hook", HOOK_NAMES[:3])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_exception_resets_the_connection_and_is_counted(
    make_tcp: BenchMaker, hook: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: object, *arguments: object) -> None:
        raise KeyError("oops")

    async def fail_async(self: object, *arguments: object) -> None:
        await asyncio.sleep(0)
        raise KeyError("oops")

    made = type("Broken", (mb.NetworkFilter,), {hook: fail if kind == "plain" else fail_async})
    bench = make_tcp(made())
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(OSError, match=r"(?i)reset|lost|not connected"),
    ):
        bench.talk(b"x")
    assert f"filter f0: {hook} raised KeyError" in caplog.text
    assert bench.stats()["py.f0.errors"] == 1


def test_fail_open_skips_the_filter_from_there_on(make_tcp: BenchMaker) -> None:
    class Broken(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            data.append(b"?")
            raise ValueError("oops")

    bench = make_tcp(Broken(), fail_open=True)
    assert bench.talk(b"a", b"b") == b"a?b<end>"
    assert bench.stats()["py.f0.errors"] == 1


def test_a_suspended_hook_has_a_bound(make_tcp: BenchMaker) -> None:
    class Forever(mb.NetworkFilter):
        async def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            await asyncio.get_running_loop().create_future()

    with pytest.raises(ConnectionError):
        make_tcp(Forever(), hook_timeout_s=0.01).talk(b"a")


@pytest.mark.parametrize("answer", [mb.Status.STOP_AND_BUFFER, 7, mb.Status.LOCAL_REPLY])
def test_an_answer_that_is_no_status_of_it_is_an_error(
    make_tcp: BenchMaker, answer: object
) -> None:
    class Odd(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> Any:
            return answer

    bench = make_tcp(Odd())
    with pytest.raises(ConnectionError):
        bench.talk(b"a")
    assert bench.stats()["py.f0.errors"] == 1


def test_resume_passes_on_what_is_held(make_tcp: BenchMaker) -> None:
    class Hold(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> mb.Status:
            kept.append(conn)
            if len(kept) == 1:
                threading.Thread(target=lambda: conn.post(lambda: self._go(conn))).start()
            return CONTINUE if conn.ended else STOP

        def _go(self, conn: mb.Connection) -> None:
            conn.held.append(b" posted")
            conn.resume()

    kept: list[mb.Connection] = []
    bench = make_tcp(Hold())

    async def go() -> bytes:
        reader, writer = await asyncio.open_connection(*bench.address)
        writer.write(b"a")
        found = await reader.readexactly(8)
        writer.close()
        return found

    assert bench.run(go()) == b"a posted"


def test_later_use_and_other_threads_are_errors(make_tcp: BenchMaker) -> None:
    kept: list[Any] = []
    wrong: list[BaseException] = []

    class Keep(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            if kept:
                return
            kept.extend([conn, data, memoryview(data)])

            def use() -> None:
                try:
                    conn.write(b"x")
                except BaseException as error:  # noqa: BLE001
                    wrong.append(error)

            thread = threading.Thread(target=use)
            thread.start()
            thread.join()

    bench = make_tcp(Keep())
    bench.talk(b"abc")
    bench.settle()
    conn, data, view = kept
    assert isinstance(wrong[0], mb.WrongThread)
    assert bytes(view) == b"abc"
    for use in (lambda: conn.write(b"x"), lambda: conn.info, lambda: len(data), lambda: conn.state):
        with pytest.raises(mb.StreamGone):
            use()
    assert conn.post(lambda: None) is False


def test_hooks_that_are_not_there_are_not_entered(make_tcp: BenchMaker) -> None:
    class Nothing(mb.NetworkFilter):
        pass

    class Connects(mb.NetworkFilter):
        def on_connect(self, conn: mb.Connection) -> None:
            pass

    none, one = make_tcp(Nothing()), make_tcp(Connects())
    before = none.stats()["bridge.crossings"]
    none.talk(b"a", b"b", b"c")
    assert none.stats()["bridge.crossings"] == before
    before = one.stats()["bridge.crossings"]
    one.talk(b"a", b"b", b"c")
    assert one.stats()["bridge.crossings"] == before + 2  # connect, and the end of its object


def test_untouched_data_is_not_copied(make_tcp: BenchMaker) -> None:
    class Count(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            conn.state["n"] = conn.state.get("n", 0) + len(data)

    bench = make_tcp(Count())
    assert len(bench.talk(b"x" * 100_000)) == 100_005
    assert bench.stats()["bridge.bytes_copied"] == 0


@pytest.mark.parametrize("how", ["now", "reset"])
def test_ways_to_close(make_tcp: BenchMaker, how: str) -> None:
    class Close(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            conn.write(b"lost")
            with pytest.raises(ValueError, match="none of"):
                conn.close("soon")  # type: ignore[arg-type]
            conn.close(how)  # type: ignore[arg-type]

    bench = make_tcp(Close())
    if how == "reset":
        with pytest.raises(ConnectionError):
            bench.talk(b"x")
    else:
        assert bench.talk(b"x") == b""


def test_the_wrong_kind_of_filter_is_refused() -> None:
    class Http(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            pass

    server = Server()
    try:
        place = server.load(Http(), name="h")
        entry = Entry(name="h", module="python", filter="h", config=place.index)
        config = build_simple("127.0.0.1:0", "127.0.0.1:1", (), [entry])
        with pytest.raises(mb.ConfigError, match="is an HTTP filter: a network filter is wanted"):
            server.apply(encode(config))
    finally:
        server.close()


def test_http_stands_behind_network_filters() -> None:
    seen: list[bytes] = []

    class Raw(mb.NetworkFilter):
        def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
            seen.append(bytes(data)[:14])

    class Http(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> mb.Status:
            return stream.respond(200, body=b"from http")

    proxy = mb.Proxy(listen="127.0.0.1:0", upstream="127.0.0.1:1", filters=[Http(), Raw()])

    async def ask() -> bytes:
        async with proxy:
            host, _, port = proxy.addresses["main"].rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            found = await reader.read()
            writer.close()
            return found

    assert asyncio.run(ask()).endswith(b"from http")
    assert seen[0] == b"GET / HTTP/1.1"
