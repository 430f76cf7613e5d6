"""What happens to a suspended hook: client gone, upstream gone, reload, drain."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from tests.e2e.load.proxy_process import eventually
from tests.e2e.support.client import ClosedEarly, RawClient, fetch
from tests.e2e.support.upstream import Exchange, Upstream, echo

import moebridge as mb

HOOKS = (
    "on_request_headers",
    "on_request_body",
    "on_response_headers",
    "on_response_body",
    "on_complete",
)
WAIT = ("x-wait", "1")


class Waiter(mb.HttpFilter):
    """Suspends one hook of requests with `x-wait` until it is let go."""

    class Config(mb.Config):
        hook: str = "none"

    class State:
        waits = False

    config: Config
    alive: ClassVar[weakref.WeakSet[mb.HttpFilter]] = weakref.WeakSet()

    def on_load(self) -> None:
        self.alive.add(self)
        #: entered, released, cancelled: what the suspended hook saw.
        self.seen: list[str] = []
        self.entered = threading.Event()
        self.stopped = threading.Event()
        self.states: weakref.WeakSet[Any] = weakref.WeakSet()

    def on_worker_stop(self) -> None:
        self.stopped.set()

    def let_go(self) -> None:
        """On the proxy's thread."""
        self.gate.set()

    async def _pass(self, stream: mb.Stream, hook: str) -> None:
        if hook != self.config.hook or not stream.state.waits or self.entered.is_set():
            return
        self.gate = asyncio.Event()
        self.seen.append("entered")
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        self.seen.append("released")

    async def on_request_headers(self, stream: mb.Stream) -> None:
        stream.state.waits = "x-wait" in stream.request.headers
        self.states.add(stream.state)
        await self._pass(stream, "on_request_headers")

    async def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        await self._pass(stream, "on_request_body")
        _ = len(data)

    async def on_response_headers(self, stream: mb.Stream) -> None:
        await self._pass(stream, "on_response_headers")

    async def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        await self._pass(stream, "on_response_body")
        _ = len(data)

    async def on_complete(self, stream: mb.Stream) -> None:
        await self._pass(stream, "on_complete")


@dataclass
class Scene:
    """A proxy with one request whose hook is suspended, and its peers."""

    hook: str
    upstream: Upstream = field(init=False)
    proxy: mb.Proxy = field(init=False)
    waiter: Waiter = field(init=False)
    client: RawClient = field(init=False)
    #: The upstream goes on: with the rest of its answer, or gone.
    go_on: threading.Event = field(default_factory=threading.Event)
    upstream_fails: bool = False

    async def answer(self, exchange: Exchange) -> None:
        if not exchange.request.has("x-wait"):
            await echo(exchange)
            return
        if self.hook != "on_request_body":
            await exchange.read_body()
            await exchange.start_chunked()
            await exchange.chunk(b"first ")
        await asyncio.to_thread(self.go_on.wait, 20)
        if self.upstream_fails:
            exchange.abort()
            return
        if self.hook == "on_request_body":
            await exchange.read_body()
            await exchange.start_chunked()
            await exchange.chunk(b"first ")
        await exchange.chunk(b"second")
        await exchange.end_chunks()

    def suspend(self) -> None:
        """Sends the request, waits until its hook is suspended."""
        if self.hook == "on_complete":
            self.go_on.set()
        self.client.start("POST", fields=[WAIT], body=b"0123456789")
        if self.hook == "on_complete":
            assert self.client.read_response().body == b"first second"
        assert self.waiter.entered.wait(20)
        self.others_are_served()

    def others_are_served(self) -> None:
        response = fetch(self.proxy.addresses["main"], fields=[("x-id", "other")])
        assert (response.status, response.get("x-id")) == (200, "other")

    def let_go(self) -> None:
        self.proxy.call_soon(self.waiter.let_go)

    def saw(self, *what: str) -> None:
        """Waits until the hook saw something, and checks that it is all."""
        eventually(str(what), lambda: len(self.waiter.seen) >= len(what))
        assert self.waiter.seen == list(what)

    def nothing_is_left(self) -> None:
        """Asks the proxy's thread what there is when no request is on its way."""
        server = self.proxy._engine._server
        assert server is not None
        worker, loop = server.worker, server.loop
        left: dict[str, int] = {}

        def look() -> None:
            left["tasks"] = len(asyncio.all_tasks(loop))
            left["contexts"] = len(worker.contexts)
            left["outstanding"] = len(worker.outstanding)
            left["states"] = len(self.waiter.states)

        def none_left() -> bool:
            self.proxy.call_soon(look)
            stats = self.proxy.stats()
            left["active"] = stats["http.ingress_http.downstream_rq_active"]
            left["leases"] = stats["server.leases"]
            return len(left) == 6 and not any(left.values())

        try:
            eventually("nothing is left", none_left)
        except AssertionError:
            raise AssertionError(left) from None


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    found = Scene(hook=request.param)
    found.waiter = Waiter(hook=found.hook)

    async def handler(exchange: Exchange) -> None:
        await found.answer(exchange)

    with Upstream(handler) as found.upstream:
        found.proxy = mb.Proxy(
            listen="127.0.0.1:0", upstream=found.upstream.address, filters=[found.waiter]
        )
        found.proxy.start()
        try:
            with RawClient(found.proxy.addresses["main"]) as found.client:
                found.suspend()
                yield found
                found.go_on.set()
        finally:
            found.go_on.set()
            found.proxy.stop()
    assert found.waiter.stopped.is_set()


