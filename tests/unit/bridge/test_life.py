"""Life of filter objects: load, start, stop; metrics; the bridge's own counters."""

# ruff: noqa: ARG002  (a hook has the arguments that it has)

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

import moebridge as mb
from moebridge import _backend
from moebridge._server import Server

from .conftest import BenchMaker
from .harness import Bench


class Life(mb.HttpFilter):
    def __init__(self, log: list[str], name: str = "") -> None:
        super().__init__()
        self.log = log
        self.own = name

    def on_load(self) -> None:
        self.log.append(f"load{self.own}")

    def on_worker_start(self) -> None:
        self.log.append(f"start{self.own}")

    def on_worker_stop(self) -> None:
        self.log.append(f"stop{self.own}")

    def on_request_headers(self, stream: mb.Stream) -> None:
        self.log.append(f"request{self.own}")


class AsyncLife(Life):
    async def on_worker_start(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0.001)
        self.log.append(f"start{self.own}")

    async def on_worker_stop(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0.001)
        self.log.append(f"stop{self.own}")


@pytest.mark.parametrize("kind", [Life, AsyncLife])
def test_load_start_requests_stop(kind: type[Life]) -> None:
    log: list[str] = []
    bench = Bench(kind(log))
    bench.ask()
    bench.close()
    assert log == ["load", "start", "request", "stop"]


@pytest.mark.parametrize("kind", [Life, AsyncLife])
def test_reload_stops_the_old_object_after_its_last_stream(kind: type[Life]) -> None:
    log: list[str] = []
    item = kind(log, "1")
    bench = Bench(item)
    bench.ask()
    bench.reload(kind(log, "2"))
    bench.run(asyncio.sleep(0.02))
    bench.ask()
    assert log == ["load1", "start1", "request1", "load2", "start2", "stop1", "request2"]
    old = weakref.ref(item)
    del item
    bench.ask()
    gc.collect()
    assert old() is None
    bench.close()
    assert log[-1] == "stop2"


def test_many_reloads_use_the_same_places(make_bench: BenchMaker) -> None:
    bench = make_bench(mb.HttpFilter(), mb.HttpFilter())
    for _ in range(20):
        bench.reload(mb.HttpFilter(), mb.HttpFilter())
        bench.ask()
    assert len(bench.server.worker.places) <= 6


def test_one_object_serves_once() -> None:
    server = Server()
    item = mb.HttpFilter()
    server.load(item, name="a")
    with pytest.raises(mb.FilterError, match="part of a proxy already"):
        server.load(item, name="b")
    server.close()


@pytest.mark.parametrize("error", [ValueError("why"), SystemExit(1), mb.FilterError("x")])
def test_raising_in_on_load_is_a_filter_error(error: BaseException) -> None:
    class Broken(mb.HttpFilter):
        def on_load(self) -> None:
            raise error

    server = Server()
    with pytest.raises(mb.FilterError, match="'broken': on_load raised"):
        server.load(Broken(), name="broken")
    assert server.worker.places == [None]
    server.close()


def test_raising_in_start_stops_those_that_started() -> None:
    log: list[str] = []

    class Broken(mb.HttpFilter):
        async def on_worker_start(self) -> None:
            raise ValueError("why")

    server = Server()
    places = [server.load(Life(log), name="a"), server.load(Broken(), name="b")]
    with pytest.raises(mb.FilterError, match="'b': on_worker_start raised ValueError: why"):
        server.run(server.start_filters(places))
    assert log == ["load", "start", "stop"]
    server.close()


def test_raising_in_stop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(mb.HttpFilter):
        def on_worker_stop(self) -> None:
            raise ValueError("why")

    Bench(Broken()).close()
    assert "on_worker_stop raised ValueError" in caplog.text


def test_a_configuration_that_is_refused_names_the_fault(make_bench: BenchMaker) -> None:
    bench = make_bench()
    with pytest.raises(mb.ConfigError):
        bench.server.apply(b"\xc0")
    assert bench.ask().status == 200


class Metrics(mb.HttpFilter):
    def on_load(self) -> None:
        self.seen = self.counter("seen", {"kind": "a"})
        self.again = self.counter("seen", {"kind": "a"})
        self.level = self.gauge("level")
        self.sizes = self.histogram("sizes")

    def on_request_headers(self, stream: mb.Stream) -> None:
        self.seen.inc()
        self.again.inc(2)
        self.level.set(10)
        self.level.dec(3)
        self.level.inc()
        self.sizes.record(100)


