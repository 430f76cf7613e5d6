"""Async hooks: what waits, what goes on, and what becomes of them when the stream goes."""

# ruff: noqa: ARG001, ARG002  (a hook has the arguments that it has)

from __future__ import annotations

import asyncio
import contextvars
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

import moebridge as mb

from .conftest import BenchMaker
from .harness import Bench, Message, read_message, turns

HOOKS = [
    "on_request_headers", "on_request_body", "on_request_trailers", "on_request",
    "on_response_headers", "on_response_body", "on_response_trailers", "on_response",
]  # fmt: skip


def chunked(request: Message) -> Message:
    wire = b"3\r\nabc\r\n3\r\ndef\r\n0\r\nx-r: 1\r\n\r\n"
    return Message("HTTP/1.1 200 OK", [("transfer-encoding", "chunked")], wire)


class Suspends(mb.HttpFilter):
    """One async hook that waits for `gate`, then answers as it is told."""

    def __init__(self, hook: str, answer: Callable[..., Any] = lambda *_: None) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.ended = asyncio.Event()
        self.log: list[str] = []
        self.answer = answer

        async def run(stream: mb.Stream, *data: mb.Buffer) -> Any:
            self.log.append("in")
            self.entered.set()
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.log.append("cancelled")
                self.ended.set()
                raise
            self.log.append("out")
            return self.answer(stream, *data)

        setattr(self, hook, run)


REQUEST = (
    b"POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n"
)


def begin(bench: Bench) -> asyncio.Task[Message]:
    return bench.loop.create_task(bench.exchange(REQUEST))


async def entered(item: Suspends) -> None:
    await item.entered.wait()
    await turns(5)  # whatever would go on wrongly has gone on


