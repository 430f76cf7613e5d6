"""How long a drain lasts, by what a configuration has."""

from __future__ import annotations

from typing import Any

import pytest

from moebridge._sources import plan_config

TYPES = "type.googleapis.com/envoy.extensions.filters."


def http(drain_timeout: str) -> dict[str, Any]:
    """A connection manager."""
    return {
        "@type": f"{TYPES}network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "drain_timeout": drain_timeout,
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{TYPES}http.router.v3.Router"}}
        ],
        "route_config": {"virtual_hosts": []},
    }


def tcp() -> dict[str, Any]:
    """A TCP proxy."""
    kind = f"{TYPES}network.tcp_proxy.v3.TcpProxy"
    return {"@type": kind, "stat_prefix": "tcp", "cluster": "backend"}


@pytest.mark.parametrize(
    ("terminals", "expected"),
    [
        ([http("2s")], 2),
        ([http("2s"), http("3s")], 3),
        ([http("2s"), tcp()], 2),
        ([tcp(), http("30s")], 30),
        ([tcp()], 5),
    ],
    ids=["http", "the longest", "a tcp proxy beside it", "and before it", "only tcp"],
)
def test_a_drain_lasts_as_long_as_http_says(
    terminals: list[dict[str, Any]], expected: float
) -> None:
    listeners = [
        {
            "name": f"l{index}",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{"filters": [{"name": "terminal", "typed_config": terminal}]}],
        }
        for index, terminal in enumerate(terminals)
    ]
    backend = {"name": "backend", "type": "STATIC", "load_assignment": {"cluster_name": "backend"}}
    resources = {"listeners": listeners, "clusters": [backend]}
    assert plan_config({"static_resources": resources}).drain_s == expected
