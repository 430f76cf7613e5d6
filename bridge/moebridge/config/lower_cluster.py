"""Lowers clusters and their endpoints."""

from __future__ import annotations

from typing import Literal, NamedTuple

from moebridge.config.cluster_model import (
    CircuitBreaker,
    Cluster,
    Endpoint,
    TcpKeepalive,
    UpstreamHttp,
    UpstreamProtocol,
)
from moebridge.config.faults import Path, quoted
from moebridge.config.lower_address import (
    LoweredAddress,
    address,
    is_host_name,
    is_ip,
    is_link_local,
)
from moebridge.config.lower_http2 import CLIENT_STREAMS, http2_options
from moebridge.config.lower_tls import PROXY_TRANSPORT, upstream_tls
from moebridge.config.lower_values import Context, lowered_enum, refuse_unless
from moebridge.config.proto_json import NOT_YET, Node
from moebridge.config.tls_model import UpstreamTls

__all__ = ["buffer_limit", "clusters"]

MIB = 1024 * 1024
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_OLDER_FIELDS = (
    "common_http_protocol_options",
    "http_protocol_options",
    "http2_protocol_options",
)
_DNS_REFRESH_MS = 5_000


def clusters(ctx: Context, nodes: list[Node]) -> list[Cluster]:
    """All clusters, with the check for duplicate names."""
    seen: set[str] = set()
    lowered = []
    for node in nodes:
        name = node.get("name", "")
        if name and name in seen:
            ctx.fault(node.at("name"), f"duplicate cluster name {quoted(name)}")
        seen.add(name)
        lowered.append(_cluster(ctx, node))
    return lowered


def _cluster(ctx: Context, node: Node) -> Cluster:
    is_dns = node.get("type", "STATIC") == "STRICT_DNS"
    refresh = node.get("dns_refresh_rate", _DNS_REFRESH_MS)
    failure = node.node("dns_failure_refresh_rate")
    base = failure.get("base_interval", refresh)
    longest = failure.get("max_interval", base * 10 if failure else base)
    if longest < base:
        ctx.fault(failure.at("max_interval"), "must not be less than base_interval")
    name = node.get("name", "")
    proxy, socket_owner = _proxy_protocol(node)
    tls = upstream_tls(ctx, socket_owner)
    return Cluster(
        name=name,
        type="strict_dns" if is_dns else "static",
        endpoints=_endpoints(ctx, node.node("load_assignment"), is_dns),
        connect_timeout_ms=node.get("connect_timeout", 5_000),
        per_connection_buffer_limit_bytes=buffer_limit(ctx, node),
        circuit_breaker=_circuit_breaker(ctx, node.node("circuit_breakers")),
        http=_upstream_http(ctx, node, tls),
        tcp_keepalive=_keepalive(node.node("upstream_connection_options")),
        tls=tls,
        proxy_protocol=proxy,
        stat_name=node.get("alt_stat_name", "") or name,
        dns_refresh_ms=refresh,
        dns_jitter_ms=node.get("dns_jitter", 0),
        dns_failure_refresh_base_ms=base,
        dns_failure_refresh_max_ms=longest,
        respect_dns_ttl=node.get("respect_dns_ttl", False),
        dns_lookup_family=lowered_enum(node, "dns_lookup_family", "AUTO"),
    )


def _proxy_protocol(node: Node) -> tuple[Literal["none", "v1", "v2"], Node]:
    """Which PROXY header is sent, and the message that has the transport socket behind it."""
    config = node.node("transport_socket").get("typed_config")
    if config is None or config.type != PROXY_TRANSPORT:
        return "none", node
    version = config.node("config").get("version", "V1")
    return ("v2" if version == "V2" else "v1"), config


def buffer_limit(ctx: Context, node: Node) -> int:
    """per_connection_buffer_limit_bytes of a listener or cluster."""
    name = "per_connection_buffer_limit_bytes"
    limit: int = node.get(name, MIB)
    if limit == 0:
        ctx.fault(node.at(name), f"0 (no limit) {NOT_YET}")
    return limit


def _endpoints(ctx: Context, node: Node, is_dns: bool) -> list[Endpoint]:
    endpoints: list[Endpoint] = []
    total = 0
    for locality in node.nodes("endpoints"):
        if locality.get("priority", 0) != 0:
            ctx.fault(locality.at("priority"), f"a priority other than 0 {NOT_YET}")
        for lb_endpoint in locality.nodes("lb_endpoints"):
            weight = lb_endpoint.get("load_balancing_weight", 1)
            total += weight
            endpoint = lb_endpoint.node("endpoint")
            if "endpoint" not in lb_endpoint:
                if "endpoint" not in lb_endpoint.bad and "endpoint_name" not in lb_endpoint.bad:
                    ctx.fault(lb_endpoint.at("endpoint"), "is required")
            elif "address" not in endpoint:
                if "address" not in endpoint.bad:
                    ctx.fault(endpoint.at("address"), "is required")
            else:
                lowered = _endpoint(ctx, endpoint, weight, is_dns)
                if lowered is not None:
                    endpoints.append(lowered)
    if total >= 2**32:
        ctx.fault(node.at("endpoints"), f"the sum of the weights {total} is not below 2**32")
    return endpoints


