"""Connections to upstreams that come from the client's address.

The kernel lets root take any address of the loopback network: a client at 127.0.0.9, or one that a
PROXY header names, is who the upstream sees.
"""

from __future__ import annotations

import socket
from pathlib import Path

from tests.e2e.conftest import UpstreamMaker
from tests.e2e.support.client import RawClient
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import http_config
from tests.e2e.support.listener_config import listener_filter
from tests.e2e.support.upstream import Exchange


async def who(exchange: Exchange) -> None:
    """Answers with the address of whoever connected."""
    host, port = exchange.writer.get_extra_info("peername")
    await exchange.respond(200, [], f"{host}:{port}".encode())


def proxied(name: str, port: int = 5555) -> bytes:
    return f"PROXY TCP4 {name} 198.51.100.9 {port} 443\r\n".encode()


def test_the_upstream_sees_the_client(make_upstream: UpstreamMaker, tmp_path: Path) -> None:
    upstream = make_upstream(who)
    filters = [listener_filter("original_src", mark=7)]
    config = http_config(upstream.address, listener={"listener_filters": filters})
    with Core(config, tmp_path) as core:
        host, _, port = core.address.rpartition(":")
        with socket.create_connection((host, int(port)), 20, ("127.0.0.9", 0)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            data = b""
            while piece := client.recv(65536):
                data += piece
        assert b"\r\n\r\n127.0.0.9:" in data


def test_clients_do_not_share_connections(make_upstream: UpstreamMaker, tmp_path: Path) -> None:
    upstream = make_upstream(who)
    filters = [listener_filter("proxy_protocol"), listener_filter("original_src")]
    config = http_config(upstream.address, listener={"listener_filters": filters})
    with Core(config, tmp_path) as core:
        seen = []
        for name in ("127.0.0.10", "127.0.0.11", "127.0.0.10"):
            with RawClient(core.address) as client:
                client.send(proxied(name))
                first, second = client.request().body, client.request().body
                assert first == second  # the same connection again
                seen.append(first.decode())
    assert [one.split(":")[0] for one in seen] == ["127.0.0.10", "127.0.0.11", "127.0.0.10"]
    assert seen[0] == seen[2]
    assert not any(one.endswith(":5555") for one in seen)  # the port is any free one


def test_the_port_too_where_that_is_wanted(make_upstream: UpstreamMaker, tmp_path: Path) -> None:
    upstream = make_upstream(who)
    filters = [listener_filter("proxy_protocol"), listener_filter("original_src", bind_port=True)]
    config = http_config(upstream.address, listener={"listener_filters": filters})
    with Core(config, tmp_path) as core, RawClient(core.address) as client:
        client.send(proxied("127.0.0.12", 23456))
        assert client.request().body == b"127.0.0.12:23456"
