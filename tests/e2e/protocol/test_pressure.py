"""Back-pressure, bounds on connections and requests, drain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.protocol.conftest import CoreMaker, Outcomes
from tests.e2e.support.client import ClosedEarly, RawClient
from tests.e2e.support.command import Command
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import cluster, http_config
from tests.e2e.support.upstream import Exchange, Upstream, fixed, pieces

MIB = 1 << 20
LIMITS: dict[str, Any] = {"per_connection_buffer_limit_bytes": 65536}
CONNECTION_LIMIT = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"


def small_socket(address: str) -> RawClient:
    """A client that the kernel buffers little for."""
    client = RawClient.__new__(RawClient)
    client.socket = socket.socket()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    client.socket.settimeout(20)
    host, _, port = address.rpartition(":")
    client.socket.connect((host, int(port)))
    client._data = bytearray()
    return client


def waits(core: Core, name: str) -> None:
    """Until a counter of the cluster is there: each look is a turn of the core's loop."""
    while not core.stats()[f"cluster.backend.{name}"]:
        pass


def test_client_that_does_not_read_stops_the_upstream_and_costs_little(
    make_core: CoreMaker, upstream: Upstream
) -> None:
    size = 64 * MIB
    sent = 0

    async def endless(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(exchange.head(200, [("content-length", str(size))]))
        while sent < size:
            await exchange.send(bytes(MIB // 4))
            sent += MIB // 4

    upstream.handler = endless
    backend = cluster(upstream.address, **LIMITS)
    core = make_core([backend], listener=LIMITS)
    before = core.rss_bytes()
    with small_socket(core.address) as client:
        client.start()
        response = client.read_head()
        waits(core, "upstream_flow_control_paused_reading_total")
        assert sent < size // 2
        assert core.rss_bytes() - before < 8 * MIB
        got = sum(len(piece) for piece in client.body_pieces(response))
    assert got == size


def test_upstream_that_does_not_read_stops_the_client_and_costs_little(
    make_core: CoreMaker, upstream: Upstream
) -> None:
    size = 64 * MIB
    gate = threading.Event()

    async def late(exchange: Exchange) -> None:
        await asyncio.to_thread(gate.wait, 20)
        left = size
        while left:
            left -= len(await exchange.reader.read(left))
        await exchange.send(exchange.head(200, [("content-length", "4")]) + b"done")
        exchange.close()

    upstream.handler = late
    core = make_core([cluster(upstream.address, **LIMITS)], listener=LIMITS)
    before = core.rss_bytes()
    sent = 0
    with RawClient(core.address) as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
        client.socket.setblocking(False)
        piece = bytes(65536)
        while not core.stats()["cluster.backend.upstream_flow_control_backed_up_total"]:
            with contextlib.suppress(BlockingIOError):
                sent += client.socket.send(piece)
        assert sent < size // 2
        assert core.rss_bytes() - before < 8 * MIB
        gate.set()
        client.socket.settimeout(20)
        while sent < size:
            sent += client.socket.send(piece[: size - sent])
        assert client.read_response().body == b"done"


def test_pipelined_requests_are_not_read_without_bound(core: Core, upstream: Upstream) -> None:
    gate = threading.Event()
    upstream.handler = pieces([b"a", b"b"], gate=gate)
    before = core.rss_bytes()
    with small_socket(core.address) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        response = client.read_head()
        body = client.body_pieces(response)
        assert next(body) == b"a"
        client.socket.setblocking(False)
        request = b"GET /more HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 30_000 + b"\r\n\r\n"
        sent = full = 0
        while full < 50:
            try:
                sent += client.socket.send(request)
                full = 0
            except BlockingIOError:
                full += 1
                core.stats()
        assert sent < 16 * MIB
        assert core.rss_bytes() - before < 8 * MIB
        gate.set()


# -- bounds -------------------------------------------------------------------------------------


def test_connection_over_the_limit_waits_until_another_ends(make_core: CoreMaker) -> None:
    limit = {
        "name": "limit",
        "typed_config": {
            "@type": f"type.googleapis.com/{CONNECTION_LIMIT}",
            "stat_prefix": "limit",
            "max_connections": 3,
        },
    }
    core = make_core(network_filters=[limit])
    with contextlib.ExitStack() as stack:
        inside = [stack.enter_context(RawClient(core.address)) for _ in range(3)]
        for client in inside:
            assert client.request().status == 200
        outside = stack.enter_context(RawClient(core.address))
        outside.start()
        for client in inside:
            assert client.request().status == 200
        assert core.stats()["http.ingress.downstream_cx_total"] == 3
        inside[0].close()
        assert outside.read_response().status == 200


def test_open_circuit_breaker_is_503_and_closes_again(
    make_core: CoreMaker, upstream: Upstream, outcomes: Outcomes
) -> None:
    gate, started = threading.Event(), threading.Event()

    async def waiting(exchange: Exchange) -> None:
        started.set()
        await asyncio.to_thread(gate.wait, 20)
        await exchange.respond(200, [], b"late")

    upstream.handler = waiting
    limits = {"thresholds": [{"max_requests": 1}]}
    core = make_core([cluster(upstream.address, circuit_breakers=limits)])
    gauge = "cluster.backend.circuit_breakers.default.rq_open"
    with RawClient(core.address) as first, RawClient(core.address) as second:
        first.start()
        assert started.wait(20)
        assert core.stats()[gauge] == 1
        refused = second.request()
        assert (refused.status, refused.get("x-envoy-overloaded")) == (503, "true")
        assert b"overflow" in refused.body
        gate.set()
        assert first.read_response().body == b"late"
        assert core.stats()[gauge] == 0
        assert second.request().body == b"late"
    assert outcomes(core)[0].startswith("503 UO upstream_reset_before_response_started{overflow")


def test_waiting_requests_are_served_in_order_when_connections_are_few(
    make_core: CoreMaker, upstream: Upstream
) -> None:
    limits = {"thresholds": [{"max_connections": 1}]}
    core = make_core([cluster(upstream.address, circuit_breakers=limits)])
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(core.address)) for _ in range(20)]
        for number, client in enumerate(clients):
            client.start("GET", f"/{number}", [("x-id", str(number))])
        for number, client in enumerate(clients):
            assert client.read_response().get("x-id") == str(number)
    assert upstream.connections == 1


# -- drain --------------------------------------------------------------------------------------


def test_drain_lets_streams_end_and_takes_no_new_ones(core: Core, upstream: Upstream) -> None:
    gate = threading.Event()
    with RawClient(core.address) as busy, RawClient(core.address) as idle:
        assert idle.request().status == 200
        upstream.handler = pieces([b"first", b"last"], gate=gate)
        busy.start()
        response = busy.read_head()
        body = busy.body_pieces(response)
        assert next(body) == b"first"
        core.drain()
        assert idle.is_closed()
        with pytest.raises(ConnectionRefusedError):
            RawClient(core.address)
        gate.set()
        assert b"".join(body) == b"last"
        assert busy.is_closed()
    assert core.wait() == 0


def test_answer_that_begins_while_draining_says_close(core: Core, upstream: Upstream) -> None:
    gate, started = threading.Event(), threading.Event()

    async def waiting(exchange: Exchange) -> None:
        started.set()
        await asyncio.to_thread(gate.wait, 20)
        await exchange.respond(200, [], b"whole")

    upstream.handler = waiting
    with RawClient(core.address) as client:
        client.start()
        assert started.wait(20)
        core.drain()
        gate.set()
        response = client.read_response()
        assert (response.body, response.get("connection")) == (b"whole", "close")
        assert client.is_closed()
    assert core.wait() == 0


def test_drain_gives_up_streams_at_its_limit(core: Core, upstream: Upstream) -> None:
    async def never(exchange: Exchange) -> None:
        await exchange.start_chunked()
        await exchange.chunk(b"some")
        await exchange.reader.read()

    upstream.handler = never
    with RawClient(core.address) as client:
        client.start()
        response = client.read_head()
        body = client.body_pieces(response)
        assert next(body) == b"some"
        core.drain(timeout_ms=100)
        with pytest.raises(ClosedEarly):
            next(body)
    assert core.wait() == 0


def test_command_drains_on_sigterm_and_exits_0(upstream: Upstream, tmp_path: Path) -> None:
    gate = threading.Event()
    upstream.handler = pieces([b"first", b"last"], gate=gate)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(http_config(upstream.address)))
    with Command("run", "-c", str(path)) as command, RawClient(command.address) as client:
        client.start()
        response = client.read_head()
        body = client.body_pieces(response)
        assert next(body) == b"first"
        command.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionRefusedError):
            while True:  # until it accepts no more; it may end while one waits to be accepted
                with contextlib.suppress(ConnectionResetError):
                    RawClient(command.address).close()
        gate.set()
        assert b"".join(body) == b"last"
        assert client.is_closed()
        assert command.wait() == 0


def test_reload_keeps_connections_and_uses_the_new_routes(core: Core, upstream: Upstream) -> None:
    upstream.handler = fixed(b"old")
    with Upstream(fixed(b"new")) as other, RawClient(core.address) as client:
        assert client.request().body == b"old"
        core.apply(http_config(other.address))
        assert client.request().body == b"new"
