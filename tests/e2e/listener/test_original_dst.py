"""Connections that were meant for another address than that of the socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.listener.conftest import count
from tests.e2e.support.client import RawClient, fetch
from tests.e2e.support.core import Core
from tests.e2e.support.listener_config import direct_chain, listener_filter


def listener(name: str, address: str, port: int, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [direct_chain(name)],
        **fields,
    }


@pytest.fixture
def config() -> dict[str, Any]:
    """A listener that hands over to others, which have no sockets."""
    proxied = {"listener_filters": [listener_filter("proxy_protocol")]}
    listeners = [
        listener("main", "127.0.0.1", 0, use_original_dst=True, **proxied),
        listener("exact", "198.51.100.9", 443, bind_to_port=False),
        listener("any", "0.0.0.0", 443, bind_to_port=False),
        listener("filtered", "198.51.100.9", 80, bind_to_port=False, **proxied),
    ]
    return {"static_resources": {"listeners": listeners, "clusters": []}}


def test_the_listener_of_the_destination_gets_the_connection(
    config: dict[str, Any], tmp_path: Path
) -> None:
    line = "PROXY TCP4 192.0.2.7 {} 5555 {}\r\n"
    with Core(config, tmp_path) as core:
        assert list(core.addresses) == ["main"]
        for host, port, name in (
            ("198.51.100.9", 443, b"exact"),
            ("198.51.100.10", 443, b"any"),
            ("198.51.100.10", 444, b"main"),
        ):
            with RawClient(core.address) as client:
                client.send(line.format(host, port).encode())
                assert client.request().body == name
        # The filters of the one that gets it run too.
        with RawClient(core.address) as client:
            client.send(line.format("198.51.100.9", 80).encode())
            client.send(line.format("198.51.100.9", 443).encode())
            assert client.request().body == b"filtered"  # and it is not handed on
        assert count(core, "listener.198.51.100.9_443.downstream_cx_total") == 1
        assert count(core, "listener.0.0.0.0_443.downstream_cx_total") == 1


def test_a_connection_that_nobody_redirected_stays(tmp_path: Path) -> None:
    main = listener("main", "127.0.0.1", 0, use_original_dst=True)
    config = {"static_resources": {"listeners": [main], "clusters": []}}
    with Core(config, tmp_path) as core:
        assert fetch(core.address).body == b"main"
