"""HTTP/2 towards upstreams: real servers, and scripted ones that misbehave."""

from __future__ import annotations

import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from h2.settings import SettingCodes
from tests.e2e.h2.conftest import H2CoreMaker
from tests.e2e.support.client import RawClient, fetch
from tests.e2e.support.core import Core
from tests.e2e.support.h2_upstream import H2Upstream, Peer

REFUSED = 7
CANCEL = 8


def burst(
    core: Core, count: int, *, workers: int = 16, prefix: str = ""
) -> Counter[tuple[int, bool]]:
    """Sends GETs at the same time; counts (status, its own path came back)."""

    def one(i: int) -> tuple[int, bool]:
        response = fetch(core.address, f"{prefix}/{i}")
        return response.status, response.body == f"{prefix}/{i}".encode()

    with ThreadPoolExecutor(workers) as pool:
        return Counter(pool.map(one, range(count)))


def test_many_requests_share_one_connection(h2_core: H2CoreMaker) -> None:
    with H2Upstream() as upstream:
        core = h2_core(upstream.address)
        assert burst(core, 200) == {(200, True): 200}
        stats = core.stats()
        assert len(upstream.peers) == 1
    assert stats["cluster.backend.upstream_cx_http2_total"] == 1
    assert stats["cluster.backend.upstream_rq_total"] == 200


def test_goaway_in_a_burst_loses_nothing(h2_core: H2CoreMaker) -> None:
    def script(peer: Peer, number: int) -> None:
        """Answers ten, then names the last of them and answers no more."""
        del number
        last = 0
        for _ in range(10):
            last = peer.ended()
            peer.respond(last, peer.requests[last][":path"].encode())
        peer.goaway(last)
        while True:
            peer.event()

    with H2Upstream(script) as upstream:
        core = h2_core(upstream.address)
        assert burst(core, 200) == {(200, True): 200}
        stats = core.stats()
        seen = Counter(
            peer.requests[stream][":path"] for peer in upstream.peers for stream in peer.requests
        )
    assert len(seen) == 200
    # Some of what was refused had not been read yet.
    assert stats["cluster.backend.upstream_rq_retry_refused"] >= sum(seen.values()) - 200
    assert stats["cluster.backend.upstream_cx_close_notify"] >= 19


def test_refused_streams_are_asked_again(h2_core: H2CoreMaker) -> None:
    def script(peer: Peer, number: int) -> None:
        del number
        count = 0

        def answer(stream: int) -> None:
            nonlocal count
            count += 1
            if count % 3 == 0:
                peer.reset(stream, REFUSED)
            else:
                peer.respond(stream, peer.requests[stream][":path"].encode())

        peer.run_until_gone(answer)

    with H2Upstream(script) as upstream:
        core = h2_core(upstream.address)
        outcome = burst(core, 100, workers=4)
    assert outcome[(200, True)] >= 95


def test_resets_are_reported_and_leave_no_memory(h2_core: H2CoreMaker) -> None:
    def script(peer: Peer, number: int) -> None:
        del number
        peer.run_until_gone(lambda stream: peer.reset(stream, CANCEL))

    with H2Upstream(script) as upstream:
        core = h2_core(upstream.address)
        assert burst(core, 300) == {(503, False): 300}
        before = core.rss_bytes()
        for _ in range(5):
            burst(core, 300)
        assert core.rss_bytes() - before < 8 << 20
        assert len(upstream.peers) == 1


def test_reset_and_goaway_on_each_connection_leave_no_memory(h2_core: H2CoreMaker) -> None:
    def script(peer: Peer, number: int) -> None:
        del number
        stream = peer.ended()
        peer.reset(stream, CANCEL)
        peer.goaway(stream)

    with H2Upstream(script) as upstream:
        core = h2_core(upstream.address)
        burst(core, 200)
        before = core.rss_bytes()
        for _ in range(4):
            burst(core, 200)
        assert core.rss_bytes() - before < 8 << 20
        assert core.stats()["cluster.backend.upstream_cx_active"] <= 16


@pytest.mark.parametrize("limit", [1, 3])
def test_limit_of_streams_is_kept(h2_core: H2CoreMaker, limit: int) -> None:
    most = 0

    def script(peer: Peer, number: int) -> None:
        nonlocal most
        del number

        def answer(stream: int) -> None:
            nonlocal most
            most = max(most, peer.h2.open_inbound_streams)
            peer.respond(stream, peer.requests[stream][":path"].encode())

        peer.run_until_gone(answer)

    with H2Upstream(script, settings={SettingCodes.MAX_CONCURRENT_STREAMS: limit}) as upstream:
        core = h2_core(upstream.address)
        fetch(core.address)  # its SETTINGS are known from here on
        assert burst(core, 100) == {(200, True): 100}
    assert 0 < most <= limit


def test_closed_window_stops_one_upload_and_no_other(h2_core: H2CoreMaker) -> None:
    def script(peer: Peer, number: int) -> None:
        """Opens the windows of uploads only when /open is asked for."""
        del number
        peer.acknowledge = False

        def answer(stream: int) -> None:
            if peer.requests[stream][":path"] == "/open":
                for upload in [s for s, head in peer.requests.items() if head[":path"] == "/stall"]:
                    peer.h2.increment_flow_control_window(5000, upload)
            peer.respond(stream, str(len(peer.bodies[stream])).encode())

        peer.run_until_gone(answer)

    with H2Upstream(script, settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000}) as upstream:
        core = h2_core(upstream.address)
        fetch(core.address)  # its SETTINGS are known from here on
        with RawClient(core.address) as client:
            client.start("POST", "/stall", [("content-length", "5000")])
            client.send(b"x" * 4000)
            for _ in range(20):
                assert fetch(core.address).body == b"0"
            assert max(len(body) for body in upstream.peers[0].bodies.values()) == 1000
            client.send(b"x" * 1000)
            fetch(core.address, "/open")
            assert client.read_response("POST").body == b"5000"
        assert len(upstream.peers) == 1


def test_large_bodies_both_ways(h2_core: H2CoreMaker, nghttpd: str) -> None:
    core = h2_core(nghttpd)
    size = 4 << 20
    response = fetch(core.address, method="POST", body=b"y" * size)
    assert (response.status, len(response.body)) == (200, size)


@pytest.fixture
def nghttpd(tmp_path: Path) -> Iterator[str]:
    """The address of an nghttpd that echoes uploads, without TLS."""

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["nghttpd", "--no-tls", "--echo-upload", f"--htdocs={tmp_path}", str(port)],
        stdout=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except ConnectionRefusedError:
                assert process.poll() is None
            else:
                break
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
