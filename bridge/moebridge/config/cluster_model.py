"""The upstream part of the model: clusters and their endpoints."""

from __future__ import annotations

from typing import Literal

from moebridge.config.http2_model import Http2Options
from moebridge.config.tls_model import UpstreamTls
from moebridge.config.value_model import Value

__all__ = [
    "CircuitBreaker",
    "Cluster",
    "Endpoint",
    "TcpKeepalive",
    "UpstreamHttp",
    "UpstreamProtocol",
]

UpstreamProtocol = Literal[
    "http1",
    "http2",
    "auto",  # what TLS agrees on (ALPN): h2, else http/1.1
    "downstream",  # the protocol of the request's own connection
]


class Endpoint(Value, frozen=True, kw_only=True):
    """Envoy's LbEndpoint with its Endpoint, of priority 0."""

    # static: an IPv4 or IPv6 address without brackets. strict_dns: also a host name to resolve. ""
    # with a path.
    host: str = ""
    # 1 .. 65535; 0 with a path.
    port: int = 0
    # Unix socket; "@name" stands in the abstract namespace. "" = host and port.
    path: str = ""
    # Envoy's load_balancing_weight, >= 1. strict_dns: each resolved address gets it.
    weight: int = 1
    # Envoy's Endpoint.hostname, for auto host rewrite; strict_dns: `host` when not given. "" =
    # none.
    hostname: str = ""


class CircuitBreaker(Value, frozen=True, kw_only=True):
    """Envoy's CircuitBreakers.Thresholds of priority DEFAULT; 0 admits nothing."""

    # Connections of the whole cluster (per process). Default 1024.
    max_connections: int = 1024
    # Requests that wait for a connection. Default 1024; over it 503 with UO.
    max_pending_requests: int = 1024
    # Requests under way. Default 1024; over it 503 with UO.
    max_requests: int = 1024
    # Retries under way. Default 3.
    max_retries: int = 3


class TcpKeepalive(Value, frozen=True, kw_only=True):
    """Envoy's TcpKeepalive (SO_KEEPALIVE); 0 = the system's value."""

    # Unanswered probes before the connection is dead (TCP_KEEPCNT).
    probes: int = 0
    # Idle seconds before the first probe (TCP_KEEPIDLE).
    time_s: int = 0
    # Seconds between probes (TCP_KEEPINTVL).
    interval_s: int = 0


class UpstreamHttp(Value, frozen=True, kw_only=True):
    """Envoy's extensions.upstreams.http.v3.HttpProtocolOptions."""

    # explicit_http_config, auto_config or use_downstream_protocol_config. Default http1.
    protocol: UpstreamProtocol = "http1"
    # Pooled connection without a request. ms, 0 = off. Default 1 h (common idle_timeout).
    idle_timeout_ms: int = 3_600_000
    # Age after which a connection takes no new request. ms, 0 = off (default).
    max_connection_duration_ms: int = 0
    # Requests per connection, 0 = no bound (default).
    max_requests_per_connection: int = 0
    # Whole response head. Default 60 KiB (max_response_headers_kb).
    max_response_headers_bytes: int = 60 * 1024
    # Response headers. Default 100 (max_headers_count).
    max_headers_count: int = 100
    # Envoy's http_protocol_options.enable_trailers: pass response trailers on. Default false.
    enable_trailers: bool = False
    # Of connections that speak HTTP/2.
    http2: Http2Options = Http2Options(max_concurrent_streams=1024)


class Cluster(Value, frozen=True, kw_only=True):
    """Envoy's config.cluster.v3.Cluster."""

    # Unique.
    name: str
    type: Literal["static", "strict_dns"] = "static"
    lb_policy: Literal["round_robin"] = "round_robin"
    # May be empty: every request is answered 503 with UH.
    endpoints: list[Endpoint] = []
    # TCP connect. ms, > 0. Default 5 s.
    connect_timeout_ms: int = 5_000
    # Watermark of read and write buffers of an upstream connection. Default 1 MiB, edge profile 32
    # KiB.
    per_connection_buffer_limit_bytes: int = 1024 * 1024
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    http: UpstreamHttp = UpstreamHttp()
    # None = no SO_KEEPALIVE (default). Envoy's upstream_connection_options.tcp_keepalive.
    tcp_keepalive: TcpKeepalive | None = None
    # None = clear text (default). Envoy's transport_socket with an UpstreamTlsContext.
    tls: UpstreamTls | None = None
    # Version of the PROXY header before each connection, TLS included. Default none. Envoy's
    # ProxyProtocolUpstreamTransport.
    proxy_protocol: Literal["none", "v1", "v2"] = "none"
    # Name in statistics, Envoy's alt_stat_name; already `name` when not given.
    stat_name: str = ""
    # strict_dns only. Pause between resolutions. ms, default 5 s.
    dns_refresh_ms: int = 5_000
    # Random extra pause, 0 .. this. ms, default 0.
    dns_jitter_ms: int = 0
    # Pause after a failed resolution: exponential back-off with jitter from this ...
    # ms; default dns_refresh_ms.
    dns_failure_refresh_base_ms: int = 5_000
    # ... to this. ms; default dns_refresh_ms, or ten times the base when only that is given.
    dns_failure_refresh_max_ms: int = 5_000
    # Use the records' TTL as the pause. Default false.
    respect_dns_ttl: bool = False
    # auto (default): IPv6, and IPv4 when there is none. all: both.
    dns_lookup_family: Literal["auto", "v4_only", "v6_only", "v4_preferred", "all"] = "auto"
