"""Lowers listener filters and what filter chains ask for."""

from __future__ import annotations

from moebridge.config.faults import Path, quoted
from moebridge.config.listener_filter_model import (
    ChainMatch,
    HttpInspector,
    ListenerFilter,
    OriginalDst,
    OriginalSrc,
    ProxyProtocol,
    ProxyRule,
    TlsInspector,
)
from moebridge.config.lower_address import cidr_ranges
from moebridge.config.lower_values import Context, lowered_enum
from moebridge.config.proto_json import Node

__all__ = ["chain_match", "listener_filters"]

_FILTERS = "envoy.extensions.filters.listener."
#: Where a TLV goes whose rule names no namespace.
_PROXY_NAMESPACE = "envoy.filters.listener.proxy_protocol"


def listener_filters(ctx: Context, listener: Node) -> list[ListenerFilter]:
    """The listener filters in order; original_dst first where the listener wants it itself.

    Args:
        ctx: where faults go.
        listener: a Listener.
    """
    found: list[ListenerFilter] = []
    for node in listener.nodes("listener_filters"):
        config = node.get("typed_config")
        if config is not None:
            found.append(_listener_filter(ctx, config))
        elif "typed_config" not in node.bad:
            ctx.fault(node.at("typed_config"), "is required")
    if listener.get("use_original_dst", False) and OriginalDst() not in found:
        found.insert(0, OriginalDst())
    return found


def _listener_filter(ctx: Context, node: Node) -> ListenerFilter:
    match node.type.removeprefix(_FILTERS):
        case "tls_inspector.v3.TlsInspector":
            return TlsInspector(
                max_client_hello_bytes=node.get("max_client_hello_size", 16 * 1024),
                close_connection_on_client_hello_parsing_errors=node.get(
                    "close_connection_on_client_hello_parsing_errors", False
                ),
            )
        case "http_inspector.v3.HttpInspector":
            return HttpInspector()
        case "original_dst.v3.OriginalDst":
            return OriginalDst()
        case "original_src.v3.OriginalSrc":
            return OriginalSrc(bind_port=node.get("bind_port", False), mark=node.get("mark", 0))
        case _:
            return _proxy_protocol(ctx, node)


def _proxy_protocol(ctx: Context, node: Node) -> ProxyProtocol:
    disallowed = node.get("disallowed_versions", [])
    tlvs = node.node("pass_through_tlvs")
    everything = (
        "pass_through_tlvs" in node and tlvs.get("match_type", "INCLUDE_ALL") == "INCLUDE_ALL"
    )
    return ProxyProtocol(
        allow_requests_without_proxy_protocol=node.get(
            "allow_requests_without_proxy_protocol", False
        ),
        disallow_v1="V1" in disallowed,
        disallow_v2="V2" in disallowed,
        rules=[_rule(ctx, rule) for rule in node.nodes("rules")],
        pass_through_all=everything,
        pass_through_types=[] if everything else tlvs.get("tlv_type", []),
        stat_prefix=node.get("stat_prefix", ""),
    )


def _rule(ctx: Context, node: Node) -> ProxyRule:
    if "on_tlv_present" not in node and "on_tlv_present" not in node.bad:
        ctx.fault(node.at("on_tlv_present"), "is required")
    pair = node.node("on_tlv_present")
    return ProxyRule(
        tlv_type=node.get("tlv_type", 0),
        metadata_namespace=pair.get("metadata_namespace", "") or _PROXY_NAMESPACE,
        key=pair.get("key", ""),
    )


def chain_match(ctx: Context, node: Node) -> ChainMatch:
    """What a filter chain asks for.

    Args:
        ctx: where faults go.
        node: a FilterChainMatch, perhaps empty.
    """
    names: list[str] = node.get("server_names", [])
    for i, name in enumerate(names):
        _check_server_name(ctx, (node.at("server_names"), i), name)
    return ChainMatch(
        destination_port=node.get("destination_port", 0),
        prefix_ranges=cidr_ranges(ctx, node.nodes("prefix_ranges")),
        server_names=[name.lower() for name in names],
        transport_protocol=node.get("transport_protocol", ""),
        application_protocols=node.get("application_protocols", []),
        direct_source_prefix_ranges=cidr_ranges(ctx, node.nodes("direct_source_prefix_ranges")),
        source_type=lowered_enum(node, "source_type", "ANY"),
        source_prefix_ranges=cidr_ranges(ctx, node.nodes("source_prefix_ranges")),
        source_ports=node.get("source_ports", []),
    )


def _check_server_name(ctx: Context, at: Path, name: str) -> None:
    if not name:
        ctx.fault(at, "must not be empty")
    elif "*" in name.removeprefix("*.") or name == "*.":
        ctx.fault(at, f"{quoted(name)}: a * can only stand for all that is before a dot, as *.a.b")
