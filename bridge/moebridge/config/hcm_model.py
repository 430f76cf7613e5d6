"""The model of an HTTP connection manager: its filter chain, access logs, limits and timeouts.

Source: Envoy's v3 HttpConnectionManager; safe bounds from docs/defaults.md.
"""

from __future__ import annotations

from typing import Any, Literal

from moebridge.config.http2_model import Http2Options
from moebridge.config.route_model import RouteConfig, Upgrade
from moebridge.config.value_model import CidrRange, FilterOptions, Segment, Value

__all__ = ["AccessLog", "ClientCertDetails", "Hcm", "Http1Options", "HttpFilter", "Timeouts"]


class HttpFilter(Value, frozen=True, kw_only=True):
    """One place in the filter chain."""

    # The key of per_filter. Envoy lets several filters of a chain share a name: an override is then
    # for all of them.
    name: str
    # "native": built in the core. "python": the bridge. Else the file name of a shared library,
    # "lib<name>.so" (Envoy's dynamic_module_config.name).
    module: str
    # native: "router", "header_mutation", "basic_auth", "body_scan", ... python: "module:Class",
    # "file.py:Class" or an entry-point name. Library: its name for the filter.
    filter: str
    # What the filter is configured with; None = nothing was given. native router: RouterOptions are
    # in Hcm. native header_mutation: config/filter_model.HeaderMutation. native basic_auth:
    # config/filter_model.BasicAuth. All others: the Struct's value (map), StringValue (str) or
    # BytesValue (bytes) as it stands, without "@moebridge".
    config: Any = None
    # Envoy's HttpFilter.disabled: off unless a route's PerFilter switches it on. Default false.
    disabled: bool = False
    options: FilterOptions = FilterOptions()


class AccessLog(Value, frozen=True, kw_only=True):
    """One access log: a line for each finished stream."""

    sink: Literal["stdout", "stderr", "file"]
    # For "file": opened for appending, made when missing. "" for the others.
    path: str = ""
    # The whole line, newline included. JSON formats are already unrolled into segments.
    format: list[Segment]


class Timeouts(Value, frozen=True, kw_only=True):
    """All in ms, 0 = off."""

    # Whole request received. Envoy's request_timeout: off; ours 300 s.
    request_ms: int = 300_000
    # The same for requests of gRPC, which may stream for hours: only what the file says.
    grpc_request_ms: int = 0
    # Request head, from its first byte. Envoy's request_headers_timeout: off; ours 10 s.
    request_headers_ms: int = 10_000
    # Stream without any bytes. Envoy's stream_idle_timeout, default 5 min.
    stream_idle_ms: int = 300_000
    # Connection without a stream. Envoy's common_http_protocol_options.idle_timeout, default 1 h.
    idle_ms: int = 3_600_000
    # Age at which a connection is drained. Envoy's max_connection_duration, default off.
    max_connection_duration_ms: int = 0
    # Age at which a stream is ended. Envoy's max_stream_duration, default off.
    max_stream_duration_ms: int = 0
    # From "connection: close" announced to close. Envoy's drain_timeout, default 5 s.
    drain_ms: int = 5_000
    # Lingering close. Envoy's delayed_close_timeout, default 1 s.
    delayed_close_ms: int = 1_000


class Http1Options(Value, frozen=True, kw_only=True):
    """Envoy's HCM http_protocol_options."""

    # HTTP/1.0 requests are served; else answered 426. Default false.
    accept_http_10: bool = False
    # Authority of a 1.0 request without Host; "" = such a request is answered 400.
    default_host_for_http_10: str = ""
    # Request trailers are passed on; else dropped. Default false.
    enable_trailers: bool = False


class ClientCertDetails(Value, frozen=True, kw_only=True):
    """Envoy's SetCurrentClientCertDetails: what is said beside the hash; default nothing."""

    subject: bool = False
    cert: bool = False
    chain: bool = False
    dns: bool = False
    uri: bool = False