def _endpoint(ctx: Context, node: Node, weight: int, is_dns: bool) -> Endpoint | None:
    lowered = address(ctx, node["address"])
    hostname = node.get("hostname", "")
    if lowered.path:
        _check_pipe(ctx, node["address"].node("pipe"), lowered, is_dns)
        return Endpoint(path=lowered.path, weight=weight, hostname=hostname)
    socket = node["address"].node("socket_address")
    if "port_value" in socket and lowered.port == 0:
        ctx.fault(socket.at("port_value"), "must be in 1 .. 65535")
    if not lowered.host:
        return None
    _check_host(ctx, socket.at("address"), lowered.host, is_dns)
    return Endpoint(
        host=lowered.host,
        port=lowered.port,
        weight=weight,
        hostname=hostname or (lowered.host if is_dns else ""),
    )


def _check_pipe(ctx: Context, node: Node, lowered: LoweredAddress, is_dns: bool) -> None:
    if is_dns:
        ctx.fault(node.path, "a cluster of type STRICT_DNS has names of hosts, no paths")
    if lowered.mode:
        ctx.fault(node.at("mode"), "is for a listener; an endpoint's socket exists already")


def _check_host(ctx: Context, path: Path, host: str, is_dns: bool) -> None:
    if is_ip(host) or is_link_local(host):
        return
    if host.startswith("[") and is_ip(host[1:-1]):
        ctx.fault(path, f"{quoted(host)}: an IPv6 address stands here without brackets")
    elif not is_host_name(host):
        ctx.fault(path, f"{quoted(host)} is neither an address nor a host name")
    elif not is_dns:
        ctx.fault(path, f"{quoted(host)} is a host name: that needs type: STRICT_DNS")


def _circuit_breaker(ctx: Context, node: Node) -> CircuitBreaker:
    thresholds = node.nodes("thresholds")
    if len(thresholds) > 1:
        ctx.fault((node.at("thresholds"), 1), "there is one already for priority DEFAULT")
    first = thresholds[0] if thresholds else node
    return CircuitBreaker(
        max_connections=first.get("max_connections", 1024),
        max_pending_requests=first.get("max_pending_requests", 1024),
        max_requests=first.get("max_requests", 1024),
        max_retries=first.get("max_retries", 3),
    )


class _HttpNodes(NamedTuple):
    """Where the options of a cluster's HTTP stand: in the typed options, or in older fields."""

    protocol: UpstreamProtocol
    common: Node
    http1: Node
    http2: Node


def _http_nodes(ctx: Context, node: Node) -> _HttpNodes:
    older = _HttpNodes(
        "http2" if "http2_protocol_options" in node else "http1",
        node.node("common_http_protocol_options"),
        node.node("http_protocol_options"),
        node.node("http2_protocol_options"),
    )
    found = older
    for key, options in node.get("typed_extension_protocol_options", {}).items():
        if key != _HTTP_OPTIONS:
            ctx.fault(options.path, f"expected the key {_HTTP_OPTIONS}")
        for name in _OLDER_FIELDS:
            if name in node:
                ctx.fault(node.at(name), f"cannot stand beside {_HTTP_OPTIONS}")
        found = _typed_nodes(options)
    return found


def _typed_nodes(options: Node) -> _HttpNodes:
    protocol: UpstreamProtocol = "http1"
    choice = options.node("explicit_http_config")
    if "http2_protocol_options" in choice:
        protocol = "http2"
    elif "use_downstream_protocol_config" in options:
        protocol, choice = "downstream", options["use_downstream_protocol_config"]
    elif "auto_config" in options:
        protocol, choice = "auto", options["auto_config"]
    return _HttpNodes(
        protocol,
        options.node("common_http_protocol_options"),
        choice.node("http_protocol_options"),
        choice.node("http2_protocol_options"),
    )


def _upstream_http(ctx: Context, node: Node, tls: UpstreamTls | None) -> UpstreamHttp:
    protocol, common, http1, http2 = _http_nodes(ctx, node)
    if protocol == "auto" and tls is None:
        ctx.fault(node.path, "auto_config needs a transport socket with TLS, which has ALPN")
    refuse_unless(ctx, http1, "enable_trailers")
    refuse_unless(
        ctx,
        common,
        "idle_timeout",
        "max_connection_duration",
        "max_headers_count",
        "max_response_headers_kb",
        "max_requests_per_connection",
    )
    return UpstreamHttp(
        protocol=protocol,
        idle_timeout_ms=common.get("idle_timeout", 3_600_000),
        max_connection_duration_ms=common.get("max_connection_duration", 0),
        max_requests_per_connection=common.get(
            "max_requests_per_connection", node.get("max_requests_per_connection", 0)
        ),
        max_response_headers_bytes=common.get("max_response_headers_kb", 60) * 1024,
        max_headers_count=common.get("max_headers_count", 100),
        enable_trailers=http1.get("enable_trailers", False),
        http2=http2_options(ctx, http2, streams=CLIENT_STREAMS),
    )


def _keepalive(node: Node) -> TcpKeepalive | None:
    if "tcp_keepalive" not in node:
        return None
    keepalive = node["tcp_keepalive"]
    return TcpKeepalive(
        probes=keepalive.get("keepalive_probes", 0),
        time_s=keepalive.get("keepalive_time", 0),
        interval_s=keepalive.get("keepalive_interval", 0),
    )
