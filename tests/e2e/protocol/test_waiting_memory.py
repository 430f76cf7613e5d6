"""What many connections cost that all wait: each its buffer limit and little more.

The upstream's answers and the clients' bodies come in large reads as long as nobody waits.
"""

from __future__ import annotations

import contextlib
import socket
from contextlib import ExitStack
from typing import Any

from tests.e2e.protocol.conftest import CoreMaker
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import cluster
from tests.e2e.support.upstream import Exchange, Upstream

MIB = 1 << 20
CONNECTIONS = 100
LIMITS: dict[str, Any] = {"per_connection_buffer_limit_bytes": 32768}
#: Of all together.
GROWTH_BYTES = 16 * MIB
#: More than the kernel takes of it before the core reads.
UPLOAD_BYTES = 16 * MIB
#: What the kernel keeps on each side, so that the core has to keep the rest.
KERNEL_BYTES = 16384


def small(stack: ExitStack) -> socket.socket:
    """A socket that the kernel buffers little for."""
    made = stack.enter_context(socket.socket())
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, KERNEL_BYTES)
    return made


def connect(stack: ExitStack, core: Core) -> socket.socket:
    """A client of that kind."""
    client = small(stack)
    host, _, port = core.address.rpartition(":")
    client.connect((host, int(port)))
    return client


def test_clients_that_read_nothing_cost_little(make_core: CoreMaker, upstream: Upstream) -> None:
    async def large(exchange: Exchange) -> None:
        await exchange.respond(200, [], bytes(MIB))

    upstream.handler = large
    core = make_core(listener=LIMITS)
    with ExitStack() as stack:
        clients = [connect(stack, core) for _ in range(CONNECTIONS)]
        before = core.forget_peak()
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        paused = "cluster.backend.upstream_flow_control_paused_reading_total"
        while core.stats()[paused] < CONNECTIONS:
            pass  # each look is a turn of the core's loop
        assert core.peak_rss_bytes() - before < GROWTH_BYTES
        for client in clients:  # and it all comes
            client.settimeout(20)
            got = 0
            while got < MIB:
                piece = client.recv(MIB)
                assert piece
                got += len(piece)


def test_uploads_to_an_upstream_that_reads_nothing_cost_little(make_core: CoreMaker) -> None:
    body = bytes(UPLOAD_BYTES)
    with ExitStack() as stack:
        deaf = small(stack)  # connections wait in its backlog for ever
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(2 * CONNECTIONS)
        host, port = deaf.getsockname()
        core = make_core([cluster(f"{host}:{port}", **LIMITS)], listener=LIMITS)
        clients = [connect(stack, core) for _ in range(CONNECTIONS)]
        before = core.forget_peak()
        left = dict.fromkeys(clients, UPLOAD_BYTES)
        for client in clients:
            head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
            client.sendall(head % UPLOAD_BYTES)
            client.setblocking(False)
        moved = True
        while moved:  # until no client can send any more
            moved = False
            assert core.stats()["http.ingress.downstream_rq_active"] <= CONNECTIONS  # a turn
            for client in clients:
                with contextlib.suppress(BlockingIOError):
                    count = client.send(body[: left[client]])
                    left[client] -= count
                    moved |= count > 0
        assert all(left.values())
        assert core.peak_rss_bytes() - before < GROWTH_BYTES
