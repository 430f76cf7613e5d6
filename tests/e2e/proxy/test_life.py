"""run, start/stop, async with: where hooks run, what comes back, what is refused."""

# ruff: noqa: ARG001, ARG002  (a hook has the arguments that it has)

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import Any

import pytest

import moebridge as mb

from ..conftest import ProxyMaker
from ..support.client import RawClient, fetch
from ..support.upstream import Exchange, Upstream


class Where(mb.HttpFilter):
    """Notes threads and the order of its life."""

    def __init__(self, /, **config: Any) -> None:
        super().__init__(**config)
        self.threads: set[int] = set()
        self.life: list[str] = []

    def on_load(self) -> None:
        self.life.append("load")

    async def on_worker_start(self) -> None:
        await asyncio.sleep(0)
        self.life.append("start")

    def on_request_headers(self, stream: mb.Stream) -> None:
        self.threads.add(threading.get_ident())
        self.life.append("request")

    async def on_worker_stop(self) -> None:
        await asyncio.sleep(0)
        self.life.append("stop")


def simple(upstream: Upstream, *filters: Any, **options: Any) -> mb.Proxy:
    return mb.Proxy(
        listen="127.0.0.1:0", upstream=upstream.address, filters=list(filters), **options
    )


def test_start_and_stop(upstream: Upstream) -> None:
    where = Where()
    proxy = simple(upstream, where)
    assert proxy.addresses == {}
    proxy.start()
    assert fetch(proxy.addresses["main"]).status == 200
    address = proxy.addresses["main"]
    proxy.stop()
    proxy.stop()
    assert where.life == ["load", "start", "request", "stop"]
    assert where.threads.isdisjoint({threading.get_ident()})
    with pytest.raises(ConnectionRefusedError):
        RawClient(address)
    assert proxy.stats()["py.Where.errors"] == 0
    assert "envoy_py_Where_errors 0" in proxy.prometheus()


def test_async_with_never_runs_hooks_on_the_callers_loop(upstream: Upstream) -> None:
    where = Where()

    async def main() -> int:
        async with simple(upstream, where) as proxy:
            response = await asyncio.to_thread(fetch, proxy.addresses["main"])
            return response.status

    assert asyncio.run(main()) == 200
    assert where.life[-1] == "stop"
    assert threading.get_ident() not in where.threads


def test_stop_waits_for_streams(upstream: Upstream, make_proxy: ProxyMaker) -> None:
    begun, gate = threading.Event(), threading.Event()

    async def slow(exchange: Exchange) -> None:
        begun.set()
        await asyncio.to_thread(gate.wait, 20)
        await exchange.respond(200, [], b"late")

    upstream.handler = slow
    proxy = make_proxy()
    with RawClient(proxy.addresses["main"]) as client:
        client.start()
        assert begun.wait(10)
        stopping = threading.Thread(target=proxy.stop)
        stopping.start()
        gate.set()
        assert client.read_response().body == b"late"
        stopping.join(10)
        assert not stopping.is_alive()


