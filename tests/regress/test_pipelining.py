"""Clients that pipeline: what they can make the core keep, and that all of it is answered."""

from __future__ import annotations

import contextlib
import socket

import pytest
from tests.e2e.protocol.conftest import CoreMaker
from tests.e2e.support.client import RawClient
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import direct

LIMIT = 32 * 1024
BODY = "x" * 4000
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
STARTED = "http.ingress.downstream_rq_total"


@pytest.fixture
def core(make_core: CoreMaker) -> Core:
    """A core that answers itself."""
    limit = {"per_connection_buffer_limit_bytes": LIMIT}
    return make_core(routes=[direct(200, BODY)], listener=limit)


def send_until_stuck(client: RawClient, data: bytes, most: int) -> int:
    """Sends `data` again and again, without reading, until the other side takes no more."""
    sent = 0
    client.socket.settimeout(1.0)
    with contextlib.suppress(TimeoutError):
        while sent < most:
            sent += client.socket.send(data[sent % len(data) :])
    client.socket.settimeout(20.0)
    return sent


def test_answers_that_nobody_reads_do_not_pile_up(core: Core) -> None:
    with RawClient(core.address) as client:
        assert client.request().status == 200
        before = core.rss_bytes()
        sent = send_until_stuck(client, GET * 1000, 50_000_000)
        assert sent < 50_000_000, "it reads on and on"
        begun = core.stats()[STARTED]
        # What the kernel has of the answers is not memory of ours.
        assert begun < sent / len(GET) / 2
        assert core.rss_bytes() - before < 8 << 20


def test_all_that_waited_is_answered_once_the_client_reads(core: Core) -> None:
    with RawClient(core.address) as client:
        sent = send_until_stuck(client, GET * 1000, 50_000_000)
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(sent // len(GET)):
            response = client.read_response()
            assert (response.status, len(response.body)) == (200, len(BODY))
        assert client.is_closed()


def test_a_burst_of_requests_needs_the_memory_of_one(make_core: CoreMaker) -> None:
    core = make_core(routes=[direct(204)])
    with RawClient(core.address) as client:
        assert client.request().status == 204
        before = core.rss_bytes()
        client.send(GET * 9000)  # one read takes thousands of them
        for _ in range(9000):
            assert client.read_response().status == 204
        assert core.rss_bytes() - before < 8 << 20
