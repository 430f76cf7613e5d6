"""What a cluster's protocol options and addresses mean in the model."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.config.conftest import Document

from moebridge.config import model as m
from moebridge.config.proto_json import NOT_YET

KEY = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
CLUSTER = "static_resources.clusters[0]"
ENDPOINT = f"{CLUSTER}.load_assignment.endpoints[0].lb_endpoints[0].endpoint"


def options(document: Document, **fields: Any) -> m.UpstreamHttp:
    typed = {"@type": f"type.googleapis.com/{KEY}", **fields}
    document.cluster["typed_extension_protocol_options"] = {KEY: typed}
    return document.load().clusters[0].http


def endpoint(document: Document) -> dict[str, Any]:
    locality = document.cluster["load_assignment"]["endpoints"][0]
    found: dict[str, Any] = locality["lb_endpoints"][0]["endpoint"]
    return found


def test_protocol_is_http1_unless_said(document: Document) -> None:
    http = document.load().clusters[0].http
    assert http.protocol == "http1"
    assert http.http2 == m.Http2Options(max_concurrent_streams=1024)
    http = options(document, explicit_http_config={"http_protocol_options": {}})
    assert http.protocol == "http1"


def test_http2_by_the_typed_options(document: Document) -> None:
    http = options(
        document,
        common_http_protocol_options={"max_requests_per_connection": 7},
        explicit_http_config={
            "http2_protocol_options": {
                "max_concurrent_streams": 5,
                "initial_stream_window_size": 65_535,
                "allow_connect": True,
            }
        },
    )
    assert (http.protocol, http.max_requests_per_connection) == ("http2", 7)
    assert http.http2 == m.Http2Options(
        max_concurrent_streams=5, initial_stream_window_bytes=65_535, allow_connect=True
    )


def test_http2_by_the_older_field(document: Document) -> None:
    document.cluster["http2_protocol_options"] = {"max_outbound_frames": 3}
    http = document.load().clusters[0].http
    assert (http.protocol, http.http2.max_outbound_frames) == ("http2", 3)


def test_older_field_beside_the_typed_options(document: Document) -> None:
    document.cluster["http2_protocol_options"] = {}
    with pytest.raises(Exception, match="cannot stand beside"):
        options(document, explicit_http_config={"http_protocol_options": {}})


def test_downstream_protocol(document: Document) -> None:
    http = options(
        document,
        use_downstream_protocol_config={
            "http_protocol_options": {"enable_trailers": True},
            "http2_protocol_options": {"hpack_table_size": 8192},
        },
    )
    assert (http.protocol, http.enable_trailers) == ("downstream", True)
    assert http.http2.header_table_bytes == 8192


def test_keepalive_with_its_jitter(document: Document) -> None:
    settings: dict[str, Any] = {"interval": "10s", "timeout": "2s"}
    http = options(
        document,
        explicit_http_config={"http2_protocol_options": {"connection_keepalive": settings}},
    )
    assert http.http2.keepalive == m.Keepalive(
        interval_ms=10_000, interval_jitter_ms=1_500, timeout_ms=2_000
    )
    settings.update(interval_jitter={"value": 0}, connection_idle_interval="0.5s")
    http = options(
        document,
        explicit_http_config={"http2_protocol_options": {"connection_keepalive": settings}},
    )
    assert http.http2.keepalive == m.Keepalive(
        interval_ms=10_000, interval_jitter_ms=0, timeout_ms=2_000, idle_interval_ms=500
    )


@pytest.mark.parametrize(
    "field",
    [
        "hpack_table_size",
        "max_consecutive_inbound_frames_with_empty_payload",
        "max_inbound_priority_frames_per_stream",
    ],
)
def test_zero_that_would_switch_off_is_refused(document: Document, field: str) -> None:
    document.cluster["http2_protocol_options"] = {field: 0}
    assert document.faults() == [(f"{CLUSTER}.http2_protocol_options.{field}", f"0 {NOT_YET}")]


@pytest.mark.parametrize("path", ["/run/app.sock", "@app", "relative"])
def test_endpoint_on_a_unix_socket(document: Document, path: str) -> None:
    endpoint(document)["address"] = {"pipe": {"path": path}}
    assert document.load().clusters[0].endpoints == [m.Endpoint(path=path)]


@pytest.mark.parametrize(
    ("pipe", "field", "message"),
    [
        ({"path": "x" * 108}, "path", "is longer than the 107 bytes"),
        ({"path": "a\0b"}, "path", "the path has a NUL in it"),
        ({"path": "@"}, "path", "needs a name behind the @"),
        ({"path": "@a", "mode": 0o600}, "mode", "no file and so no mode"),
        ({"path": "/a", "mode": 0o600}, "mode", "is for a listener"),
    ],
)
def test_bad_pipe(document: Document, pipe: dict[str, Any], field: str, message: str) -> None:
    endpoint(document)["address"] = {"pipe": pipe}
    faults = document.faults()
    assert faults[0][0] == f"{ENDPOINT}.address.pipe.{field}"
    assert message in faults[0][1]


def test_pipe_in_a_cluster_of_names(document: Document) -> None:
    document.cluster["type"] = "STRICT_DNS"
    endpoint(document)["address"] = {"pipe": {"path": "/a"}}
    assert "no paths" in document.faults()[0][1]


@pytest.mark.parametrize(("host", "ok"), [("fe80::1%lo", True), ("fe80::1%", False),
                                          ("::1%lo", False), ("[fe80::1]", False)])  # fmt: skip
def test_zone_of_an_ipv6_address(document: Document, host: str, ok: bool) -> None:
    endpoint(document)["address"]["socket_address"]["address"] = host
    if ok:
        assert document.load().clusters[0].endpoints[0].host == host
    else:
        assert document.faults()


_PROXY = (
    "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3"
    ".ProxyProtocolUpstreamTransport"
)
_RAW = {
    "name": "raw",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    },
}


def proxy_socket(inner: dict[str, Any], **config: Any) -> dict[str, Any]:
    typed = {"@type": _PROXY, "transport_socket": inner, "config": config}
    return {"name": "proxy", "typed_config": typed}


@pytest.mark.parametrize(("config", "want"), [({}, "v1"), ({"version": "V2"}, "v2")])
def test_proxy_header_of_a_cluster(document: Document, config: dict[str, Any], want: str) -> None:
    document.cluster["transport_socket"] = proxy_socket(_RAW, **config)
    cluster = document.load().clusters[0]
    assert (cluster.proxy_protocol, cluster.tls) == (want, None)


def test_proxy_header_in_front_of_tls(document: Document) -> None:
    tls = {
        "name": "tls",
        "typed_config": {
            "@type": "type.googleapis.com/"
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "up.test",
        },
    }
    document.cluster["transport_socket"] = proxy_socket(tls)
    cluster = document.load().clusters[0]
    assert cluster.proxy_protocol == "v1"
    assert cluster.tls is not None
    assert cluster.tls.sni == "up.test"


def test_proxy_header_goes_around_a_socket_of_an_upstream_once(document: Document) -> None:
    document.cluster["transport_socket"] = proxy_socket(proxy_socket(_RAW))
    document.listener["filter_chains"][0]["transport_socket"] = proxy_socket(_RAW)
    faults = document.faults()
    assert len(faults) == 2
    assert all("cannot stand here" in message for _, message in faults)


def test_auto_config_needs_alpn(document: Document) -> None:
    document.cluster["transport_socket"] = _RAW
    with pytest.raises(Exception, match="needs a transport socket with TLS"):
        options(document, auto_config={})
