"""One stream of a connection that is stuck keeps no other: progress is counted, not time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from tests.e2e.h2.conftest import FrontMaker
from tests.e2e.load.proxy_process import eventually
from tests.e2e.support.core import Core
from tests.e2e.support.h2_frames import Answer, Kind, Setting, frame, window_update
from tests.e2e.support.h2_raw import RawH2
from tests.e2e.support.upstream import Exchange, Upstream

import moebridge as mb

MIB = 1 << 20
OTHERS = 99
ROUNDS = 5
LARGE = 10 * MIB
#: As much as all the streams that run may have in hand.
GROWTH_BYTES = 16 * MIB


def rounds(client: RawH2, open_window: Callable[[int], bytes] = lambda _: b"") -> None:
    """99 streams at a time fetch, round after round; each answer is that of its request."""
    for turn in range(ROUNDS):
        ids = {}
        for number in range(OTHERS):
            text = f"{turn}-{number}"
            stream = client.request("/echo", [("x-id", text)])
            client.send(open_window(stream))
            ids[stream] = text
        for stream, text in ids.items():
            answer = client.answer(stream)
            assert (answer.status, answer.fields["x-id"]) == (200, text), answer


async def sized(exchange: Exchange) -> None:
    """/large: 10 MiB; else the field x-id and 2 KB."""
    if exchange.request.target == "/large":
        await exchange.respond(200, [], bytes(LARGE))
    else:
        await exchange.respond(200, [("x-id", exchange.request.get("x-id"))], bytes(2000))


def test_stream_whose_client_reads_nothing_keeps_no_other(
    front: FrontMaker, upstream: Upstream
) -> None:
    upstream.handler = sized
    core = front()
    with RawH2(core.address, values={Setting.INITIAL_WINDOW_SIZE: 0}) as client:
        before = core.forget_peak()
        stuck = client.request("/large")
        while not client.answers.get(stuck, Answer()).status:
            client.read()
        rounds(client, lambda stream: window_update(stream, 65536))
        assert not client.answers[stuck].body
        assert core.peak_rss_bytes() - before < GROWTH_BYTES
        client.send(window_update(stuck, LARGE))
        assert len(client.answer(stuck).body) == LARGE


def test_stream_whose_upstream_reads_nothing_keeps_no_other(
    front: FrontMaker, upstream: Upstream
) -> None:
    gate = threading.Event()

    async def handler(exchange: Exchange) -> None:
        if exchange.request.target == "/upload":
            await asyncio.to_thread(gate.wait, 60)
        await exchange.respond(200, [("x-id", exchange.request.get("x-id"))])

    upstream.handler = handler
    core = front()
    with RawH2(core.address) as client:
        before = core.forget_peak()
        fields = [("content-length", str(LARGE))]
        stuck = client.request("/upload", fields, method="POST", end=False)
        left = fill(client, core, stuck)
        assert left > 0
        rounds(client)
        assert core.peak_rss_bytes() - before < GROWTH_BYTES
        gate.set()
        upload(client, stuck, left)
        assert client.answer(stuck).status == 200
    assert len(next(r.body for r in upstream.requests if r.target == "/upload")) == LARGE


def fill(client: RawH2, core: Core, stream: int) -> int:
    """Sends body until nothing is taken any more; returns what is left of it."""
    left = LARGE
    while not core.stats()["cluster.backend.upstream_flow_control_backed_up_total"]:
        left = upload(client, stream, left, steps=1)
    return upload(client, stream, left, steps=0)


def upload(client: RawH2, stream: int, left: int, *, steps: int | None = None) -> int:
    """Sends body as far as the stream's window is open, `steps` times; None: all of it."""
    while left and steps != 0:
        room = client.room(stream)
        if room:
            size = min(room, left, 16384)
            left -= size
            client.send_data(stream, bytes(size), end=not left)
            steps = steps if steps is None else steps - 1
        elif steps is None:
            client.read()
        else:
            client.ping()  # what the core gives of the window has come then
            steps -= 1
    return left


class Holding(mb.HttpFilter):
    """Keeps a stream for ever: STOP_ALL_AND_WATERMARK, and no resume."""

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        return mb.Status.STOP_ALL_AND_WATERMARK if stream.request.path == "/held" else None


def test_stream_that_a_python_filter_holds_keeps_no_other(upstream: Upstream) -> None:
    proxy = mb.Proxy(listen="127.0.0.1:0", upstream=upstream.address, filters=[Holding()])
    proxy.start()
    try:
        with RawH2(proxy.addresses["main"]) as client:
            held = client.request(
                "/held", [("content-length", str(LARGE))], method="POST", end=False
            )
            while room := client.room(held):  # until its window is closed, and stays so
                client.send_data(held, bytes(min(room, 16384)))
                client.ping()
            rounds(client)
            assert client.room(held) == 0
            assert not client.answers.get(held, Answer()).over
            eventually(  # statistics are published at the end of a turn, after the last answer
                "the held stream is the only one",
                lambda: proxy.stats()["http.ingress_http.downstream_rq_active"] == 1,
            )
            client.send(frame(Kind.RST_STREAM, 0, held, bytes([0, 0, 0, 8])))
            eventually(
                "the stream is gone",
                lambda: proxy.stats()["http.ingress_http.downstream_rq_active"] == 0,
            )
    finally:
        proxy.stop()
