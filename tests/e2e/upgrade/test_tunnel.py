"""Tunnels byte by byte: what is let through when, the ends of each side, how much is kept."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import UpstreamMaker
from tests.e2e.support.client import RawClient
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import access_log, direct, to
from tests.e2e.support.messages import head
from tests.e2e.support.upstream import Exchange
from tests.e2e.upgrade.conftest import (
    ASK,
    SWITCH,
    FileProxyMaker,
    allow,
    open_tunnel,
    switch,
    until,
)

SWITCHED = head("HTTP/1.1 101 Switching Protocols", SWITCH)


def idle(proxy: Core) -> bool:
    """Whether no connection is left on either side."""
    stats = proxy.stats()
    return bool(
        stats["http.ingress.downstream_cx_active"] == 0
        and stats["cluster.backend.upstream_cx_active"] == 0
    )


# -- accepted or not -------------------------------------------------------------------------------


def test_early_bytes_reach_the_upstream_only_behind_its_answer(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    go = threading.Event()
    early: list[bytes] = []

    async def handler(exchange: Exchange) -> None:
        await asyncio.to_thread(go.wait, 20)
        # All that could have come is here: the proxy has read it long ago.
        early.append(bytes(exchange.reader._buffer))  # type: ignore[attr-defined]
        await switch(exchange)

    upstream = make_upstream(handler)
    proxy = file_proxy(upstream.address, hcm=allow("raw"))
    with RawClient(proxy.addresses["main"]) as client:
        client.send(head("GET / HTTP/1.1", [("host", "h"), *ASK]) + b"early ")
        until(lambda: upstream.requests)
        client.send(b"bird")
        until(lambda: proxy.stats()["http.ingress.downstream_rq_active"] == 1)
        go.set()
        answer = client.read_head()
        assert (answer.status, answer.get("upgrade"), answer.get("connection")) == (
            101,
            "raw",
            "upgrade",
        )
        assert client._exactly(10) == b"early bird"
        assert proxy.stats()["http.ingress.downstream_cx_upgrades_total"] == 1
        assert proxy.stats()["http.ingress.downstream_cx_upgrades_active"] == 1
    until(lambda: proxy.stats()["http.ingress.downstream_cx_upgrades_active"] == 0)
    assert proxy.stats()["http.ingress.downstream_cx_upgrades_total"] == 1
    assert early == [b""]
    request = upstream.requests[0]
    assert (request.get("upgrade"), request.get("connection")) == ("raw", "upgrade")
    assert not request.has("content-length")
    assert not request.has("transfer-encoding")


@pytest.mark.parametrize("status", [200, 403, 426])
def test_what_the_upstream_declines_is_its_answer_and_the_last_one(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker, status: int
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(status, [("x-a", "1")], b"declined")

    upstream = make_upstream(handler)
    proxy = file_proxy(upstream.address, hcm=allow("raw"))
    with RawClient(proxy.addresses["main"]) as client:
        smuggled = head("GET /smuggled HTTP/1.1", [("host", "h")])
        client.send(head("GET / HTTP/1.1", [("host", "h"), *ASK]) + smuggled)
        answer = client.read_response()
        assert (answer.status, answer.body, answer.get("x-a")) == (status, b"declined", "1")
        assert answer.get("connection") == "close"
        assert client.read_to_end() == b""
    assert [request.target for request in upstream.requests] == ["/"]
    until(lambda: idle(proxy))
    assert proxy.stats()["http.ingress.downstream_cx_upgrades_active"] == 0
    assert proxy.stats()["http.ingress.downstream_cx_upgrades_total"] == 0


@pytest.mark.parametrize(
    "answer",
    {
        "another protocol": head(
            "HTTP/1.1 101 x", [("connection", "upgrade"), ("upgrade", "websocket")]
        ),
        "no HTTP": b"hello\r\n\r\n",
        "cut": b"HTTP/1.1 101 x\r\nconn",
    }.items(),
    ids=lambda pair: pair[0],
)
def test_an_upstream_that_answers_wrongly_is_502(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker, answer: tuple[str, bytes]
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(answer[1])
        exchange.close()

    proxy = file_proxy(make_upstream(handler).address, hcm=allow("raw"))
    with RawClient(proxy.addresses["main"]) as client:
        client.start("GET", "/", ASK)
        assert client.read_response().status == 502
    assert proxy.stats()["cluster.backend.upstream_cx_protocol_error"] == 1
    until(lambda: idle(proxy))


def test_an_upgrade_that_nobody_asked_for_is_502(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    proxy = file_proxy(make_upstream(switch).address, hcm=allow("raw"))
    with RawClient(proxy.addresses["main"]) as client:
        assert client.request().status == 502


@pytest.mark.parametrize(
    ("manager", "route", "expected"),
    [
        ([], [], 403),
        (["raw"], [], 101),
        (["RAW"], [], 101),
        (["websocket"], [], 403),
        ([], [("raw", True)], 101),
        (["raw"], [("raw", False)], 403),
        (["raw"], [("websocket", True)], 101),
    ],
)
def test_the_route_decides_before_the_listener(
    make_upstream: UpstreamMaker,
    file_proxy: FileProxyMaker,
    manager: list[str],
    route: list[tuple[str, bool]],
    expected: int,
) -> None:
    configs = [{"upgrade_type": kind, "enabled": enabled} for kind, enabled in route]
    fields: dict[str, Any] = {"upgrade_configs": configs} if configs else {}
    upstream = make_upstream(switch)
    proxy = file_proxy(
        upstream.address,
        hcm=allow(*manager),
        routes=[to(prefix="/chat", **fields), direct(204)],
    )
    with RawClient(proxy.addresses["main"]) as client:
        client.start("GET", "/chat", ASK)
        answer = client.read_head()
        assert answer.status == expected
        if expected == 403:
            assert answer.get("connection") == "close"
            assert client.read_to_end() == b""
            assert not upstream.requests
        refused = proxy.stats()["http.ingress.downstream_rq_ws_on_non_ws_route"]
        assert refused == (expected == 403)
    with RawClient(proxy.addresses["main"]) as client:  # what answers itself knows no tunnels
        client.start("GET", "/other", ASK)
        known = "raw" in [kind.lower() for kind in manager]
        assert client.read_head().status == (204 if known else 403)


def test_no_route_is_404_and_the_log_says_why(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker, tmp_path: Path
) -> None:
    log = access_log(tmp_path / "log", "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n")
    proxy = file_proxy(
        make_upstream(switch).address,
        routes=[to(prefix="/chat")],
        hcm=allow("raw", access_log=[log]),
    )
    for target, fields in (("/elsewhere", ASK), ("/chat", [ASK[0], ("upgrade", "else")])):
        with RawClient(proxy.addresses["main"]) as client:
            client.start("GET", target, fields)
            client.read_to_end()
    until(lambda: (tmp_path / "log").read_text().count("\n") == 2)
    assert (tmp_path / "log").read_text().splitlines() == [
        "404 NR route_not_found",
        "403 - upgrade_failed",
    ]


def test_a_closed_pooled_connection_costs_no_handshake(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    async def handler(exchange: Exchange) -> None:
        if exchange.request.target == "/plain":
            await exchange.respond(200)
        elif upstream.connections == 1:
            exchange.abort()  # as if it had closed just before
        else:
            await switch(exchange)

    upstream = make_upstream(handler)
    proxy = file_proxy(upstream.address, hcm=allow("raw"))
    with RawClient(proxy.addresses["main"]) as client:
        assert client.request("GET", "/plain").status == 200
        assert open_tunnel(client).status == 101
    assert upstream.connections == 2


# -- the ends --------------------------------------------------------------------------------------


def test_the_clients_end_goes_on_and_the_answer_may_follow(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(SWITCHED)
        said = await exchange.reader.read()  # up to the end
        await exchange.send(b"after your end: " + said)
        exchange.close()

    # A route's timeout counts from the end of a request: it must not count from a tunnel's.
    routes = [to(timeout="0.001s")]
    proxy = file_proxy(make_upstream(handler).address, hcm=allow("raw"), routes=routes)
    with RawClient(proxy.addresses["main"]) as client:
        assert open_tunnel(client).status == 101
        client.send(b"question")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_to_end() == b"after your end: question"
    until(lambda: idle(proxy))


@pytest.mark.parametrize("early", [b"", b"with bytes"])
def test_an_end_that_comes_before_the_answer_waits_for_it(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker, early: bytes
) -> None:
    go = threading.Event()
    ended_early: list[bool] = []

    async def handler(exchange: Exchange) -> None:
        await asyncio.to_thread(go.wait, 20)
        ended_early.append(exchange.reader.at_eof())
        await switch(exchange)

    upstream = make_upstream(handler)
    proxy = file_proxy(upstream.address, hcm=allow("raw"))
    with RawClient(proxy.addresses["main"]) as client:
        client.send(head("GET / HTTP/1.1", [("host", "h"), *ASK]) + early)
        client.socket.shutdown(socket.SHUT_WR)
        until(lambda: proxy.stats()["cluster.backend.upstream_rq_active"] == 1)
        go.set()
        assert client.read_head().status == 101
        assert client.read_to_end() == early
    until(lambda: idle(proxy))
    assert ended_early == [False]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_vanishes_takes_the_upstream_along(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker, how: str
) -> None:
    gone = threading.Event()

    async def handler(exchange: Exchange) -> None:
        try:
            await switch(exchange)
        finally:
            gone.set()

    proxy = file_proxy(make_upstream(handler).address, hcm=allow("raw"))
    client = RawClient(proxy.addresses["main"])
    assert open_tunnel(client).status == 101
    client.send(b"x")
    assert client._exactly(1) == b"x"
    (client.abort if how == "reset" else client.close)()
    assert gone.wait(20)
    until(lambda: idle(proxy))


def test_a_reset_of_the_upstream_is_one_for_the_client(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker, tmp_path: Path
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(SWITCHED)
        await exchange.reader.read(1)
        peer = exchange.writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        exchange.abort()

    log = access_log(tmp_path / "log", "%RESPONSE_CODE% %RESPONSE_FLAGS%\n")
    proxy = file_proxy(make_upstream(handler).address, hcm=allow("raw", access_log=[log]))
    with RawClient(proxy.addresses["main"]) as client:
        assert open_tunnel(client).status == 101
        client.send(b"x")
        with pytest.raises(ConnectionResetError):
            client.socket.recv(1)
    until(lambda: (tmp_path / "log").read_text())
    assert (tmp_path / "log").read_text() == "101 UC\n"


# -- how much, how long ----------------------------------------------------------------------------


MUCH = 64 << 20  # more than sockets and buffers on the way can hold


def test_a_client_that_does_not_read_stops_the_upstream(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(SWITCHED)
        for _ in range(MUCH >> 16):
            await exchange.send(b"x" * 65_536)
        exchange.close()

    proxy = file_proxy(
        make_upstream(handler).address,
        hcm=allow("raw"),
        listener={"per_connection_buffer_limit_bytes": 65_536},
    )
    paused, resumed = (
        f"cluster.backend.upstream_flow_control_{word}_reading_total"
        for word in ("paused", "resumed")
    )
    with RawClient(proxy.addresses["main"]) as client:
        assert open_tunnel(client).status == 101
        until(lambda: (stats := proxy.stats())[paused] > stats[resumed])
        assert proxy.stats()["cluster.backend.upstream_cx_rx_bytes_total"] < MUCH
        assert client.read_to_end() == b"x" * MUCH
        assert proxy.stats()[resumed]


def test_an_upstream_that_does_not_read_stops_the_client(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    go = threading.Event()
    moved = [0]

    async def handler(exchange: Exchange) -> None:
        await exchange.send(SWITCHED)
        transport: Any = exchange.writer.transport
        transport.pause_reading()
        await asyncio.to_thread(go.wait, 30)
        transport.resume_reading()
        while data := await exchange.reader.read(1 << 20):
            moved[0] += len(data)
        exchange.close()

    proxy = file_proxy(
        make_upstream(handler).address,
        hcm=allow("raw"),
        listener={"per_connection_buffer_limit_bytes": 65_536},
    )
    with RawClient(proxy.addresses["main"]) as client:
        assert open_tunnel(client).status == 101
        sender = threading.Thread(target=client.send, args=(b"y" * MUCH,))
        sender.start()
        until(lambda: proxy.stats()["cluster.backend.upstream_flow_control_backed_up_total"])
        assert sender.is_alive()
        go.set()
        sender.join(30)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_to_end() == b""
    assert moved == [MUCH]


def test_idle_tunnels_end_and_busy_ones_outlive_a_requests_time(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker, tmp_path: Path
) -> None:
    log = access_log(tmp_path / "log", "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_SENT%\n")
    proxy = file_proxy(
        make_upstream(switch).address,
        hcm=allow("raw", access_log=[log], stream_idle_timeout="1s", request_timeout="0.3s"),
    )
    with RawClient(proxy.addresses["main"]) as client:
        assert open_tunnel(client).status == 101
        for _ in range(12):  # 0.6 s, each step shorter than the idle time
            client.send(b"x")
            assert client._exactly(1) == b"x"
            threading.Event().wait(0.05)
        assert proxy.stats()["http.ingress.downstream_rq_timeout"] == 0
        assert client.is_closed()  # and this waits for the idle timeout
    until(lambda: (tmp_path / "log").read_text())
    assert (tmp_path / "log").read_text() == "101 SI 12\n"
    assert proxy.stats()["http.ingress.downstream_rq_idle_timeout"] == 1


def test_a_request_for_a_tunnel_that_is_not_answered_is_late(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.reader.read()

    proxy = file_proxy(make_upstream(handler).address, hcm=allow("raw", request_timeout="0.2s"))
    with RawClient(proxy.addresses["main"]) as client:
        client.start("GET", "/", ASK)
        assert client.read_response().status == 408