@pytest.mark.parametrize("hook", HOOKS)
def test_suspended_hook_holds_its_direction_and_goes_on(make_bench: BenchMaker, hook: str) -> None:
    item = Suspends(hook)
    bench = make_bench(item, handler=chunked)
    asked = begin(bench)
    bench.run(entered(item))
    assert item.log == ["in"]
    assert not asked.done()
    if hook in ("on_request_headers", "on_request"):
        assert bench.requests == []
    item.gate.set()
    answer = bench.run(_wait(asked))
    assert answer.body == b"abcdef"
    assert answer.trailers == [("x-r", "1")]
    assert bench.requests[0].body == b"hello"
    assert bench.requests[0].trailers == [("x-t", "1")]
    assert item.log == ["in", "out"] * (len(item.log) // 2)


async def _wait(task: asyncio.Task[Message]) -> Message:
    return await task


def vanish(writer: asyncio.StreamWriter) -> None:
    """Closes with a reset: a FIN alone is a half-close, whose client still wants its answer."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@pytest.mark.parametrize("hook", HOOKS)
def test_client_gone_cancels_the_hook(make_bench: BenchMaker, hook: str) -> None:
    item = Suspends(hook)
    bench = make_bench(item, handler=chunked)

    async def scenario() -> None:
        _, writer = await bench.connect()
        writer.write(REQUEST)
        await entered(item)
        vanish(writer)
        await item.ended.wait()

    bench.run(scenario())
    assert item.log == ["in", "cancelled"]
    item.gate.set()
    assert bench.run(bench.exchange(REQUEST)).body == b"abcdef"


@pytest.mark.parametrize("hook", HOOKS[4:])
def test_upstream_gone_ends_the_stream(make_bench: BenchMaker, hook: str) -> None:
    """The response breaks off while its hook is suspended: the client never sees a whole one."""
    item = Suspends(hook)
    writers: list[asyncio.StreamWriter] = []

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await read_message(reader)
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
        if hook == "on_response_trailers":
            head += b"0\r\nx-r: 1\r\n\r\n"
        writer.write(head)
        if hook == "on_response":
            item.entered.set()
        await entered(item)
        writer.transport.abort()

    bench = make_bench(item)
    bench._serve = broken  # type: ignore[method-assign]
    bench._upstream.close()
    bench._upstream = bench.run(asyncio.start_server(broken, "127.0.0.1", 0))
    item2 = Suspends(hook)
    item2.gate, item2.entered, item2.log = item.gate, item.entered, item.log
    bench.reload(item2)

    async def scenario() -> Message | None:
        asked = begin(bench)
        await entered(item)
        await turns(20)
        item.gate.set()
        try:
            return await asked
        except (EOFError, ConnectionError):
            return None

    answer = bench.run(scenario())
    if hook == "on_response_trailers":
        assert answer is not None  # it was complete before the upstream went
        assert answer.body == b"abc"
    else:
        assert answer is None or answer.status in (502, 503)
        assert answer is None or hook in ("on_response_headers", "on_response")


@pytest.mark.parametrize("hook", HOOKS)
def test_drain_waits_for_the_hook(make_bench: BenchMaker, hook: str) -> None:
    item = Suspends(hook)
    bench = make_bench(item, handler=chunked)
    asked = begin(bench)
    bench.run(entered(item))
    bench.server.drain(10.0)
    bench.loop.call_later(0.01, item.gate.set)
    bench.server.serve()
    assert item.log[:2] == ["in", "out"]
    assert bench.run(_wait(asked)).body == b"abcdef"


@pytest.mark.parametrize("hook", HOOKS)
def test_drain_over_its_time_cancels_the_hook(make_bench: BenchMaker, hook: str) -> None:
    item = Suspends(hook)
    bench = make_bench(item, handler=chunked)
    asked = begin(bench)
    bench.run(entered(item))
    bench.server.drain(0.01)
    bench.server.serve()
    bench.run(turns(3))
    assert item.log == ["in", "cancelled"]
    with pytest.raises((EOFError, ConnectionError)):
        bench.run(_wait(asked))


@pytest.mark.parametrize("hook", HOOKS)
def test_reload_while_suspended_changes_nothing_for_the_stream(
    make_bench: BenchMaker, hook: str
) -> None:
    item = Suspends(hook)
    bench = make_bench(item, handler=chunked)
    asked = begin(bench)
    bench.run(entered(item))
    bench.reload(mb.HttpFilter())
    item.gate.set()
    assert bench.run(_wait(asked)).body == b"abcdef"


@pytest.mark.parametrize("hook", HOOKS)
def test_close_while_suspended_cancels_the_hook(hook: str) -> None:
    item = Suspends(hook)
    bench = Bench(item, handler=chunked)
    asked = begin(bench)
    bench.run(entered(item))
    asked.add_done_callback(lambda task: task.cancelled() or task.exception())
    bench.close()
    assert item.log == ["in", "cancelled"]


@pytest.mark.parametrize("hook", HOOKS)
def test_exception_after_waiting_is_contained(
    make_bench: BenchMaker, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("late")

    item = Suspends(hook, broken)
    bench = make_bench(item, handler=chunked)
    item.gate.set()
    if hook in ("on_response_body", "on_response_trailers"):
        with pytest.raises((EOFError, ConnectionError)):
            bench.run(bench.exchange(REQUEST))
    else:
        assert bench.run(bench.exchange(REQUEST)).status == 500
    assert "ZeroDivisionError: late" in caplog.text
    assert bench.stats()["py.f0.errors"] == 1


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    "error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
def test_no_exception_of_a_task_stops_the_loop(
    make_bench: BenchMaker, hook: str, error: type[BaseException]
) -> None:
    def broken(*_: object) -> None:
        raise error

    item = Suspends(hook, broken)
    bench = make_bench(item, handler=chunked)
    item.gate.set()
    try:
        assert bench.run(bench.exchange(REQUEST)).status == 500
    except (EOFError, ConnectionError):
        assert hook in ("on_response_body", "on_response_trailers")
    assert bench.stats()["py.f0.errors"] == 1


@pytest.mark.parametrize("hook", [h for h in HOOKS if "response" not in h])
def test_respond_after_waiting(make_bench: BenchMaker, hook: str) -> None:
    item = Suspends(hook, lambda stream, *_: stream.respond(403, body=b"no"))
    bench = make_bench(item, handler=chunked)
    item.gate.set()
    answer = bench.run(bench.exchange(REQUEST))
    assert (answer.status, answer.body) == (403, b"no")


def test_async_headers_may_stop_for_the_body(make_bench: BenchMaker) -> None:
    """The late status is that of the hook: STOP_ITERATION still gets the body hooks."""
    seen: list[bytes] = []

    class Stop(mb.HttpFilter):
        async def on_request_headers(self, stream: mb.Stream) -> mb.Status:
            await asyncio.sleep(0)
            return mb.Status.STOP_ITERATION

        async def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> mb.Status | None:
            await asyncio.sleep(0)
            seen.append(bytes(data))
            if not stream.request.ended:
                return mb.Status.STOP_AND_BUFFER
            stream.request.headers["x-sum"] = str(len(stream.request.body) + len(data))
            return None

    bench = make_bench(Stop())
    answer = bench.ask_pieces(b"one", b"two", b"three")
    assert answer.body == b"onetwothree" == b"".join(seen)
    assert answer.get("x-echo-x-sum") == "11"


def test_async_body_hook_owns_its_piece(make_bench: BenchMaker) -> None:
    running = 0

    class Slow(mb.HttpFilter):
        async def on_request_headers(self, stream: mb.Stream) -> None:
            stream.request.headers.remove("content-length")

        async def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
            nonlocal running
            assert running == 0
            running += 1
            before = bytes(data)
            for _ in range(3):
                await asyncio.sleep(0)
            assert bytes(data) == before
            data.prepend(b"<")
            data.append(b">")
            running -= 1

    bench = make_bench(Slow())
    answer = bench.ask_pieces(b"a", b"b", b"c" * 5000)
    inner = answer.body.replace(b"><", b"").replace(b"<>", b"")
    assert inner == b"<ab" + b"c" * 5000 + b">"
    assert bench.stats()["py.f0.errors"] == 0


def test_data_is_gone_after_the_async_hook(make_bench: BenchMaker) -> None:
    kept: list[mb.Buffer] = []

    class Keep(mb.HttpFilter):
        async def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
            await asyncio.sleep(0)
            kept.append(data)

    make_bench(Keep()).ask("POST", body=b"abc")
    with pytest.raises(mb.StreamGone):
        bytes(kept[0])


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="-")


def test_tasks_of_a_stream_share_its_context(make_bench: BenchMaker) -> None:
    seen: list[str] = []

    class One(mb.HttpFilter):
        async def on_request_headers(self, stream: mb.Stream) -> None:
            seen.append(variable.get())
            variable.set(stream.request.path)
            await asyncio.sleep(0)

        async def on_response_headers(self, stream: mb.Stream) -> None:
            await asyncio.sleep(0)
            seen.append(variable.get())

    class Two(mb.HttpFilter):
        async def on_request_headers(self, stream: mb.Stream) -> None:
            seen.append(variable.get())

    bench = make_bench(One(), Two())
    bench.ask(path="/a")
    bench.ask(path="/b")
    assert seen == ["-", "/a", "/a", "-", "/b", "/b"]
    assert bench.server.worker.contexts == {}


def test_hook_timeout_is_an_error_of_the_filter(make_bench: BenchMaker) -> None:
    item = Suspends("on_request_headers")
    bench = make_bench(item, hook_timeout_s=0.01)
    assert bench.ask().status == 500
    assert item.log == ["in", "cancelled"]
    assert bench.stats()["py.f0.errors"] == 1


def test_resume_inside_an_async_hook_acts_when_it_ends(make_bench: BenchMaker) -> None:
    def answer(stream: mb.Stream) -> mb.Status:
        stream.resume()
        assert bench.requests == []
        return mb.Status.STOP_ITERATION

    item = Suspends("on_request_headers", answer)
    bench = make_bench(item)
    item.gate.set()
    assert bench.ask("POST", body=b"x").body == b"x"


def test_an_awaitable_that_is_no_coroutine(make_bench: BenchMaker) -> None:
    class Future(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> asyncio.Future[None]:
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.set_result, None)
            return future

    assert make_bench(Future()).ask().status == 200


def test_async_complete_sees_a_frozen_copy(make_bench: BenchMaker) -> None:
    seen: list[Any] = []

    class Log(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            stream.metadata.set("space", "key", [1, "two"])
            stream.request.headers["x-own"] = "1"

        async def on_complete(self, stream: mb.Stream) -> None:
            await asyncio.sleep(0.001)
            for use in (
                lambda: stream.request.headers.add("a", "b"),
                lambda: stream.respond(200),
                lambda: stream.resume(),
                lambda: bytes(stream.request.body),
                lambda: stream.metadata.set("a", "b", 1),
            ):
                with pytest.raises(mb.FilterError):
                    use()
            seen.append(
                (
                    stream.request.path,
                    stream.request.headers["x-own"],
                    stream.request.headers["host"],
                    stream.response.status,
                    stream.response.headers["content-length"],
                    stream.metadata.get("space", "key"),
                    stream.metadata["space"],
                    stream.metadata.get("space", "no", 5),
                    stream.info.response_code,
                    stream.info.bytes_sent,
                    stream.request.ended,
                )
            )

    bench = make_bench(Log())
    bench.ask("POST", "/p", body=b"12345")
    bench.ask("POST", "/p", body=b"12345")
    bench.close()
    one = ("/p", "1", "a.test", 200, "5", [1, "two"], {"key": [1, "two"]}, 5, 200, 5, True)
    assert seen == [one, one]


def test_spawned_work_outlives_the_stream_and_the_drain_waits(make_bench: BenchMaker) -> None:
    seen: list[str] = []

    class Spawn(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            self.spawn(self.work(stream.request.path))

        async def work(self, path: str) -> None:
            await asyncio.sleep(0.01)
            seen.append(path)

    bench = make_bench(Spawn())
    bench.ask(path="/x")
    bench.server.drain(1.0)
    bench.server.serve()
    bench.close()
    assert seen == ["/x"]


def test_spawn_contains_exceptions(
    make_bench: BenchMaker, caplog: pytest.LogCaptureFixture
) -> None:
    class Spawn(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            self.spawn(self.work())

        async def work(self) -> None:
            raise SystemExit(3)

    bench = make_bench(Spawn())
    assert bench.ask().status == 200
    bench.run(turns(3))
    assert "spawn raised SystemExit" in caplog.text
    assert bench.stats()["py.f0.errors"] == 1


class Notes(mb.HttpFilter):
    """Its hook notes its name in `order`."""

    def __init__(self, name: str, order: list[str]) -> None:
        super().__init__()
        self.label = name
        self.order = order


class NotesAsync(Notes):
    async def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(self.order.append, f"later than {self.label}")
        self.order.append(f"{self.label} in {task.get_name()}")
        return None


class NotesSync(Notes):
    def on_request_headers(self, stream: mb.Stream) -> None:
        self.order.append(self.label)


def test_hook_that_does_not_wait_answers_within_its_call(make_bench: BenchMaker) -> None:
    order: list[str] = []
    bench = make_bench(NotesAsync("a", order), NotesSync("b", order), NotesAsync("c", order))
    assert bench.ask().status == 200
    assert order == ["a in f0", "b", "c in f2", "later than a", "later than c"]


@pytest.mark.parametrize("waits", [False, True])
def test_what_is_asked_for_before_the_first_await_holds(
    make_bench: BenchMaker, waits: bool
) -> None:
    class Replies(mb.HttpFilter):
        async def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
            status = stream.respond(418, body=b"short")
            if waits:
                await asyncio.get_running_loop().create_future()
            return status

    class Resumes(mb.HttpFilter):
        async def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
            stream.resume()
            if waits:
                await asyncio.sleep(0)
            return mb.Status.STOP_ALL_AND_BUFFER  # taken back by resume()

    assert make_bench(Replies()).ask().status == 418
    assert make_bench(Resumes()).ask().status == 200


def test_what_is_called_while_a_task_is_made_is_not_its_first_step(
    make_bench: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finalizer may run at any allocation, and a transport's calls call_soon."""
    known = asyncio.tasks._all_tasks  # type: ignore[attr-defined]
    add, seen = known.add, []

    class Once(mb.HttpFilter):
        async def on_request_headers(self, stream: mb.Stream) -> None:
            seen.append("hook")

    bench = make_bench(Once())

    def finalizer(task: asyncio.Task[Any]) -> None:
        add(task)
        bench.loop.call_soon(seen.append, "other")
        bench.loop.call_soon(lambda: seen.append("plain"))

    async def ask() -> Message:
        monkeypatch.setattr(known, "add", finalizer)
        answer = await bench.exchange(REQUEST)
        monkeypatch.undo()
        await turns(2)
        return answer

    assert bench.run(ask()).status == 200
    assert seen.count("hook") == 1
    assert {"other", "plain"} <= set(seen)
