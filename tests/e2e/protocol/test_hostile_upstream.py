"""Upstreams that break the protocol: the client sees a clean failure, the next request nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest
from tests.e2e.protocol.conftest import CoreMaker, Outcomes
from tests.e2e.support.client import ClosedEarly, RawClient
from tests.e2e.support.core import Core
from tests.e2e.support.upstream import Exchange, Upstream, fixed

OK = b"HTTP/1.1 200 OK\r\n"
PAIRS = 40

# Sent instead of a response: nothing of it may reach the client.
REFUSED = {
    "no HTTP at all": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "HTTP/2 version": b"HTTP/2.0 200 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status 0": b"HTTP/1.1 000 OK\r\n\r\n",
    "status with a sign": b"HTTP/1.1 +20 OK\r\n\r\n",
    "control in the reason": OK[:-2] + b"\0\r\ncontent-length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "bare CR": OK + b"x: a\rb\r\ncontent-length: 0\r\n\r\n",
    "folded line": OK + b"x: a\r\n b\r\ncontent-length: 0\r\n\r\n",
    "space before colon": OK + b"content-length : 0\r\n\r\n",
    "NUL in a value": OK + b"x: \0\r\ncontent-length: 0\r\n\r\n",
    "two lengths": OK + b"content-length: 4\r\ncontent-length: 2\r\n\r\nabcd",
    "list of lengths": OK + b"content-length: 2, 2\r\n\r\nab",
    "negative length": OK + b"content-length: -1\r\n\r\n",
    "length and chunked": OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": OK + b"transfer-encoding: gzip\r\n\r\nabc",
    "chunked twice": OK + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked with HTTP/1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "204 with a body": b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nabc",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "storm of 1xx": b"HTTP/1.1 102 Processing\r\n\r\n" * 5000 + OK + b"content-length: 0\r\n\r\n",
    "head over the limit": OK + b"".join(b"x-%d: %s\r\n" % (i, b"a" * 1000) for i in range(70)),
    "too many fields": OK + b"x: y\r\n" * 150 + b"content-length: 0\r\n\r\n",
    "endless status line": b"HTTP/1.1 200 " + b"a" * 70_000,
}

# The head is good: the client gets it, and then sees that the body is broken.
BROKEN = {
    "chunk size is no number": b"zz\r\n",
    "chunk size with prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk without CRLF": b"3\r\nabcXX0\r\n\r\n",
    "chunk size beyond 64 bits": b"f" * 17 + b"\r\n",
    "bare LF": b"3\nabc\n0\n\n",
    "bad trailer": b"3\r\nabc\r\n0\r\nx y: z\r\n\r\n",
}


async def answer_id(exchange: Exchange) -> None:
    await exchange.respond(200, [], exchange.request.get("x-id").encode())


def expect_own_answer(client: RawClient, number: int) -> None:
    response = client.request(fields=[("x-id", f"id-{number}")])
    assert (response.status, response.body) == (200, f"id-{number}".encode())


@pytest.mark.parametrize("name", REFUSED)
def test_broken_response_is_502_and_nothing_of_it_leaks(
    core: Core, upstream: Upstream, outcomes: Outcomes, name: str
) -> None:
    async def broken(exchange: Exchange) -> None:
        if exchange.request.target == "/bad":
            await exchange.send(REFUSED[name])
            if name in ("HTTP/0.9", "no HTTP at all"):
                exchange.close()
        else:
            await answer_id(exchange)

    upstream.handler = broken
    with RawClient(core.address) as client:
        for number in range(3):
            response = client.request("GET", "/bad")
            assert response.status == 502, response
            assert b"protocol error" in response.body
            assert not response.interim or set(response.interim) == {102}
            expect_own_answer(client, number)
    assert outcomes(core)[0].startswith("502 UPE upstream_reset_before_response_started{protocol")


@pytest.mark.parametrize("name", BROKEN)
def test_broken_body_is_seen_as_broken(core: Core, upstream: Upstream, name: str) -> None:
    async def broken(exchange: Exchange) -> None:
        if exchange.request.target == "/bad":
            await exchange.start_chunked()
            await exchange.chunk(b"good")
            await exchange.send(BROKEN[name])
        else:
            await answer_id(exchange)

    upstream.handler = broken
    for number in range(3):
        with RawClient(core.address) as client, contextlib.suppress(ClosedEarly):
            assert client.request("GET", "/bad").status == 502
        with RawClient(core.address) as client:
            expect_own_answer(client, number)


SURPLUS = {
    "bytes behind the length": OK + b"content-length: 2\r\n\r\nabEXTRA",
    "a second response": (OK + b"content-length: 2\r\n\r\nab") * 2,
    "bytes behind the last chunk": OK
    + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nEXTRA",
    "a body behind HEAD": OK + b"content-length: 5\r\n\r\nEXTRA",
    "a body behind 204": b"HTTP/1.1 204 No Content\r\n\r\nEXTRA",
    "a body behind 304": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nEXTRA",
    "an interim response behind the final one": OK
    + b"content-length: 2\r\n\r\nabHTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("late", [False, True], ids=["at once", "in a packet of its own"])
@pytest.mark.parametrize("name", SURPLUS)
def test_no_byte_behind_a_response_leaks_into_the_next(
    core: Core, upstream: Upstream, name: str, late: bool
) -> None:
    async def surplus(exchange: Exchange) -> None:
        if exchange.request.target != "/bad":
            await answer_id(exchange)
        elif late:
            head, _, rest = SURPLUS[name].partition(b"EXTRA")
            await exchange.send(head)
            await asyncio.sleep(0)
            await exchange.send(b"EXTRA" + rest)
        else:
            await exchange.send(SURPLUS[name])

    upstream.handler = surplus
    method = "HEAD" if "HEAD" in name else "GET"
    with RawClient(core.address) as client:
        for number in range(PAIRS):
            response = client.request(method, "/bad")
            assert response.status in (200, 204, 304)
            assert response.body == (b"ab" if "ab" in SURPLUS[name].decode() else b"")
            own = client.request(fields=[("x-id", f"id-{number}")])
            # What comes late may meet the next request on its way: that is then an error.
            assert own.status == 200 or (late and own.status == 502)
            assert own.status == 502 or own.body == f"id-{number}".encode()


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 20", OK + b"content-le"])
@pytest.mark.parametrize("reset", [False, True])
def test_end_before_the_response_is_an_error_at_once(
    core: Core, upstream: Upstream, outcomes: Outcomes, sent: bytes, reset: bool
) -> None:
    async def cut(exchange: Exchange) -> None:
        if sent:
            await exchange.send(sent)
        exchange.abort() if reset else exchange.close()

    upstream.handler = cut
    with RawClient(core.address) as client:
        for _ in range(5):
            assert client.request("POST", "/").status in (502, 503)
    assert len(upstream.requests) == 5
    lines = outcomes(core)
    assert len(lines) == 5
    assert {line.split()[1] for line in lines} <= {"UC", "UPE"}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_cut_body_never_looks_complete(
    core: Core, upstream: Upstream, reset: bool, chunked: bool
) -> None:
    async def cut(exchange: Exchange) -> None:
        if chunked:
            await exchange.start_chunked()
            await exchange.chunk(b"abc")
        else:
            await exchange.send(OK + b"content-length: 10\r\n\r\nabc")
        exchange.abort() if reset else exchange.close()

    upstream.handler = cut
    for _ in range(10):
        with RawClient(core.address) as client:
            try:
                response = client.request()
            except ClosedEarly:
                continue
            assert response.status in (502, 503), response  # a reset has overtaken the head


def test_upstream_that_closes_each_tenth_time_loses_no_get_and_doubles_no_post(
    core: Core, upstream: Upstream
) -> None:
    served: dict[int, int] = {}

    async def tenth(exchange: Exchange) -> None:
        key = id(exchange.writer)
        served[key] = served.get(key, 0) + 1
        await answer_id(exchange)
        if served[key] == 10:
            del served[key]
            exchange.close()

    upstream.handler = tenth
    lost = 0
    with RawClient(core.address) as client:
        for number in range(1000):
            expect_own_answer(client, number)
        for number in range(1000, 1300):
            fields = [("x-id", f"id-{number}")]
            response = client.request("POST", "/", fields, b"x")
            if response.status == 503:
                lost += 1
            else:
                assert response.body == f"id-{number}".encode()
    seen = upstream.ids
    assert max(seen[f"id-{number}"] for number in range(1000, 1300)) == 1
    assert sum(seen[f"id-{number}"] == 1 for number in range(1000, 1300)) >= 300 - lost
    assert core.stats()["cluster.backend.upstream_cx_total"] >= 100


def test_get_is_repeated_once_when_a_pooled_connection_dies_under_it(
    core: Core, upstream: Upstream
) -> None:
    numbers = itertools.count()

    async def dies_at_second(exchange: Exchange) -> None:
        if next(numbers) == 1:
            exchange.abort()
        else:
            await answer_id(exchange)

    upstream.handler = dies_at_second
    with RawClient(core.address) as client:
        expect_own_answer(client, 0)
        expect_own_answer(client, 1)
    assert [request.get("x-id") for request in upstream.requests] == ["id-0", "id-1", "id-1"]
    assert core.stats()["cluster.backend.upstream_rq_retry"] == 1


@pytest.mark.parametrize("body", [b"", b"x"])
def test_post_is_never_repeated_after_it_was_sent(
    core: Core, upstream: Upstream, body: bytes
) -> None:
    numbers = itertools.count()

    async def dies_at_second(exchange: Exchange) -> None:
        await exchange.read_body()
        if next(numbers) == 1:
            exchange.abort()
        else:
            await answer_id(exchange)

    upstream.handler = dies_at_second
    with RawClient(core.address) as client:
        expect_own_answer(client, 0)
        assert client.request("POST", "/", [("x-id", "post")], body).status == 503
    assert upstream.ids["post"] == 1


def test_get_on_a_fresh_connection_is_not_repeated(core: Core, upstream: Upstream) -> None:
    async def dies(exchange: Exchange) -> None:
        exchange.abort()

    upstream.handler = dies
    with RawClient(core.address) as client:
        assert client.request().status == 503
    assert len(upstream.requests) == 1


def test_idle_connection_with_an_answer_to_nothing_is_dropped(
    core: Core, upstream: Upstream
) -> None:
    async def poison(exchange: Exchange) -> None:
        await answer_id(exchange)
        if exchange.request.get("x-id") == "id-0":
            await exchange.send(OK + b"content-length: 6\r\n\r\npoison")

    upstream.handler = poison
    with RawClient(core.address) as client:
        expect_own_answer(client, 0)
        while core.stats()["cluster.backend.upstream_cx_active"]:
            pass  # until the core has read it
        for number in range(1, 20):
            expect_own_answer(client, number)
    assert upstream.connections == 2


def test_refused_connection_is_503_with_its_reason(
    make_core: CoreMaker, upstream: Upstream, outcomes: Outcomes
) -> None:
    core = make_core()
    upstream.stop()
    with RawClient(core.address) as client:
        response = client.request()
    assert response.status == 503
    assert b"remote connection failure" in response.body
    assert outcomes(core)[0].startswith("503 UF upstream_reset_before_response_started{remote_conn")


def test_slow_but_right_upstream_is_fine(core: Core, upstream: Upstream) -> None:
    async def bytewise(exchange: Exchange) -> None:
        await exchange.read_body()
        for byte in OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            await exchange.send(bytes([byte]))
            await asyncio.sleep(0)

    upstream.handler = bytewise
    with RawClient(core.address) as client:
        for _ in range(3):
            assert client.request().body == b"abc"
    assert upstream.connections == 1
    upstream.handler = fixed()
