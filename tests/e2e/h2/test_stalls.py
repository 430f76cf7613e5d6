"""Clients that are slow on purpose: each wait has an end, and what waits has a bound."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.e2e.h2.conftest import FrontMaker
from tests.e2e.h2.neighbour import Neighbour
from tests.e2e.support.core import Core
from tests.e2e.support.h2_frames import (
    LARGEST_WINDOW,
    PREFACE,
    Flag,
    Frame,
    Kind,
    Setting,
    frame,
    settings,
    window_update,
)
from tests.e2e.support.h2_raw import RawH2
from tests.e2e.support.upstream import Exchange, Upstream

MIB = 1 << 20
STREAMS = 100
#: Of all answers that wait, beside what their streams and connections cost (with the sanitizers).
GROWTH_BYTES = 15 * MIB
#: Long enough for a test, short enough to wait for.
SOON = "0.3s"
CLOSED_WINDOW = {Setting.INITIAL_WINDOW_SIZE: 0}
PROTOCOL = "http.ingress."


async def large(exchange: Exchange) -> None:
    """/large: 1 MiB; else the field x-id."""
    if exchange.request.target == "/large":
        await exchange.respond(200, [], bytes(MIB))
    else:
        await exchange.respond(200, [("x-id", exchange.request.get("x-id"))])


def block_begun(client: RawH2) -> bytes:
    """The first part of a header block; within it the client says nothing else."""
    client.ping()  # all is acknowledged
    client.acks = client.windows = False
    return frame(Kind.HEADERS, Flag.END_STREAM, client.new_stream(), client.block())


def until_stat(core: Core, name: str, value: int) -> dict[str, Any]:
    """Waits for a metric; each look is a turn of the core's loop."""
    while (stats := core.stats())[name] < value:
        pass
    return stats


def test_answers_that_no_window_lets_out_are_bounded_and_given_up(
    front: FrontMaker, upstream: Upstream
) -> None:
    gate = asyncio.Barrier(STREAMS)

    async def handler(exchange: Exchange) -> None:
        if exchange.request.target == "/warm":
            await gate.wait()
        await large(exchange)

    upstream.handler = handler
    core = front(stream_idle_timeout="1s")
    with Neighbour(core.address), RawH2(core.address, values=CLOSED_WINDOW) as client:
        # What so many streams and connections cost by themselves is there before.
        for stream in [client.request("/warm") for _ in range(STREAMS)]:
            assert client.answer(stream).status == 200
        before = core.forget_peak()
        streams = [client.request("/large") for _ in range(STREAMS)]
        answers = [client.answer(stream) for stream in streams]
        assert core.peak_rss_bytes() - before < GROWTH_BYTES
        assert {answer.status for answer in answers} == {200}
        assert all(answer.reset is not None and answer.body == b"" for answer in answers)
        assert client.fetch("/empty").status == 200  # the connection is as good as before
    stats = core.stats()
    assert stats["http2.pending_send_bytes"] == 0
    assert stats[f"{PROTOCOL}downstream_rq_idle_timeout"] >= STREAMS


def test_small_answers_that_no_window_lets_out_end_the_connection(front: FrontMaker) -> None:
    core = front(stream_idle_timeout=SOON)
    with RawH2(core.address, values=CLOSED_WINDOW) as client:
        for _ in range(STREAMS):
            client.request("/one")
        until_stat(core, "http2.deferred_stream_close", STREAMS)
        client.end(20)
        assert not any(answer.body for answer in client.answers.values())
    stats = until_stat(core, f"{PROTOCOL}downstream_cx_destroy", 1)
    assert stats["http2.tx_flush_timeout"] == STREAMS
    assert stats["http2.pending_send_bytes"] == stats["http2.streams_active"] == 0


def test_small_answers_that_no_window_lets_out_are_given_up_beside_others(
    front: FrontMaker,
) -> None:
    core = front(stream_idle_timeout=SOON)
    with RawH2(core.address, values=CLOSED_WINDOW) as client:
        stuck = [client.request("/one") for _ in range(10)]
        while core.stats()["http2.tx_flush_timeout"] < len(stuck):
            assert client.fetch("/empty").status == 200
        assert all(client.answer(stream).reset is not None for stream in stuck)
        assert client.fetch("/empty").status == 200
        stats = core.stats()
    assert stats["http2.pending_send_bytes"] == stats["http2.deferred_stream_close"] == 0
    assert stats["http2.tx_reset"] == len(stuck)


