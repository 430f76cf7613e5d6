"""Persistence: keep-alive, pipelining, HTTP/1.0, half-close, clients that go away."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from tests.e2e.protocol.conftest import CoreMaker, Outcomes
from tests.e2e.support.client import RawClient, fetch
from tests.e2e.support.core import Core
from tests.e2e.support.upstream import Exchange, Upstream, fixed, pieces

OLD = {"http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "old.test"}}


def test_connection_is_kept_on_both_sides(client: RawClient, upstream: Upstream) -> None:
    for number in range(20):
        response = client.request("GET", f"/{number}")
        assert response.status == 200
        assert json.loads(response.body)["target"] == f"/{number}"
        assert not response.has("connection")
    assert upstream.connections == 1


def test_connection_close_is_answered_and_obeyed(client: RawClient, upstream: Upstream) -> None:
    response = client.request(fields=[("connection", "Close")])
    assert (response.status, response.get("connection")) == (200, "close")
    assert client.is_closed()
    assert not upstream.requests[0].has("connection")


def test_closed_upstream_connection_does_not_close_the_clients(
    make_core: CoreMaker, upstream: Upstream
) -> None:
    async def once(exchange: Exchange) -> None:
        await exchange.respond(200, [("connection", "close")], b"bye")
        exchange.close()

    upstream.handler = once
    with RawClient(make_core().address) as client:
        for _ in range(3):
            response = client.request()
            assert (response.body, response.has("connection")) == (b"bye", False)
    assert upstream.connections == 3


@pytest.mark.parametrize("bytewise", [False, True])
def test_pipelined_requests_are_answered_in_order(
    client: RawClient, upstream: Upstream, bytewise: bool
) -> None:
    requests = b"".join(
        b"POST /%d HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n%03d" % (i, i)
        if i % 2
        else b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % i
        for i in range(12)
    )
    (client.send_bytewise if bytewise else client.send)(requests)
    for number in range(12):
        said = json.loads(client.read_response().body)
        assert said["target"] == f"/{number}"
        assert said["body"] == (f"{number:03d}" if number % 2 else "")
    assert len(upstream.requests) == 12


def test_pipelined_request_is_not_begun_before_the_answer_to_the_first(
    core: Core, upstream: Upstream
) -> None:
    gate = threading.Event()
    upstream.handler = pieces([b"a", b"b"], gate=gate)
    with RawClient(core.address) as client:
        client.send(b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
        first = client.read_head()
        body = client.body_pieces(first)
        assert next(body) == b"a"
        core.stats()
        assert len(upstream.requests) == 1
        gate.set()
        assert list(body) == [b"b"]
        assert client.read_response().body == b"ab"


def test_empty_lines_before_a_request_are_forgiven(client: RawClient) -> None:
    client.send(b"\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert [client.read_response().status for _ in range(2)] == [200, 200]


def test_http_10_is_refused_by_default(client: RawClient, upstream: Upstream) -> None:
    client.send(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
    response = client.read_response()
    assert response.status == 426
    assert client.is_closed()
    assert not upstream.requests


def test_http_10_closes_unless_asked_to_keep(make_core: CoreMaker, upstream: Upstream) -> None:
    upstream.handler = fixed(b"body")
    with RawClient(make_core(hcm=OLD).address) as client:
        client.send(b"GET /1 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        client.send(b"GET /2 HTTP/1.0\r\n\r\n")
        first, second, third = client.read_to_end().split(b"HTTP/1.0 200 OK\r\n")[0:3]
    assert first == b""
    assert b"connection: keep-alive\r\n" in second
    assert b"connection: close\r\n" in third
    assert second.endswith(b"\r\n\r\nbody")
    assert third.endswith(b"\r\n\r\nbody")
    assert [r.get("host") for r in upstream.requests] == ["old.test", "old.test"]


def test_http_10_gets_no_chunks_and_no_interim_responses(
    make_core: CoreMaker, upstream: Upstream
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        await pieces([b"one", b"two"])(exchange)

    upstream.handler = handler
    with RawClient(make_core(hcm=OLD).address) as client:
        client.send(b"GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
        head, _, body = client.read_to_end().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body == b"onetwo"


def test_half_closed_client_still_gets_the_whole_answer(core: Core, upstream: Upstream) -> None:
    gate = threading.Event()
    upstream.handler = pieces([b"x" * 100_000, b"y" * 100_000], gate=gate)
    with RawClient(core.address) as client:
        client.start("POST", "/", body=b"text")
        client.socket.shutdown(socket.SHUT_WR)
        response = client.read_head()
        body = client.body_pieces(response)
        assert next(body)
        gate.set()
        assert sum(map(len, body)) <= 200_000
        assert client.is_closed()
    assert sum(response.chunks) == 200_000


def test_half_closed_client_gets_the_answers_to_all_it_pipelined(core: Core) -> None:
    with RawClient(core.address) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 5)
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.read_response().status for _ in range(5)] == [200] * 5
        assert client.is_closed()


@pytest.mark.parametrize(
    "part",
    [
        b"POST / HT",
        b"POST / HTTP/1.1\r\nhost: a\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    ],
)
def test_half_request_never_becomes_a_whole_one(
    core: Core, upstream: Upstream, part: bytes
) -> None:
    started, done = threading.Event(), threading.Event()
    bodies: list[bytes] = []

    async def handler(exchange: Exchange) -> None:
        started.set()
        try:
            bodies.append(await exchange.read_body())
        finally:
            done.set()

    upstream.handler = handler
    complete_head = b"\r\n\r\n" in part
    with RawClient(core.address) as client:
        client.send(part)
        assert not complete_head or started.wait(20)
        client.socket.shutdown(socket.SHUT_WR)
        assert b" 200 " not in client.read_to_end()
    assert not complete_head or done.wait(20)  # the upstream sees that it was cut
    assert not bodies
    upstream.handler = fixed(b"fine")
    assert fetch(core.address).body == b"fine"


def test_upstream_request_is_cancelled_when_the_client_resets(
    core: Core, upstream: Upstream, outcomes: Outcomes
) -> None:
    gone, started = threading.Event(), threading.Event()

    async def handler(exchange: Exchange) -> None:
        started.set()
        assert await exchange.reader.read() == b""
        gone.set()

    upstream.handler = handler
    client = RawClient(core.address)
    client.start()
    assert started.wait(20)
    client.abort()
    assert gone.wait(20)
    assert outcomes(core) == ["0 DC downstream_remote_disconnect"]
    upstream.handler = fixed(b"still here")
    assert fetch(core.address).body == b"still here"
