"""reload: all or nothing, under load, with the life of filter objects."""

# ruff: noqa: ARG001, ARG002  (a hook has the arguments that it has)

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import moebridge as mb

from ..conftest import ProxyMaker
from ..support.client import RawClient, fetch
from ..support.upstream import Exchange, Upstream


class Mark(mb.HttpFilter):
    """Marks requests with its number, and notes its life."""

    class Config(mb.Config):
        number: int

    config: Config

    def __init__(self, /, **config: Any) -> None:
        super().__init__(**config)
        self.streams = 0
        self.is_started = self.is_stopped = False
        self.stopped = threading.Event()

    async def on_worker_start(self) -> None:
        await asyncio.sleep(0.001)
        self.is_started = True

    def on_request_headers(self, stream: mb.Stream) -> None:
        assert self.is_started
        assert not self.is_stopped
        self.streams += 1
        stream.request.headers["x-mark"] = str(self.config.number)

    def on_response_headers(self, stream: mb.Stream) -> None:
        assert not self.is_stopped
        stream.response.headers["x-mark"] = str(self.config.number)

    def on_worker_stop(self) -> None:
        self.is_stopped = True
        self.stopped.set()


def test_twenty_reloads_under_load_fail_no_request(
    upstream: Upstream, make_proxy: ProxyMaker
) -> None:
    marks = [Mark(number=number) for number in range(21)]
    proxy = make_proxy(marks[0])
    is_over = threading.Event()
    sent: Counter[str] = Counter()
    wrong: list[object] = []

    def load(client_number: int) -> None:
        number = 0
        with RawClient(proxy.addresses["main"]) as client:
            while not is_over.is_set() or number < 20:
                name = f"{client_number}-{number}"
                number += 1
                response = client.request("GET", "/", [("x-id", name)])
                sent[name] += 1
                if (response.status, response.get("x-id")) != (200, name):
                    wrong.append(response)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for mark in marks[1:]:
        proxy.reload(filters=[mark])
    is_over.set()
    for thread in threads:
        thread.join(30)
    proxy.stop()
    assert wrong == []
    assert upstream.ids == sent
    assert sum(mark.streams for mark in marks) == sum(sent.values())
    assert all(mark.stopped.is_set() for mark in marks)
    assert proxy.stats()["py.Mark.errors"] == 0


def test_streams_finish_on_the_configuration_they_began_with(
    upstream: Upstream, make_proxy: ProxyMaker
) -> None:
    begun, gate = threading.Event(), threading.Event()

    async def slow(exchange: Exchange) -> None:
        begun.set()
        await asyncio.to_thread(gate.wait, 20)
        await exchange.respond()

    upstream.handler = slow
    old, new = Mark(number=1), Mark(number=2)
    proxy = make_proxy(old)
    with RawClient(proxy.addresses["main"]) as client:
        client.start()
        assert begun.wait(10)
        proxy.reload(filters=[new])
        assert not old.is_stopped
        gate.set()
        assert client.read_response().get("x-mark") == "1"
        assert client.request().get("x-mark") == "2"
    assert old.stopped.wait(10)
    assert not new.is_stopped


def test_wrong_reload_keeps_the_old_configuration(
    upstream: Upstream, make_proxy: ProxyMaker, tmp_path: Path
) -> None:
    class Raises(mb.HttpFilter):
        def on_load(self) -> None:
            raise ValueError("x")

    proxy = make_proxy(Mark(number=1))
    fresh = Mark(number=2)
    attempts: tuple[Callable[[], None], ...] = (
        lambda: proxy.reload(filters=[fresh, Raises()]),
        lambda: proxy.reload(filters=[fresh], upstream="nowhere"),
        lambda: proxy.reload(tmp_path / "none.yaml"),
        lambda: proxy.reload({"static_resources": {"x": 1}}),
    )
    for wrong in attempts:
        with pytest.raises(mb.ConfigError):
            wrong()
        assert fetch(proxy.addresses["main"]).get("x-mark") == "1"
    assert not fresh.is_started
    proxy.reload(filters=[fresh])
    assert fetch(proxy.addresses["main"]).get("x-mark") == "2"


def test_object_that_stays_is_neither_started_nor_stopped(make_proxy: ProxyMaker) -> None:
    stays, goes = Mark(number=1), Mark(number=2)
    proxy = make_proxy(stays, goes)
    proxy.reload(filters=[stays])
    assert goes.stopped.wait(10)
    assert fetch(proxy.addresses["main"]).get("x-mark") == "1"
    assert not stays.is_stopped
    with pytest.raises(mb.FilterError, match="make an object for each"):
        proxy.reload(filters=[goes])


def test_reload_from_a_hook(make_proxy: ProxyMaker) -> None:
    refused: list[str] = []

    class Reloads(mb.HttpFilter):
        async def on_request_headers(self, stream: mb.Stream) -> None:
            try:
                proxy.reload(filters=[])
            except mb.Error as error:
                refused.append(str(error))
            await asyncio.to_thread(proxy.reload, filters=[Mark(number=3)])

    proxy = make_proxy(Reloads())
    assert not fetch(proxy.addresses["main"]).has("x-mark")
    assert "to_thread" in refused[0]
    assert fetch(proxy.addresses["main"]).get("x-mark") == "3"


def test_new_upstream(make_proxy: ProxyMaker, upstream: Upstream) -> None:
    proxy = make_proxy(upstream="127.0.0.1:1")
    assert fetch(proxy.addresses["main"]).status == 503
    address = proxy.addresses["main"]
    proxy.reload(filters=[], upstream=upstream.address)
    assert fetch(address).status == 200