@pytest.mark.parametrize("step", [1, 2])
def test_window_of_one_byte_gets_the_whole_answer(
    front: FrontMaker, upstream: Upstream, step: int
) -> None:
    body = bytes(range(250)) * 4

    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], body)

    upstream.handler = handler
    core = front()
    with RawH2(core.address, values={Setting.INITIAL_WINDOW_SIZE: step}, windows=False) as client:
        stream = client.request()
        while not client.answers.get(stream) or not client.answers[stream].over:
            got: Frame = client.read()
            if got.kind == Kind.DATA and got.payload:
                assert len(got.payload) <= step
                client.send(window_update(stream, len(got.payload)))
        assert client.answers[stream].body == body
        assert client.received < 10 * client.sent


def test_window_that_opens_late_gets_the_whole_answer(
    front: FrontMaker, upstream: Upstream
) -> None:
    upstream.handler = large
    core = front()
    with RawH2(core.address, values=CLOSED_WINDOW) as client:
        streams = [client.request("/large") for _ in range(20)]
        until_stat(core, f"{PROTOCOL}downstream_rq_active", 20)
        client.send(settings([(Setting.INITIAL_WINDOW_SIZE, 2 * MIB)]))
        assert {len(client.answer(stream).body) for stream in streams} == {MIB}


def test_connection_without_streams_ends_with_a_goodbye(front: FrontMaker) -> None:
    core = front(common_http_protocol_options={"idle_timeout": SOON})
    with RawH2(core.address, acks=False) as client:
        assert client.fetch("/one").body == b"1"
        while not client.goaways:
            client.read()
        assert client.fetch("/one").body == b"1"  # was on its way
        client.send(frame(Kind.SETTINGS, Flag.ACK) + frame(Kind.PING, Flag.ACK, 0, bytes(8)))
        client.end(20)
        assert client.goaways == [(LARGEST_WINDOW, 0), (3, 0)]
    assert core.stats()[f"{PROTOCOL}downstream_cx_idle_timeout"] == 1


# -- heads ---------------------------------------------------------------------------------------


def test_header_block_that_does_not_end_is_408_and_the_end(front: FrontMaker) -> None:
    core = front(request_headers_timeout=SOON, drain_timeout=SOON)
    with Neighbour(core.address), RawH2(core.address) as client:
        client.send(block_begun(client))
        client.end(20)
        assert client.answers[1].status == 408
        assert client.goaways
    assert core.stats()[f"{PROTOCOL}downstream_rq_header_timeout"] == 1


def test_header_block_has_its_time_whatever_other_streams_do(
    front: FrontMaker, upstream: Upstream
) -> None:
    gate = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await gate.wait()
        await exchange.respond(200, [], b"late")

    upstream.handler = handler
    core = front(request_headers_timeout="1s", drain_timeout=SOON)
    with RawH2(core.address) as client:
        # A head that is told after the next block has begun, and a stream that ends within it.
        first = client.new_stream()
        head = frame(Kind.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, first, client.block("/late"))
        client.send(head + block_begun(client))
        until_stat(core, "cluster.backend.upstream_rq_total", 1)
        upstream._loop.call_soon_threadsafe(gate.set)
        assert client.answer(first).body == b"late"
        client.end(20)
        assert client.answers[first + 2].status == 408
    assert core.stats()[f"{PROTOCOL}downstream_rq_header_timeout"] == 1


def test_preface_that_does_not_end_is_given_up(front: FrontMaker) -> None:
    core = front(request_headers_timeout=SOON)
    with RawH2(core.address, hello=PREFACE[:10]) as client:
        assert client.end(20) is None
    assert core.stats()[f"{PROTOCOL}downstream_rq_header_timeout"] == 1


def test_upload_that_stops_is_given_up(front: FrontMaker) -> None:
    core = front(stream_idle_timeout=SOON)
    with Neighbour(core.address), RawH2(core.address) as client:
        stream = client.request("/slow", method="POST", end=False)
        client.send(frame(Kind.DATA, 0, stream, b"some"))
        assert client.answer(stream).status == 408
        assert client.fetch("/one").body == b"1"
