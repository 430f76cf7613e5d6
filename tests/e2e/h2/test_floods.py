"""Clients that flood an HTTP/2 connection: it is ended soon and cheaply, and nobody else notices.

With its limit raised each flood goes through: so it is the limit that ends it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.e2e.h2.conftest import FrontMaker, H2CoreMaker
from tests.e2e.h2.floods import FLOODS, LIMITED, PING, Flood, block_of
from tests.e2e.h2.neighbour import Neighbour
from tests.e2e.support.client import fetch
from tests.e2e.support.core import Core
from tests.e2e.support.h2_frames import (
    LARGEST_WINDOW,
    Code,
    Flag,
    Kind,
    Setting,
    frame,
    literal,
    reset,
    settings,
)
from tests.e2e.support.h2_raw import Ended, RawH2
from tests.e2e.support.h2_upstream import H2Upstream, Peer, echo_path
from tests.e2e.support.upstream import Exchange, Upstream, echo

MIB = 1 << 20
#: From the last byte of a flood on; it ends as soon as the core has come to what is too much.
WITHIN_S = 2.0
GROWTH_BYTES = 16 * MIB
AMPLIFICATION = 10
#: Sent on one connection.
HEADS = 40


def send_all(client: RawH2, flood: Flood) -> bool:
    """Sends a flood; False: the connection ended before it did."""
    try:
        for piece in flood.pieces(client):
            client.send(piece)
    except Ended:
        return False
    return True


def flooded(core: Core) -> dict[str, int]:
    """The counters of floods that are not 0."""
    names = ("_flood", ".header_overflow")
    stats = core.stats()
    return {
        name.removeprefix("http2."): value
        for name, value in stats.items()
        if name.startswith("http2.") and name.endswith(names) and value
    }


def endure(core: Core, flood: Flood, context: ssl.SSLContext | None = None) -> None:
    """Lets a flood come; asserts that it ends as it is to end."""
    with Neighbour(core.address, context) as neighbour:
        before = core.forget_peak()
        with RawH2(core.address, small=not flood.reads, context=context) as client:
            send_all(client, flood)
            code = client.end(WITHIN_S)
            neighbour.goes_on()
            assert client.received < AMPLIFICATION * client.sent
        grown = core.peak_rss_bytes() - before
        # Who does not read may miss the last words.
        assert code == flood.code or (code is None and not flood.reads)
        assert grown < GROWTH_BYTES
        assert flooded(core) in ({flood.counter: 1}, {flood.or_counter: 1})
    assert core.stats()["http.ingress.downstream_cx_protocol_error"] == 1


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.name)
def test_flood_ends_its_connection_and_no_other(front: FrontMaker, flood: Flood) -> None:
    endure(front(), flood)


@pytest.mark.parametrize("name", ["ping", "rapid_reset", "hpack_bomb"])
def test_flood_over_tls_ends_its_connection_and_no_other(front: FrontMaker, name: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    endure(front(tls=True), next(flood for flood in FLOODS if flood.name == name), context)


@pytest.mark.parametrize("flood", LIMITED, ids=lambda flood: flood.name)
def test_flood_under_a_higher_limit_goes_through(front: FrontMaker, flood: Flood) -> None:
    core = front(http2=flood.off, **(flood.off_manager or {}))
    with RawH2(core.address, small=not flood.reads) as client:
        assert send_all(client, flood)
        assert client.fetch("/one").body == b"1"
    assert flooded(core) == {}


async def large(exchange: Exchange) -> None:
    """/large: more than is kept for a client that does not read; else what came."""
    if exchange.request.target == "/large":
        await exchange.respond(200, [], bytes(16 * MIB))
    else:
        await echo(exchange)


#: What a client sends that reads nothing, and the bounds on the answers that wait for it.
CLOGGED: dict[str, tuple[Callable[[RawH2], bytes], dict[str, int], str]] = {
    "ping": (lambda _: PING * 1100, {}, "outbound_control_flood"),
    "settings": (lambda _: settings() * 1100, {}, "outbound_control_flood"),
    "ping_few": (
        lambda _: PING * 20,
        {"max_outbound_control_frames": 10},
        "outbound_control_flood",
    ),
    "answers": (lambda client: gets(client, 60), {"max_outbound_frames": 50}, "outbound_flood"),
}


def gets(client: RawH2, count: int) -> bytes:
    """Requests; each answer is a head, one frame."""
    block = client.block("/empty")
    streams = (client.new_stream() for _ in range(count))
    heads = Flag.END_HEADERS | Flag.END_STREAM
    return b"".join(frame(Kind.HEADERS, heads, stream, block) for stream in streams)


@pytest.mark.parametrize("name", CLOGGED)
def test_answers_that_wait_for_a_client_that_does_not_read_are_bounded(
    front: FrontMaker, upstream: Upstream, name: str
) -> None:
    upstream.handler = large
    sent, bounds, counter = CLOGGED[name]
    core = front(http2=bounds)
    windows = {Setting.INITIAL_WINDOW_SIZE: LARGEST_WINDOW}
    with (
        Neighbour(core.address) as neighbour,
        RawH2(core.address, values=windows, small=True) as client,
    ):
        client.request("/large")
        while not core.stats()["http2.pending_send_bytes"]:
            pass  # until what is on the way is full; each look is a turn of the core's loop
        sent_at = 0.0
        while not flooded(core):
            # The kernel makes more room when something comes in; what went there does not wait.
            # Again within a second would be another flood.
            if time.monotonic() - sent_at > 1.0:
                client.send(sent(client))
                sent_at = time.monotonic()
        neighbour.goes_on()
        client.end(WITHIN_S)
    assert flooded(core) == {counter: 1}


@pytest.mark.parametrize("kind", ["ping", "settings"])
def test_flood_of_an_upstream_ends_its_connection(h2_core: H2CoreMaker, kind: str) -> None:
    question = PING if kind == "ping" else settings()
    asked: list[int] = []  # at a time

    def script(peer: Peer, number: int) -> None:
        """The first connection asks and reads all answers; the others answer requests."""
        if number:
            echo_path(peer, number)
        peer.request()
        for _ in range(200):
            peer.sock.sendall(question * 99 + PING)
            asked.append(100)
            for _ in range(100 if kind == "ping" else 1):
                peer.pong()

    with H2Upstream(script) as upstream:
        core = h2_core(upstream.address)
        started = time.monotonic()
        assert fetch(core.address, "/first").status == 502
        assert time.monotonic() - started < WITHIN_S
        assert fetch(core.address, "/second").body == b"/second"
        stats = core.stats()
    assert 2000 < sum(asked) < 20_000
    assert stats["cluster.backend.http2.inbound_control_frames_flood"] == 1


def test_client_that_asks_once_for_each_piece_it_gets_goes_on(
    front: FrontMaker, upstream: Upstream
) -> None:
    upstream.handler = large
    core = front()
    with RawH2(core.address, values={Setting.INITIAL_WINDOW_SIZE: 100}) as client:
        stream = client.request("/large")
        asked = 0
        while asked < 10_000:
            if client.read().kind == Kind.DATA:
                client.send(PING)
                asked += 1
        assert not client.answers[stream].over
        client.ping()
    assert flooded(core) == {}


def test_streams_that_end_well_pay_for_those_that_are_reset(front: FrontMaker) -> None:
    core = front()
    with RawH2(core.address) as client:
        for _ in range(300):
            for _ in range(2):
                assert client.fetch("/one").status == 200
            stream = client.new_stream()
            head = frame(Kind.HEADERS, Flag.END_HEADERS, stream, client.block("/slow"))
            client.send(head + reset(stream))
        client.ping()
    assert flooded(core) == {}


def test_fewer_resets_than_the_limit_go_through(front: FrontMaker) -> None:
    core = front()
    with RawH2(core.address) as client:
        for _ in range(249):
            stream = client.new_stream()
            head = frame(Kind.HEADERS, Flag.END_HEADERS, stream, client.block("/slow"))
            client.send(head + reset(stream))
        assert client.fetch("/one").body == b"1"
        stream = client.new_stream()
        head = frame(Kind.HEADERS, Flag.END_HEADERS, stream, client.block("/slow"))
        client.send(head + reset(stream))
        assert client.end(WITHIN_S) == Code.ENHANCE_YOUR_CALM


def test_block_in_as_many_frames_as_a_large_head_needs_goes_through(front: FrontMaker) -> None:
    core = front()
    with RawH2(core.address) as client:
        value = b"x" * 50_000
        block = client.block("/one") + literal(b"x-large", value)
        stream = client.new_stream()
        client.send(block_of(stream, block, size=5_000))
        assert client.answer(stream).body == b"1"
    assert flooded(core) == {}


# -- heads over the limits: the stream is reset, the connection goes on --------------------------


def many_fields(client: RawH2) -> bytes:
    """More fields than 100."""
    return client.block() + b"".join(literal(b"x-%d" % n, b"") for n in range(100))


def large_head(client: RawH2) -> bytes:
    """More than 60 KiB, decoded."""
    return client.block() + literal(b"x", b"y" * 61_000) + literal(b"z", b"y" * 1000)


def long_path(client: RawH2) -> bytes:
    """A path that is too long for any head."""
    return client.block("/" + "p" * 61_440)


def bomb_of_hosts(client: RawH2) -> bytes:
    """Copies of a large Host, by one byte each: CVE-2026-73550."""
    return client.block() + literal(b"host", b"h" * 4000, indexed=True) + b"\xbe" * 50


def bomb_of_cookies(client: RawH2) -> bytes:
    """Cookies by one byte each."""
    return client.block() + literal(b"cookie", b"c" * 1000, indexed=True) + b"\xbe" * 100


OVER_LIMIT = {
    many_fields: Code.INTERNAL_ERROR,
    large_head: Code.INTERNAL_ERROR,
    long_path: Code.INTERNAL_ERROR,
    bomb_of_cookies: Code.INTERNAL_ERROR,
    bomb_of_hosts: Code.PROTOCOL_ERROR,
}


@pytest.mark.parametrize("make", OVER_LIMIT, ids=lambda make: make.__name__)
def test_head_over_the_limits_resets_its_stream(front: FrontMaker, make: Any) -> None:
    core = front()
    with Neighbour(core.address), RawH2(core.address) as client:
        before = core.forget_peak()
        for _ in range(HEADS):
            stream = client.new_stream()
            client.send(block_of(stream, make(client)))
            assert client.answer(stream).reset == OVER_LIMIT[make]
            assert client.fetch("/one").body == b"1"
        assert core.peak_rss_bytes() - before < GROWTH_BYTES
    stats = core.stats()
    assert stats["http2.tx_reset"] == HEADS
    counted = "header_overflow" if OVER_LIMIT[make] == Code.INTERNAL_ERROR else "rx_messaging_error"
    assert stats[f"http2.{counted}"] == HEADS
