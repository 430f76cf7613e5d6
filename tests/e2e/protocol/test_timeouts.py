"""Every timeout: what the client sees, what the log says; timely requests never meet it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.protocol.conftest import CoreMaker, Outcomes
from tests.e2e.support.client import ClosedEarly, RawClient, fetch
from tests.e2e.support.envoy_config import cluster, to
from tests.e2e.support.upstream import Exchange, Upstream

SHORT = "0.15s"


async def hang(exchange: Exchange) -> None:
    await exchange.reader.read()


def test_request_headers_timeout_is_408_and_closes(
    make_core: CoreMaker, outcomes: Outcomes
) -> None:
    core = make_core(hcm={"request_headers_timeout": SHORT})
    with RawClient(core.address) as client:
        assert client.request().status == 200
        client.send(b"GET / HTTP/1.1\r\nhost:")
        # Envoy begins a stream with the first byte, and answers it.
        assert client.read_response().status == 408
        assert client.is_closed()
    assert outcomes(core)[-1].startswith("408 ")
    assert core.stats()["http.ingress.downstream_rq_header_timeout"] == 1


@pytest.mark.parametrize(
    "part", [b"", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab"]
)
def test_request_timeout_is_408_and_closes(
    make_core: CoreMaker, outcomes: Outcomes, part: bytes
) -> None:
    core = make_core(hcm={"request_timeout": SHORT})
    with RawClient(core.address) as client:
        client.send(part or b"GET / HT")
        assert client.read_response().status == 408
        assert client.is_closed()
    assert outcomes(core) == ["408 - request_overall_timeout"]


def test_request_timeout_does_not_count_the_answer(
    make_core: CoreMaker, upstream: Upstream
) -> None:
    core = make_core(hcm={"request_timeout": "0.05s"}, routes=[to(timeout=SHORT)])
    upstream.handler = hang
    assert fetch(core.address, method="POST", body=b"x").status == 504


def test_stream_idle_timeout_is_504_when_we_owe_the_answer(
    make_core: CoreMaker, upstream: Upstream, outcomes: Outcomes
) -> None:
    core = make_core(hcm={"stream_idle_timeout": SHORT}, routes=[to(timeout="0s")])
    upstream.handler = hang
    assert fetch(core.address).status == 504
    assert outcomes(core) == ["504 SI stream_idle_timeout"]


def test_stream_idle_timeout_is_408_when_the_client_owes_bytes(
    make_core: CoreMaker, upstream: Upstream, outcomes: Outcomes
) -> None:
    core = make_core(hcm={"stream_idle_timeout": SHORT})
    upstream.handler = hang
    with RawClient(core.address) as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab")
        assert client.read_response().status == 408
    assert outcomes(core) == ["408 SI stream_idle_timeout"]


def test_stream_idle_timeout_cuts_a_response_that_stops(
    make_core: CoreMaker, upstream: Upstream, outcomes: Outcomes
) -> None:
    async def stops(exchange: Exchange) -> None:
        await exchange.start_chunked()
        await exchange.chunk(b"abc")
        await hang(exchange)

    core = make_core(hcm={"stream_idle_timeout": SHORT}, routes=[to(timeout="0s")])
    upstream.handler = stops
    with RawClient(core.address) as client, pytest.raises(ClosedEarly):
        client.request()
    assert outcomes(core)[0].split()[:2] == ["200", "SI"]


def test_idle_timeout_of_the_route_wins(
    make_core: CoreMaker, upstream: Upstream, outcomes: Outcomes
) -> None:
    core = make_core(routes=[to(timeout="0s", idle_timeout=SHORT)])
    upstream.handler = hang
    assert fetch(core.address).status == 504
    assert outcomes(core) == ["504 SI stream_idle_timeout"]


def test_idle_connection_is_closed_without_a_word(make_core: CoreMaker) -> None:
    core = make_core(hcm={"common_http_protocol_options": {"idle_timeout": SHORT}})
    with RawClient(core.address) as fresh, RawClient(core.address) as used:
        assert used.request().status == 200
        assert used.is_closed()
        assert fresh.is_closed()
    assert core.stats()["http.ingress.downstream_cx_idle_timeout"] == 2


def test_route_timeout_is_504_and_frees_the_upstream(
    make_core: CoreMaker, upstream: Upstream, outcomes: Outcomes
) -> None:
    gone = threading.Event()

    async def hangs(exchange: Exchange) -> None:
        await hang(exchange)
        gone.set()

    core = make_core(routes=[to(timeout=SHORT)])
    upstream.handler = hangs
    with RawClient(core.address) as client:
        response = client.request()
        assert (response.status, response.body) == (504, b"upstream request timeout")
        assert gone.wait(20)
        assert not response.has("connection")
    assert outcomes(core) == ["504 UT response_timeout"]


def test_route_timeout_cuts_a_body_that_takes_longer(
    make_core: CoreMaker, upstream: Upstream, outcomes: Outcomes
) -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.start_chunked()
        await exchange.chunk(b"abc")
        await hang(exchange)

    core = make_core(routes=[to(timeout=SHORT)])
    upstream.handler = slow
    with RawClient(core.address) as client, pytest.raises(ClosedEarly):
        client.request()
    assert outcomes(core) == ["200 UT response_timeout"]


def test_route_timeout_waits_for_a_slow_upload(make_core: CoreMaker, upstream: Upstream) -> None:
    core = make_core(routes=[to(timeout=SHORT)])
    heard = threading.Event()

    async def handler(exchange: Exchange) -> None:
        heard.set()
        await exchange.respond(200, [], await exchange.read_body())

    upstream.handler = handler
    with RawClient(core.address) as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na")
        assert heard.wait(20)
        # Longer than the timeout: another request of the same core meets it meanwhile.
        upstream.handler = hang
        assert fetch(core.address).status == 504
        client.send(b"b")
        assert client.read_response().body == b"ab"


@contextlib.contextmanager
def unaccepting() -> Iterator[str]:
    """A listener whose queue is full: connecting to it neither succeeds nor fails."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        host, port = server.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((host, port))
        yield f"{host}:{port}"