def test_metrics_are_the_cores_own(make_bench: BenchMaker) -> None:
    item = Metrics()
    bench = make_bench(item)
    bench.ask()
    bench.ask()
    stats = bench.stats()
    assert [value for name, value in stats.items() if name.startswith("py.f0.seen")] == [6]
    assert stats["py.f0.level"] == 8
    assert stats["py.f0.sizes"]["count"] == 2
    assert item.seen.value() == 6
    assert item.sizes.count() == 2
    assert "py" in bench.server.prometheus()


def test_wrong_metrics_are_refused(make_bench: BenchMaker) -> None:
    class Wrong(mb.HttpFilter):
        def on_load(self) -> None:
            for name in ("", "a b", "a-b", "1a", "\u20ac", "a\n"):
                with pytest.raises(ValueError, match="metric's name"):
                    self.counter(name)
            no_names: list[Any] = [None, 5, b"x"]
            for name in no_names:
                with pytest.raises(TypeError, match="metric's name"):
                    self.counter(name)
            no_labels: list[Any] = [{"a": 5}, {5: "a"}, {"a": None}]
            for labels in no_labels:
                with pytest.raises(TypeError, match="labels are str"):
                    self.counter("ok", labels)
            counter = self.counter("ok")
            for amount in (-1, 2**63, 1.5, "1", None, True):
                with pytest.raises((TypeError, ValueError), match="a metric takes"):
                    counter.inc(amount)  # type: ignore[arg-type]
            with pytest.raises(mb.FilterError, match="another kind"):
                self.gauge("ok")

        def on_request_headers(self, stream: mb.Stream) -> None:
            with pytest.raises(mb.FilterError, match="on_load"):
                self.counter("late")

    bench = make_bench(Wrong())
    assert bench.ask().status == 200


def test_metrics_of_a_closed_server_are_gone() -> None:
    item = Metrics()
    bench = Bench(item)
    bench.close()
    with pytest.raises(mb.StreamGone):
        item.seen.inc()
    with pytest.raises(mb.FilterError, match="not part of a proxy"):
        mb.HttpFilter().counter("x")


@pytest.mark.parametrize("value", [None, 5, "x"])
def test_a_hook_that_is_no_method_is_refused(value: Any) -> None:
    item = mb.HttpFilter()
    setattr(item, "on_request", value)  # noqa: B010
    server = Server()
    with pytest.raises(mb.FilterError, match="on_request is no method"):
        server.load(item, name="a")
    server.close()


def test_config_is_typed_and_checked() -> None:
    class Keys(mb.HttpFilter):
        class Config(mb.Config):
            keys: dict[str, str]
            header: str = "x-api-key"

        config: Config

    assert Keys(keys={"a": "b"}).config.header == "x-api-key"
    wrongs: list[dict[str, Any]] = [{}, {"keys": 5}, {"keys": {}, "other": 1}, {"keys": {"a": 1}}]
    for wrong in wrongs:
        with pytest.raises(mb.ConfigError):
            Keys(**wrong)

    class NoConfig(mb.HttpFilter):
        Config = dict

    with pytest.raises(mb.ConfigError, match="no subclass"):
        NoConfig()


def test_the_gil_is_taken_once_for_many_streams_of_a_turn(make_bench: BenchMaker) -> None:
    """Requests that are read in one turn of the loop share one take."""

    class Noop(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> mb.Status:
            return stream.respond(204)

    bench = make_bench(Noop())
    before = bench.stats()

    async def pipelined() -> None:
        reader, writer = await bench.connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 10)
        for _ in range(10):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()

    bench.run(pipelined())
    after = bench.stats()
    assert after["bridge.crossings"] - before["bridge.crossings"] == 20
    taken = after["bridge.gil_taken"] - before["bridge.gil_taken"]
    assert taken == 20 if _backend.DISPATCH == "cffi" else taken < 10


def test_nothing_is_decoded_that_is_not_touched(make_bench: BenchMaker) -> None:
    class Looks(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            if stream.request.headers.get("x-look"):
                stream.request.headers["x-found"] = "1"

    bench = make_bench(Looks())
    before = bench.stats()["bridge.str_made"]
    bench.ask(headers=[(f"x-{n}", "v") for n in range(50)])
    assert bench.stats()["bridge.str_made"] == before
    bench.ask(headers=[("x-look", "1")])
    assert bench.stats()["bridge.str_made"] == before + 1


def test_both_dispatchers_export_the_same_names() -> None:
    import moebridge._dispatch as cython
    import moebridge._dispatch_cffi as cffi

    for name in _backend.EXPORTED:
        ours, theirs = getattr(cython, name), getattr(cffi, name)
        if isinstance(ours, type):
            public = {item for item in dir(ours) if not item.startswith("_")}
            assert public == {item for item in dir(theirs) if not item.startswith("_")}


def test_every_public_name_exists() -> None:
    for name in mb.__all__:
        assert getattr(mb, name) is not None
