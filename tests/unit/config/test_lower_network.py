"""TCP proxies and network filters, from Envoy's file and from objects."""

from __future__ import annotations

from typing import Any

import pytest

from moebridge.config.load import load
from moebridge.config.model import FilterChain, HttpFilter, TcpCluster
from moebridge.config.simple import build_simple
from moebridge.errors import ConfigError

_NETWORK = "type.googleapis.com/envoy.extensions.filters.network."
AT = "static_resources.listeners[0].filter_chains[0].filters"
GUARD = HttpFilter(name="guard", module="python", filter="m:Guard")


def module(name: str = "moebridge", **fields: Any) -> dict[str, Any]:
    typed = {
        "@type": f"{_NETWORK}dynamic_modules.v3.DynamicModuleNetworkFilter",
        "dynamic_module_config": {"name": name},
        "filter_name": "m:Guard",
        **fields,
    }
    return {"name": "guard", "typed_config": typed}


def tcp(**fields: Any) -> dict[str, Any]:
    typed = {"@type": f"{_NETWORK}tcp_proxy.v3.TcpProxy", "stat_prefix": "t", **fields}
    return {"name": "tcp", "typed_config": typed}


def chain_of(*filters: dict[str, Any]) -> FilterChain:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}
    listener = {"address": address, "filter_chains": [{"filters": list(filters)}]}
    clusters = [{"name": name, "type": "STATIC"} for name in ("a", "b")]
    config = load({"static_resources": {"listeners": [listener], "clusters": clusters}})
    return config.listeners[0].filter_chains[0]


def test_what_is_not_said_is_envoys_default() -> None:
    chain = chain_of(tcp(cluster="a"))
    assert chain.hcm is None
    assert chain.network_filters == []
    found = chain.tcp_proxy
    assert found is not None
    assert found.clusters == [TcpCluster(name="a")]
    assert (found.idle_timeout_ms, found.max_connect_attempts) == (3_600_000, 1)
    assert found.max_downstream_connection_duration_ms == 0


def test_everything_is_carried_out() -> None:
    weights = [{"name": "a", "weight": 2}, {"name": "b", "weight": 1}]
    value = {"@type": "type.googleapis.com/google.protobuf.Struct"}
    value["value"] = {"k": 1, "@moebridge": {"on_error": "fail_open"}}  # type: ignore[assignment]
    chain = chain_of(
        module(filter_config=value),
        tcp(
            weighted_clusters={"clusters": weights},
            idle_timeout="0s",
            max_connect_attempts=3,
            max_downstream_connection_duration="1.5s",
        ),
    )
    found = chain.tcp_proxy
    assert found is not None
    assert found.clusters == [TcpCluster(name="a", weight=2), TcpCluster(name="b")]
    assert (found.idle_timeout_ms, found.max_connect_attempts) == (0, 3)
    assert found.max_downstream_connection_duration_ms == 1500
    (item,) = chain.network_filters
    assert (item.name, item.module, item.filter) == ("guard", "python", "m:Guard")
    assert item.config == {"k": 1}
    assert item.options.on_error == "fail_open"


@pytest.mark.parametrize(
    ("filters", "path", "what"),
    [
        ([tcp()], "[0].typed_config.cluster", "one of cluster and weighted_clusters"),
        ([tcp(cluster="c")], "[0].typed_config.cluster", "no cluster"),
        (
            [tcp(weighted_clusters={"clusters": [{"name": "c", "weight": 1}]})],
            "[0].typed_config.weighted_clusters.clusters[0].name",
            "no cluster",
        ),
        ([module()], "[0]", "must be the HTTP connection manager or the TCP proxy"),
        ([tcp(cluster="a"), module()], "[0]", "the TCP proxy must be the last filter"),
        (
            [module(terminal_filter=True), tcp(cluster="a")],
            "[0].typed_config.terminal_filter",
            "moebridge",
        ),
        (
            [module("moebridge_native", filter_name="body_scan"), tcp(cluster="a")],
            "[0].typed_config.filter_name",
            "none of this kind",
        ),
        ([tcp(cluster="a", tunneling_config={})], "[0].typed_config.tunneling_config", "moebridge"),
        ([tcp(cluster="a", on_demand={})], "[0].typed_config.on_demand", "moebridge"),
    ],
)
def test_what_cannot_be_done_is_said(filters: list[Any], path: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        chain_of(*filters)
    faults = {fault.path: fault.message for fault in caught.value.faults}
    assert f"{AT}{path}" in faults
    assert what in faults[f"{AT}{path}"]


def test_network_filters_alone_make_a_proxy_of_tcp() -> None:
    chain = (
        build_simple("127.0.0.1:1", "127.0.0.1:2", (), [GUARD], connection_idle_timeout_s=7)
        .listeners[0]
        .filter_chains[0]
    )
    assert chain.hcm is None
    assert chain.tcp_proxy is not None
    assert chain.tcp_proxy.idle_timeout_ms == 7000
    assert chain.network_filters == [GUARD]


def test_with_http_filters_they_stand_in_front_of_http() -> None:
    http = HttpFilter(name="h", module="python", filter="m:H")
    chain = build_simple("127.0.0.1:1", "127.0.0.1:2", [http], [GUARD])
    found = chain.listeners[0].filter_chains[0]
    assert found.tcp_proxy is None
    assert found.hcm is not None
    assert found.network_filters == [GUARD]


def test_the_protocol_may_be_said() -> None:
    plain = build_simple("127.0.0.1:1", "127.0.0.1:2", protocol="tcp").listeners[0]
    assert plain.filter_chains[0].tcp_proxy is not None
    http = build_simple("127.0.0.1:1", "127.0.0.1:2", (), [GUARD], protocol="http").listeners[0]
    assert http.filter_chains[0].hcm is not None


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"protocol": "udp"}, "protocol"),
        ({"protocol": "tcp", "timeout_s": 3}, "timeout_s"),
        ({"protocol": "tcp", "filters": [GUARD]}, "filters"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_simple("127.0.0.1:1", "127.0.0.1:2", **options)
    assert [fault.path for fault in caught.value.faults] == [path]
