"""Lowers an HTTP connection manager."""

from __future__ import annotations

from typing import Any, Literal

from moebridge.config.faults import quoted
from moebridge.config.hcm_model import ClientCertDetails
from moebridge.config.lower_action import upgrades
from moebridge.config.lower_address import cidr_ranges
from moebridge.config.lower_filters import http_filters
from moebridge.config.lower_http2 import SERVER_STREAMS, http2_options
from moebridge.config.lower_log import access_logs
from moebridge.config.lower_route import route_config
from moebridge.config.lower_values import Context, lowered_enum, refuse_unless
from moebridge.config.model import Hcm, Http1Options, RouteConfig, Timeouts
from moebridge.config.proto_json import NOT_YET, Node

__all__ = ["REQUEST_HEADERS_TIMEOUT_MS", "REQUEST_TIMEOUT_MS", "hcm"]

#: Bounds that Envoy leaves off.
REQUEST_TIMEOUT_MS = 300_000
REQUEST_HEADERS_TIMEOUT_MS = 10_000

_ESCAPED_SLASHES: dict[str, Any] = {"IMPLEMENTATION_SPECIFIC_DEFAULT": "keep_unchanged"}


def hcm(ctx: Context, node: Node) -> Hcm:
    """An HttpConnectionManager; the context's fields for its routes are set on the way."""
    common = node.node("common_http_protocol_options")
    refuse_unless(
        ctx,
        common,
        "idle_timeout",
        "max_connection_duration",
        "max_headers_count",
        "max_stream_duration",
        "headers_with_underscores_action",
        "max_requests_per_connection",
    )
    timeouts = _timeouts(node, common)
    ctx.stream_idle_ms = timeouts.stream_idle_ms
    ctx.max_stream_duration_ms = timeouts.max_stream_duration_ms
    chain, router = http_filters(ctx, node)
    routes = RouteConfig()
    if "route_config" in node:
        routes = route_config(ctx, node["route_config"])
    head_bytes = node.get("max_request_headers_kb", 60) * 1024
    slashes = node.get("path_with_escaped_slashes_action", "IMPLEMENTATION_SPECIFIC_DEFAULT")
    return Hcm(
        stat_prefix=node.get("stat_prefix", ""),
        codec_type=lowered_enum(node, "codec_type", "AUTO"),
        route_config=routes,
        http_filters=chain,
        access_logs=access_logs(ctx, node.nodes("access_log")),
        timeouts=timeouts,
        http1=_http1(ctx, node.node("http_protocol_options")),
        http2=http2_options(ctx, node.node("http2_protocol_options"), streams=SERVER_STREAMS),
        upgrades=upgrades(ctx, node),
        server_name=node.get("server_name", "") or "envoy",
        forward_client_cert=lowered_enum(node, "forward_client_cert_details", "SANITIZE"),
        client_cert_details=_client_cert_details(node.node("set_current_client_cert_details")),
        server_header_transformation=lowered_enum(
            node, "server_header_transformation", "OVERWRITE"
        ),
        max_requests_per_connection=common.get("max_requests_per_connection", 0),
        max_request_headers_bytes=head_bytes,
        max_headers_count=common.get("max_headers_count", 100),
        max_uri_bytes=head_bytes,
        headers_with_underscores_action=lowered_enum(
            common, "headers_with_underscores_action", "ALLOW"
        ),
        use_remote_address=node.get("use_remote_address", False),
        xff_num_trusted_hops=node.get("xff_num_trusted_hops", 0),
        skip_xff_append=node.get("skip_xff_append", False),
        internal_cidr_ranges=cidr_ranges(
            ctx, node.node("internal_address_config").nodes("cidr_ranges")
        ),
        generate_request_id=node.get("generate_request_id", True),
        preserve_external_request_id=node.get("preserve_external_request_id", False),
        always_set_request_id_in_response=node.get("always_set_request_id_in_response", False),
        via=node.get("via", ""),
        normalize_path=node.get("normalize_path", False),
        merge_slashes=node.get("merge_slashes", False),
        path_with_escaped_slashes_action=_ESCAPED_SLASHES.get(slashes, slashes.lower()),
        strip_host_port=_strip_host_port(ctx, node),
        strip_trailing_host_dot=node.get("strip_trailing_host_dot", False),
        append_x_forwarded_port=node.get("append_x_forwarded_port", False),
        proxy_100_continue=node.get("proxy_100_continue", False),
        suppress_envoy_headers=router.get("suppress_envoy_headers", False),
    )


def _client_cert_details(node: Node) -> ClientCertDetails:
    return ClientCertDetails(
        subject=node.get("subject", False),
        cert=node.get("cert", False),
        chain=node.get("chain", False),
        dns=node.get("dns", False),
        uri=node.get("uri", False),
    )


def _timeouts(node: Node, common: Node) -> Timeouts:
    return Timeouts(
        request_ms=node.get("request_timeout", REQUEST_TIMEOUT_MS),
        grpc_request_ms=node.get("request_timeout", 0),
        request_headers_ms=node.get("request_headers_timeout", REQUEST_HEADERS_TIMEOUT_MS),
        stream_idle_ms=node.get("stream_idle_timeout", 300_000),
        idle_ms=common.get("idle_timeout", 3_600_000),
        max_connection_duration_ms=common.get("max_connection_duration", 0),
        max_stream_duration_ms=common.get("max_stream_duration", 0),
        drain_ms=node.get("drain_timeout", 5_000),
        delayed_close_ms=node.get("delayed_close_timeout", 1_000),
    )


def _http1(ctx: Context, node: Node) -> Http1Options:
    host = node.get("default_host_for_http_10", "")
    if any(c <= " " or c in "/?#@\x7f" for c in host):
        ctx.fault(node.at("default_host_for_http_10"), f"{quoted(host)} is no host")
    if not node.get("allow_absolute_url", True):
        ctx.fault(node.at("allow_absolute_url"), f"false {NOT_YET}")
    return Http1Options(
        accept_http_10=node.get("accept_http_10", False),
        default_host_for_http_10=host,
        enable_trailers=node.get("enable_trailers", False),
    )


def _strip_host_port(ctx: Context, node: Node) -> Literal["none", "matching", "any"]:
    matching, any_port = node.get("strip_matching_host_port"), node.get("strip_any_host_port")
    if matching and any_port:
        ctx.fault(
            node.path, "only one of strip_matching_host_port and strip_any_host_port can be given"
        )
    return "any" if any_port else "matching" if matching else "none"