def test_connect_timeout_is_503(make_core: CoreMaker, outcomes: Outcomes) -> None:
    with unaccepting() as address:
        core = make_core([cluster(address, connect_timeout=SHORT)])
        response = fetch(core.address)
        assert response.status == 503
        assert b"connection timeout" in response.body
    assert outcomes(core)[0].startswith(
        "503 UF upstream_reset_before_response_started{connection_t"
    )
    assert core.stats()["cluster.backend.upstream_cx_connect_timeout"] == 1


def test_max_stream_duration_ends_a_stream(
    make_core: CoreMaker, upstream: Upstream, outcomes: Outcomes
) -> None:
    options: dict[str, Any] = {"common_http_protocol_options": {"max_stream_duration": SHORT}}
    core = make_core(hcm=options, routes=[to(timeout="0s")])
    upstream.handler = hang
    assert fetch(core.address).status in (408, 504)
    assert outcomes(core)[0].split()[1] == "DT"


def test_max_connection_duration_lets_the_stream_end(
    make_core: CoreMaker, upstream: Upstream
) -> None:
    gate = threading.Event()

    async def waits(exchange: Exchange) -> None:
        import asyncio

        await asyncio.to_thread(gate.wait, 20)
        await exchange.respond(200, [], b"whole")

    options: dict[str, Any] = {"common_http_protocol_options": {"max_connection_duration": SHORT}}
    core = make_core(hcm=options)
    upstream.handler = waits
    with RawClient(core.address) as client, RawClient(core.address) as idle:
        client.start()
        assert idle.is_closed()
        gate.set()
        response = client.read_response()
        assert (response.body, response.get("connection")) == (b"whole", "close")
        assert client.is_closed()


def test_requests_per_connection_are_bounded(make_core: CoreMaker) -> None:
    options: dict[str, Any] = {"common_http_protocol_options": {"max_requests_per_connection": 3}}
    core = make_core(hcm=options)
    with RawClient(core.address) as client:
        closes = [client.request().get("connection") for _ in range(3)]
        assert closes == ["", "", "close"]
        assert client.is_closed()


def test_slow_clients_do_not_hold_up_others(make_core: CoreMaker) -> None:
    core = make_core(hcm={"request_headers_timeout": "0.3s"})
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(RawClient(core.address)) for _ in range(100)]
        for client in slow:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\nx-")
        with RawClient(core.address) as quick:
            for _ in range(50):
                assert quick.request().status == 200
        for client in slow:
            assert client.read_response().status == 408
    assert core.stats()["http.ingress.downstream_cx_active"] == 0