each_hook = pytest.mark.parametrize("scene", HOOKS, indirect=True)


@each_hook
def test_client_gone_cancels_the_hook_once(scene: Scene) -> None:
    scene.client.abort()
    if scene.hook == "on_complete":  # it has a copy of its own
        scene.others_are_served()
        scene.let_go()
        scene.saw("entered", "released")
    else:
        scene.saw("entered", "cancelled")
    scene.others_are_served()
    scene.nothing_is_left()
    assert scene.waiter.seen.count("cancelled") == (scene.hook != "on_complete")


@each_hook
def test_upstream_gone_ends_the_stream_and_cancels_the_hook_once(scene: Scene) -> None:
    scene.upstream_fails = True
    scene.go_on.set()
    if scene.hook in ("on_request_headers", "on_complete"):  # no upstream is waited for
        scene.others_are_served()
        scene.let_go()
        scene.saw("entered", "released")
    else:
        scene.saw("entered", "cancelled")
    if scene.hook == "on_request_body":
        assert scene.client.read_response().status == 503
    elif scene.hook != "on_complete":  # the upstream's response was begun: as in Envoy, no 503
        with pytest.raises(ClosedEarly):
            scene.client.read_response()
    scene.others_are_served()
    scene.nothing_is_left()


@each_hook
def test_reload_leaves_the_hook_with_its_own_configuration(scene: Scene) -> None:
    scene.proxy.reload(filters=[Waiter()])
    scene.others_are_served()
    assert scene.waiter.seen == ["entered"]
    if scene.hook != "on_complete":
        assert not scene.waiter.stopped.is_set()
    scene.let_go()
    scene.go_on.set()
    scene.saw("entered", "released")
    if scene.hook != "on_complete":
        assert scene.client.read_response().body == b"first second"
    assert scene.waiter.stopped.wait(20)
    scene.nothing_is_left()


@each_hook
def test_drain_waits_for_the_hook(scene: Scene) -> None:
    stopping = threading.Thread(target=scene.proxy.stop)
    stopping.start()
    eventually("no new connections", lambda: refuses(scene.proxy))
    assert scene.waiter.seen == ["entered"]
    scene.let_go()
    scene.go_on.set()
    scene.saw("entered", "released")
    if scene.hook != "on_complete":
        response = scene.client.read_response()
        assert (response.status, response.body) == (200, b"first second")
    stopping.join(30)
    assert not stopping.is_alive()
    assert scene.waiter.stopped.is_set()
    assert len(scene.waiter.states) == 0
    stats = scene.proxy.stats()
    assert stats["server.leases"] == stats["http.ingress_http.downstream_rq_active"] == 0


def refuses(proxy: mb.Proxy) -> bool:
    try:
        RawClient(proxy.addresses["main"]).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was in the backlog when the listener closed
        return False
    return False


class Ended(mb.HttpFilter):
    """Notes what an async on_complete has of its stream."""

    class State:
        number = 0

    def on_load(self) -> None:
        self.found: list[tuple[int, str]] = []

    def on_request_headers(self, stream: mb.Stream) -> None:
        stream.state.number = 7

    async def on_complete(self, stream: mb.Stream) -> None:
        before = stream.state
        await asyncio.sleep(0)
        assert stream.state is before
        self.found.append((stream.state.number, stream.request.path))


def test_async_complete_has_its_streams_state() -> None:
    ended = Ended()
    with Upstream() as upstream:
        proxy = mb.Proxy(listen="127.0.0.1:0", upstream=upstream.address, filters=[ended])
        proxy.start()
        fetch(proxy.addresses["main"], "/a")
        proxy.stop()
    assert ended.found == [(7, "/a")]


class ResetFirst(mb.HttpFilter):
    """Its stream is gone when its coroutine comes to its first wait."""

    class State:
        pass

    def on_load(self) -> None:
        self.coroutines: list[weakref.ref[Any]] = []
        self.states: weakref.WeakSet[Any] = weakref.WeakSet()
        self.cancelled = 0

    def on_request_headers(self, stream: mb.Stream) -> Awaitable[None]:
        self.states.add(stream.state)
        stream.reset()
        coroutine = self.work(stream, stream.state)
        self.coroutines.append(weakref.ref(coroutine))
        return coroutine

    async def work(self, *_held: object) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def test_hook_that_resets_its_stream_before_it_waits_leaves_nothing() -> None:
    """Also no "coroutine was never awaited": warnings are errors here."""
    filter_ = ResetFirst()
    with Upstream() as upstream:
        proxy = mb.Proxy(listen="127.0.0.1:0", upstream=upstream.address, filters=[filter_])
        proxy.start()
        gc.disable()
        try:
            for _ in range(10):
                with RawClient(proxy.addresses["main"]) as client:
                    client.start()
                    assert client.is_closed()
            eventually("gone", lambda: not filter_.states)
            eventually("collected", lambda: not any(ref() for ref in filter_.coroutines))
            assert len(filter_.coroutines) == filter_.cancelled == 10
        finally:
            gc.enable()
            proxy.stop()
    assert proxy.stats()["py.ResetFirst.errors"] == 0
