"""The worker's asyncio loop: asyncio works on it, also when a hook gives it work."""

# ruff: noqa: ARG001  (a hook has the arguments that it has)

from __future__ import annotations

import asyncio
import contextvars
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import moebridge as mb

from .conftest import BenchMaker
from .harness import Bench, turns


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    return make_bench()


def test_timers_come_in_order_and_not_early(bench: Bench) -> None:
    async def scenario() -> None:
        began = time.monotonic()
        order: list[int] = []
        for number in (3, 1, 2):
            asyncio.get_running_loop().call_later(number / 1000, order.append, number)
        await asyncio.sleep(0.004)
        assert time.monotonic() - began >= 0.004
        assert order == [1, 2, 3]

    bench.run(scenario())


def test_streams_subprocesses_and_executors_work(bench: Bench) -> None:
    async def scenario() -> tuple[bytes, int]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(input() * 2)", stdin=-1, stdout=-1
        )
        out, _ = await process.communicate(b"ab\n")
        number = await asyncio.to_thread(threading.get_ident)
        return out, number

    out, number = bench.run(scenario())
    assert out == b"abab\n"
    assert number != threading.get_ident()


def test_a_great_deal_goes_through_a_socket_pair(bench: Bench) -> None:
    data = bytes(range(256)) * 20_000

    async def scenario() -> bytes:
        left, right = socket.socketpair()
        reader, other = await asyncio.open_connection(sock=left)
        _, writer = await asyncio.open_connection(sock=right)

        async def send() -> None:
            writer.write(data)
            await writer.drain()
            writer.close()

        _, received = await asyncio.gather(send(), reader.read())
        other.close()
        return received

    assert bench.run(scenario()) == data


def test_call_soon_threadsafe_wakes_a_waiting_core(bench: Bench) -> None:
    future = bench.loop.create_future()
    thread = threading.Thread(
        target=lambda: bench.loop.call_soon_threadsafe(future.set_result, "woken")
    )

    async def scenario() -> str:
        bench.loop.call_later(0.001, thread.start)
        result: str = await future
        return result

    assert bench.run(scenario()) == "woken"
    thread.join()