def test_stop_from_a_hook_returns(upstream: Upstream) -> None:
    class Stopper(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            proxy.stop()

    proxy = simple(upstream, Stopper())
    proxy.start()
    assert fetch(proxy.addresses["main"]).status == 200
    proxy.stop()
    assert repr(proxy).startswith("<Proxy, stopped")


def test_call_soon_runs_on_the_proxys_thread(upstream: Upstream, make_proxy: ProxyMaker) -> None:
    where = Where()
    proxy = make_proxy(where)
    fetch(proxy.addresses["main"])
    found: list[int] = []
    done = threading.Event()

    def note() -> None:
        found.append(threading.get_ident())
        asyncio.get_running_loop().call_later(0, done.set)

    proxy.call_soon(note)
    assert done.wait(10)
    assert set(found) == where.threads


def test_runs_once(upstream: Upstream) -> None:
    proxy = simple(upstream)
    with pytest.raises(mb.Error, match="does not run"):
        proxy.call_soon(print)
    proxy.start()
    for again in (proxy.start, proxy.run):
        with pytest.raises(mb.Error, match="runs once"):
            again()
    proxy.stop()
    with pytest.raises(mb.Error, match="does not run"):
        proxy.reload(filters=[])
    with pytest.raises(mb.Error, match="does not run"):
        proxy.call_soon(print)


def test_run_is_for_the_main_thread(upstream: Upstream) -> None:
    errors: list[BaseException] = []

    def target() -> None:
        try:
            simple(upstream).run()
        except mb.Error as error:
            errors.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join(10)
    assert "main thread" in str(errors[0])


def test_stopped_before_it_started(upstream: Upstream) -> None:
    proxy = simple(upstream)
    proxy.stop()
    with pytest.raises(mb.Error, match="runs once"):
        proxy.start()


def test_start_raises_what_loading_raised(upstream: Upstream) -> None:
    class Raises(mb.HttpFilter):
        def on_load(self) -> None:
            raise ValueError("no\ntable")

    with pytest.raises(mb.ConfigError) as caught:
        simple(upstream, Where(), Raises()).start()
    assert str(caught.value) == "filters[1]: on_load of Raises raised ValueError: no table"
    assert isinstance(caught.value.__cause__, ValueError)


def test_failing_worker_start_stops_those_before(upstream: Upstream) -> None:
    class Raises(mb.HttpFilter):
        async def on_worker_start(self) -> None:
            raise OSError("no database")

    where = Where()
    with pytest.raises(mb.FilterError, match=r"on_worker_start raised OSError: no database"):
        simple(upstream, where, Raises()).start()
    assert where.life == ["load", "start", "stop"]


def test_an_object_serves_one_place(upstream: Upstream, make_proxy: ProxyMaker) -> None:
    used, twice = Where(), Where()
    make_proxy(used)
    with pytest.raises(mb.FilterError, match="make an object for each"):
        simple(upstream, used).start()
    with pytest.raises(mb.FilterError, match="make an object for each"):
        simple(upstream, twice, twice).start()


def test_port_in_use_is_one_clear_line(upstream: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(mb.ConfigError) as caught:
            mb.Proxy(listen=address, upstream=upstream.address).start()
    assert str(caught.value) == f"listen: cannot listen on {address}: Address already in use"


@pytest.mark.parametrize("item", [Where, object(), "x:Y"])
def test_what_is_no_filter_object_is_refused(upstream: Upstream, item: object) -> None:
    with pytest.raises(mb.ConfigError, match=r"^filters\[0\]: .* is no filter object"):
        simple(upstream, item)


def test_options_and_names(upstream: Upstream, make_proxy: ProxyMaker) -> None:
    class Raises(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            raise ValueError("x")

    logging.getLogger("moebridge.filter").setLevel(logging.CRITICAL)
    proxy = make_proxy(
        mb.options(Raises(), on_error="fail_open", name="open"),
        mb.options(mb.NativeFilter("body_scan", {"pattern": "x"}), name="scan"),
    )
    assert fetch(proxy.addresses["main"]).status == 200
    stats = proxy.stats()
    assert stats["py.open.errors"] == 1
    assert "body_scan.matches{filter=scan}" in stats
    logging.getLogger("moebridge.filter").setLevel(logging.NOTSET)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(mb.ConfigError, match="on_error: expected fail_closed or fail_open"):
        mb.options(Where(), on_error="x")  # type: ignore[arg-type]
    with pytest.raises(mb.ConfigError, match="hook_timeout_s: only Python filters"):
        mb.options(mb.NativeFilter("body_scan", {"pattern": "x"}), hook_timeout_s=1)


def test_lines_of_the_core_reach_logging(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    for level in (logging.DEBUG, logging.INFO):
        caplog.clear()
        with caplog.at_level(level, logger="moebridge"):
            proxy = simple(upstream)
            proxy.start()
            with RawClient(proxy.addresses["main"]) as client:
                client.send(b"BAD\r\n\r\n")
                client.read_to_end()
            proxy.stop()
        lines = [(r.name, r.levelno) for r in caplog.records if "refused" in r.getMessage()]
        # Below the level of the logger they are not even made.
        assert lines == ([("moebridge.http", logging.DEBUG)] if level == logging.DEBUG else [])
