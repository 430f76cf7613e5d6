"""The object form."""

# ruff: noqa: E501 - tables with one case a line

from __future__ import annotations

import pytest
from tests.unit.config.conftest import hcm_of

from moebridge.config import model as m
from moebridge.config.filter_spec import native_filter
from moebridge.config.model import decode, encode
from moebridge.config.simple import build_simple, split_address
from moebridge.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("db.local:5", ("db.local", 5)),
        ("::1:80", None), ("[::1]", None), ("127.0.0.1", None), (":80", None), ("a:65536", None),
        ("a:-1", None), ("[a]:1", None), ("[::1%eth0]:1", None), ("a:1 ", None), ("", None), ("a:\u0661", None),
    ],
)  # fmt: skip
def test_address_is_split(text: str, parts: tuple[str, int] | None) -> None:
    assert split_address(text) == parts


def test_edge_profile() -> None:
    config = build_simple("127.0.0.1:0", "127.0.0.1:9000")
    listener, cluster = config.listeners[0], config.clusters[0]
    assert listener.addresses == [m.ListenAddress(host="127.0.0.1")]
    assert listener.name == "main"
    assert listener.per_connection_buffer_limit_bytes == 32_768
    assert cluster.per_connection_buffer_limit_bytes == 32_768
    assert (cluster.type, cluster.endpoints) == (
        "static",
        [m.Endpoint(host="127.0.0.1", port=9000)],
    )
    hcm = hcm_of(listener)
    assert hcm.use_remote_address
    assert hcm.normalize_path
    assert hcm.merge_slashes
    assert hcm.headers_with_underscores_action == "reject_request"
    assert hcm.server_name == "moebridge"
    assert [f.filter for f in hcm.http_filters] == ["router"]
    assert decode(encode(config)) == config


@pytest.mark.parametrize("upstream", ["a.b:1,127.0.0.1:2", ["a.b:1", "127.0.0.1:2"]])
def test_host_name_makes_the_cluster_resolve(upstream: str | list[str]) -> None:
    cluster = build_simple("[::1]:0", upstream).clusters[0]
    assert cluster.type == "strict_dns"
    assert [(e.host, e.port) for e in cluster.endpoints] == [("a.b", 1), ("127.0.0.1", 2)]


def test_options_reach_the_model() -> None:
    config = build_simple(
        "localhost:80",
        "127.0.0.1:1",
        [native_filter("body_scan", {"pattern": "x"})],
        timeout_s=0,
        idle_timeout_s=0.0001,
        max_connections=7,
        server_name="me",
        access_log="stdout",
    )
    listener = config.listeners[0]
    action = hcm_of(listener).route_config.virtual_hosts[0].routes[0].action
    assert isinstance(action, m.Forward)
    assert (action.timeout_ms, action.idle_timeout_ms) == (0, 1)
    assert (listener.max_connections, hcm_of(listener).server_name) == (7, "me")
    assert [f.filter for f in hcm_of(listener).http_filters] == ["body_scan", "router"]
    assert hcm_of(listener).access_logs[0].sink == "stdout"


@pytest.mark.parametrize(
    ("listen", "upstream", "options", "path"),
    [
        ("8080", "a:1", {}, "listen"),
        ("example.com:80", "a:1", {}, "listen"),
        (None, "a:1", {}, "listen"),
        ("127.0.0.1:0", "", {}, "upstream"),
        ("127.0.0.1:0", [], {}, "upstream"),
        ("127.0.0.1:0", "a:0", {}, "upstream"),
        ("127.0.0.1:0", "a:1,b", {}, "upstream[1]"),
        ("127.0.0.1:0", "-a:1", {}, "upstream"),
        ("127.0.0.1:0", "a:1", {"timeout_s": -1}, "timeout_s"),
        ("127.0.0.1:0", "a:1", {"timeout_s": float("nan")}, "timeout_s"),
        ("127.0.0.1:0", "a:1", {"timeout_s": True}, "timeout_s"),
        ("127.0.0.1:0", "a:1", {"connect_timeout_s": 0}, "connect_timeout_s"),
        ("127.0.0.1:0", "a:1", {"max_connections": 0}, "max_connections"),
        ("127.0.0.1:0", "a:1", {"server_name": "a\r\nb"}, "server_name"),
        ("127.0.0.1:0", "a:1", {"access_log": ""}, "access_log"),
        ("127.0.0.1:0", "a:1", {"use_remote_address": 1}, "use_remote_address"),
        ("127.0.0.1:0", "a:1", {"timeout": 1}, "timeout"),
    ],
)
def test_wrong_argument_is_named(listen: str, upstream: str, options: object, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_simple(listen, upstream, **options)  # type: ignore[arg-type]
    assert [fault.path for fault in caught.value.faults] == [path]