@pytest.mark.parametrize("how", ["call_soon", "call_later", "call_at", "create_task", "future"])
def test_work_from_a_hook_is_done_at_once(make_bench: BenchMaker, how: str) -> None:
    """asyncio waits without a timeout, the hook runs in that wait: the core has to return."""
    done: list[str] = []

    class Gives(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> mb.Status:
            def act() -> None:
                done.append(how)
                stream.resume()

            async def later() -> None:
                act()

            loop = asyncio.get_running_loop()
            ways: dict[str, Callable[[], object]] = {
                "call_soon": lambda: loop.call_soon(act),
                "call_later": lambda: loop.call_later(0.001, act),
                "call_at": lambda: loop.call_at(loop.time() + 0.001, act),
                "create_task": lambda: keep.append(loop.create_task(later())),
                "future": lambda: self.future(loop, act),
            }
            ways[how]()
            return mb.Status.STOP_ALL_AND_WATERMARK

        def future(self, loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
            future = loop.create_future()
            future.add_done_callback(lambda _: act())
            future.set_result(None)

    keep: list[asyncio.Task[None]] = []
    bench = make_bench(Gives())
    # The client is a thread with plain sockets: nothing else wakes the loop.
    answers: list[bytes] = []

    def client() -> None:
        with socket.create_connection(bench.address, timeout=20) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            answers.append(connection.recv(1000))
        bench.loop.call_soon_threadsafe(finished.set)

    finished = asyncio.Event()
    thread = threading.Thread(target=client)
    thread.start()
    bench.run(_wait(finished))
    thread.join()
    assert answers[0].startswith(b"HTTP/1.1 200")
    assert done == [how]


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def test_other_threads_run_while_the_core_waits(bench: Bench) -> None:
    ran = 0

    def work() -> None:
        nonlocal ran
        while not stop.is_set():
            ran += 1

    stop = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    before = ran
    bench.run(asyncio.sleep(0.02))
    assert ran > before
    stop.set()
    thread.join()


def test_signals_are_handled_while_the_core_waits(bench: Bench) -> None:
    seen: list[int] = []
    event = asyncio.Event()

    def handler() -> None:
        seen.append(signal.SIGUSR1)
        event.set()

    bench.loop.add_signal_handler(signal.SIGUSR1, handler)
    bench.loop.call_later(0.001, signal.raise_signal, signal.SIGUSR1)
    bench.run(_wait(event))
    bench.loop.remove_signal_handler(signal.SIGUSR1)
    assert seen == [signal.SIGUSR1]


def test_readers_can_be_added_changed_and_removed(bench: Bench) -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    seen: list[bytes] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def readable() -> None:
            seen.append(left.recv(10))
            event.set()

        loop.add_reader(left, readable)
        right.send(b"one")
        await event.wait()
        event.clear()
        loop.add_writer(left, event.set)  # both directions of one descriptor
        await event.wait()
        loop.remove_writer(left)
        event.clear()
        right.send(b"two")
        await event.wait()
        assert loop.remove_reader(left) is True
        assert loop.remove_reader(left) is False
        right.send(b"three")
        await turns(5)

    bench.run(scenario())
    assert seen == [b"one", b"two"]
    left.close()
    right.close()


def test_the_loop_sleeps_when_there_is_nothing_to_do(bench: Bench) -> None:
    before = bench.stats()["loop.iterations"]
    bench.run(asyncio.sleep(0.05))
    assert bench.stats()["loop.iterations"] - before < 30


def test_closing_twice_is_closing_once() -> None:
    bench = Bench()
    bench.close()
    bench.close()
    assert bench.loop.is_closed()
    with pytest.raises(RuntimeError, match="closed"):
        bench.server.worker.run(0)


def test_a_server_is_run_on_its_own_thread(bench: Bench) -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            bench.server.worker.run(0)
        except mb.WrongThread as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(raised) == 1


def test_another_thread_may_adopt_the_server(make_bench: BenchMaker) -> None:
    seen: list[int] = []

    class Note(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            seen.append(threading.get_ident())
            assert stream.request.path == "/"

    bench = Bench(Note())

    def work() -> None:
        bench.server.adopt()
        assert bench.ask().status == 200
        bench.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [thread.ident]


def test_callbacks_are_called_in_order_in_their_context(bench: Bench) -> None:
    variable = contextvars.ContextVar("variable", default="none")
    own = contextvars.copy_context()
    own.run(variable.set, "own")
    calls: list[tuple[int, str]] = []

    def called(number: int) -> None:
        calls.append((number, variable.get()))

    async def ask() -> None:
        variable.set("asker")
        bench.loop.call_soon(called, 1)
        bench.loop.call_soon(called, 2, context=own)
        bench.loop.call_soon_threadsafe(called, 3)
        bench.loop.call_soon(called, 4)
        variable.set("later")  # each took what was there
        await turns(2)

    bench.run(ask())
    assert calls == [(1, "asker"), (2, "own"), (3, "asker"), (4, "asker")]


def test_a_cancelled_callback_is_not_called(bench: Bench) -> None:
    calls: list[int] = []

    async def ask() -> None:
        handle = bench.loop.call_soon(calls.append, 1)
        bench.loop.call_soon(calls.append, 2)
        assert not handle.cancelled()
        handle.cancel()
        assert handle.cancelled()
        assert repr(handle) == "<Handle cancelled>"
        await turns(2)
        handle.cancel()

    bench.run(ask())
    assert calls == [2]


def test_a_callback_may_cancel_its_own_handle(bench: Bench) -> None:
    seen: list[object] = []

    async def ask() -> None:
        handles: list[asyncio.Handle] = []

        def cancels(*given: object) -> None:
            handles.pop().cancel()
            seen.extend(given)

        handles.append(bench.loop.call_soon(cancels, object(), bytes(1000)))
        await turns(2)

    bench.run(ask())
    assert len(seen) == 2
    assert seen[1] == bytes(1000)


def test_a_callback_that_raises_goes_to_the_exception_handler(bench: Bench) -> None:
    seen: list[dict[str, Any]] = []
    bench.loop.set_exception_handler(lambda _loop, context: seen.append(context))
    error = LookupError("no")

    def raises(_argument: int) -> None:
        raise error

    async def ask() -> None:
        bench.loop.call_soon(raises, 5)
        await turns(2)

    bench.run(ask())
    (context,) = seen
    assert context["exception"] is error
    assert "raises" in context["message"]
    assert "raises" in repr(context["handle"])


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_callback_can_end_the_loop(bench: Bench, kind: type[BaseException]) -> None:
    def ends() -> None:
        raise kind

    async def ask() -> None:
        bench.loop.call_soon(ends)
        await asyncio.sleep(5)

    with pytest.raises(kind):
        bench.run(ask())


def test_the_debug_mode_refuses_what_is_no_callback(bench: Bench) -> None:
    async def wrong() -> None:
        pass

    async def ask() -> None:
        bench.loop.set_debug(True)
        coroutine = wrong()
        try:
            with pytest.raises(TypeError, match="coroutines cannot be used"):
                bench.loop.call_soon(coroutine)  # type: ignore[arg-type]
        finally:
            coroutine.close()
            bench.loop.set_debug(False)

    bench.run(ask())


def test_a_closed_loop_refuses_callbacks() -> None:
    bench = Bench()
    bench.close()
    with pytest.raises(RuntimeError, match="closed"):
        bench.loop.call_soon(print)