class Hcm(Value, frozen=True, kw_only=True):
    """Envoy's HttpConnectionManager."""

    # Prefix of statistics: http.<stat_prefix>. Never empty.
    stat_prefix: str
    # auto: by ALPN, else by the first bytes (default).
    codec_type: Literal["auto", "http1", "http2"] = "auto"
    route_config: RouteConfig
    # Never empty, the last one is the native router and no other is.
    http_filters: list[HttpFilter]
    access_logs: list[AccessLog] = []
    timeouts: Timeouts = Timeouts()
    http1: Http1Options = Http1Options()
    http2: Http2Options = Http2Options(max_concurrent_streams=100)
    # Upgrades and CONNECT, where a route says nothing. Envoy's upgrade_configs. Default: none.
    upgrades: list[Upgrade] = []
    # Value of the response header `server`. Default "envoy" for a file, "moebridge" for objects.
    server_name: str = "envoy"
    # x-forwarded-client-cert. Envoy's forward_client_cert_details: sanitize (default) takes it off.
    forward_client_cert: Literal[
        "sanitize", "forward_only", "append_forward", "sanitize_set", "always_forward_only"
    ] = "sanitize"
    client_cert_details: ClientCertDetails = ClientCertDetails()
    # overwrite (default) | append_if_absent: only when the upstream gave none | pass_through:
    # never.
    server_header_transformation: Literal["overwrite", "append_if_absent", "pass_through"] = (
        "overwrite"
    )
    # Requests per connection, 0 = no bound (default); the last one is answered "connection: close".
    max_requests_per_connection: int = 0
    # Whole request head; over it 431. Default 60 KiB (max_request_headers_kb).
    max_request_headers_bytes: int = 60 * 1024
    # Over it 431. Default 100.
    max_headers_count: int = 100
    # Request target; over it 414. Ours; default the same as max_request_headers_bytes.
    max_uri_bytes: int = 60 * 1024
    # allow (default) | reject_request: 400 | drop_header.
    headers_with_underscores_action: Literal["allow", "reject_request", "drop_header"] = "allow"
    # True: the peer is the client, x-forwarded-for is appended. Default false, edge profile true.
    use_remote_address: bool = False
    # Trusted proxies in front. Default 0.
    xff_num_trusted_hops: int = 0
    # Default false.
    skip_xff_append: bool = False
    # Peers whose x-envoy-* request headers are kept (Envoy's internal_address_config.cidr_ranges).
    internal_cidr_ranges: list[CidrRange] = []
    # Make x-request-id where there is none. Default true.
    generate_request_id: bool = True
    # Keep the one an edge client sent. Default false.
    preserve_external_request_id: bool = False
    # Default false.
    always_set_request_id_in_response: bool = False
    # Appended to `via` of requests and responses; "" = none (default).
    via: str = ""
    # RFC 3986 dot segments and case of escapes. Default false, edge profile true.
    normalize_path: bool = False
    # `//` to `/`. Default false, edge profile true.
    merge_slashes: bool = False
    # What to do with %2F, %5C: keep_unchanged (default) | reject_request: 400 |
    # unescape_and_redirect: 307 (edge profile) | unescape_and_forward.
    path_with_escaped_slashes_action: Literal[
        "keep_unchanged", "reject_request", "unescape_and_redirect", "unescape_and_forward"
    ] = "keep_unchanged"
    # Of the authority: none (default) | matching: the listener's own port | any.
    strip_host_port: Literal["none", "matching", "any"] = "none"
    # Drop the authority's trailing dot. Default false.
    strip_trailing_host_dot: bool = False
    # Set x-forwarded-port to the listener's port where absent. Default false.
    append_x_forwarded_port: bool = False
    # True: `expect: 100-continue` goes to the upstream. Default false: the core answers it.
    proxy_100_continue: bool = False
    # Envoy's Router.suppress_envoy_headers: add no x-envoy-* upstream and downstream. Default
    # false.
    suppress_envoy_headers: bool = False
