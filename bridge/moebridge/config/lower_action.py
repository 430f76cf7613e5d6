"""Lowers what a route does: forward, redirect, answer directly."""

from __future__ import annotations

from typing import Literal

from moebridge.config.faults import Path, nearest, quoted
from moebridge.config.lower_filters import per_filter
from moebridge.config.lower_values import (
    Context,
    data_source,
    header_changes,
    header_name,
    regex_rewrite,
)
from moebridge.config.proto_json import Node
from moebridge.config.route_model import (
    ClusterTarget,
    DirectResponse,
    Forward,
    HostRewrite,
    Redirect,
    RouteAction,
    Upgrade,
)

__all__ = ["action", "upgrades"]

_NOT_FOUND = {"SERVICE_UNAVAILABLE": 503, "NOT_FOUND": 404, "INTERNAL_SERVER_ERROR": 500}
_REDIRECT = {
    "MOVED_PERMANENTLY": 301,
    "FOUND": 302,
    "SEE_OTHER": 303,
    "TEMPORARY_REDIRECT": 307,
    "PERMANENT_REDIRECT": 308,
}
_ROUTE_TIMEOUT_MS = 15_000


def action(ctx: Context, node: Node) -> RouteAction:
    """The action of a Route."""
    if "redirect" in node:
        return _redirect(ctx, node["redirect"])
    if "direct_response" in node:
        return _direct_response(ctx, node["direct_response"])
    return _forward(ctx, node.node("route"))


def _forward(ctx: Context, node: Node) -> Forward:
    rewrites = [name for name in ("prefix_rewrite", "regex_rewrite") if node.get(name)]
    if len(rewrites) > 1:
        ctx.fault(node.path, f"only one of {' and '.join(rewrites)} can be given")
    duration = node.node("max_stream_duration")
    new_timeouts = "max_stream_duration" in node
    scope, longest, offset = _grpc_timeout(node, duration)
    cluster_header = node.get("cluster_header", "")
    return Forward(
        targets=_targets(ctx, node),
        cluster_header=header_name(ctx, node.at("cluster_header"), cluster_header, pseudo=True),
        cluster_not_found_status=_NOT_FOUND[
            node.get("cluster_not_found_response_code", "SERVICE_UNAVAILABLE")
        ],
        prefix_rewrite=node.get("prefix_rewrite", ""),
        regex_rewrite=regex_rewrite(node["regex_rewrite"]) if "regex_rewrite" in node else None,
        host_rewrite=_host_rewrite(ctx, node),
        append_x_forwarded_host=node.get("append_x_forwarded_host", False),
        timeout_ms=0 if new_timeouts else node.get("timeout", _ROUTE_TIMEOUT_MS),
        idle_timeout_ms=node.get("idle_timeout", ctx.stream_idle_ms),
        max_stream_duration_ms=duration.get("max_stream_duration", ctx.max_stream_duration_ms),
        new_timeouts=new_timeouts,
        grpc_timeout_scope=scope,
        grpc_timeout_max_ms=longest,
        grpc_timeout_offset_ms=offset,
        upgrades=upgrades(ctx, node),
    )


_Scope = Literal["none", "stream", "exchange"]


def _grpc_timeout(node: Node, duration: Node) -> tuple[_Scope, int, int]:
    """What grpc-timeout bounds, and its bounds; the older fields count only by themselves."""
    if "max_stream_duration" in node:
        if "grpc_timeout_header_max" not in duration:
            return "none", 0, 0
        longest: int = duration["grpc_timeout_header_max"]
        return "stream", longest, duration.get("grpc_timeout_header_offset", 0)
    if "max_grpc_timeout" not in node:
        return "none", 0, 0
    return "exchange", node["max_grpc_timeout"], node.get("grpc_timeout_offset", 0)


def upgrades(ctx: Context, node: Node) -> list[Upgrade]:
    """The upgrade_configs of a connection manager or of a route's action."""
    found: dict[str, Upgrade] = {}
    for entry in node.nodes("upgrade_configs"):
        kind = entry.get("upgrade_type", "")
        ends_here = "connect_config" in entry
        if not kind:
            ctx.fault(entry.at("upgrade_type"), "is required")
        elif kind.lower() in found:
            ctx.fault(entry.at("upgrade_type"), f"there are two for {quoted(kind)}")
        elif ends_here and kind.upper() != "CONNECT":
            ctx.fault(entry.at("connect_config"), f"is of CONNECT, not of {quoted(kind)}")
        enabled = entry.get("enabled", True)
        found[kind.lower()] = Upgrade(type=kind, enabled=enabled, terminate=ends_here)
    return list(found.values())


def _targets(ctx: Context, node: Node) -> list[ClusterTarget]:
    if "cluster" in node:
        _check_cluster(ctx, node.at("cluster"), node["cluster"])
        return [ClusterTarget(name=node["cluster"])]
    if "weighted_clusters" not in node:
        return []
    weighted: Node = node["weighted_clusters"]
    entries = weighted.nodes("clusters")
    total = sum(entry.get("weight", 0) for entry in entries)
    if entries and total == 0 and all("weight" in entry for entry in entries):
        ctx.fault(weighted.at("clusters"), "the sum of the weights must be > 0")
    if total >= 2**32:
        ctx.fault(weighted.at("clusters"), f"the sum of the weights {total} is not below 2**32")
    if weighted.get("total_weight", total) != total:
        ctx.fault(weighted.at("total_weight"), f"the weights' sum is {total}")
    return [_weighted(ctx, entry) for entry in entries]


def _weighted(ctx: Context, node: Node) -> ClusterTarget:
    name = node.get("name", "")
    if name:
        _check_cluster(ctx, node.at("name"), name)
    elif not {"name", "cluster_header"} & node.bad:
        ctx.fault(node.at("name"), "is required")
    if "weight" not in node and "weight" not in node.bad:
        ctx.fault(node.at("weight"), "is required")
    return ClusterTarget(
        name=name,
        weight=node.get("weight", 0),
        headers=header_changes(ctx, node),
        per_filter=per_filter(ctx, node),
        host_rewrite_literal=node.get("host_rewrite_literal", ""),
    )


def _check_cluster(ctx: Context, path: Path, name: str) -> None:
    if ctx.validate_clusters and name not in ctx.clusters:
        ctx.fault(path, f"unknown cluster {quoted(name)}{nearest(name, ctx.clusters)}")


def _host_rewrite(ctx: Context, node: Node) -> HostRewrite | None:
    if node.get("host_rewrite_literal"):
        return HostRewrite(kind="literal", value=node["host_rewrite_literal"])
    if node.get("host_rewrite_header"):
        name = node["host_rewrite_header"]
        header = header_name(ctx, node.at("host_rewrite_header"), name, pseudo=True)
        return HostRewrite(kind="header", value=header)
    if node.get("auto_host_rewrite"):
        return HostRewrite(kind="auto")
    if "host_rewrite_path_regex" in node:
        return HostRewrite(kind="path_regex", regex=regex_rewrite(node["host_rewrite_path_regex"]))
    return None


def _redirect(ctx: Context, node: Node) -> Redirect:
    port = node.get("port_redirect", 0)
    if port > 65535:
        ctx.fault(node.at("port_redirect"), f"must be <= 65535, got {port}")
    scheme = "https" if node.get("https_redirect") else node.get("scheme_redirect", "")
    if scheme and not (scheme.isascii() and scheme.replace("+", "").isalnum()):
        ctx.fault(node.at("scheme_redirect"), f"{quoted(scheme)} is no scheme")
    return Redirect(
        status=_REDIRECT[node.get("response_code", "MOVED_PERMANENTLY")],
        scheme=scheme,
        host=node.get("host_redirect", ""),
        port=port,
        path=node.get("path_redirect", ""),
        prefix_rewrite=node.get("prefix_rewrite", ""),
        regex_rewrite=regex_rewrite(node["regex_rewrite"]) if "regex_rewrite" in node else None,
        strip_query=node.get("strip_query", False),
    )


def _direct_response(ctx: Context, node: Node) -> DirectResponse:
    body = data_source(ctx, node["body"]) if "body" in node else b""
    if len(body) > ctx.max_direct_response_bytes:
        ctx.fault(
            node.at("body"),
            f"{len(body)} bytes, more than max_direct_response_body_size_bytes"
            f" ({ctx.max_direct_response_bytes})",
        )
    return DirectResponse(status=node.get("status", 200), body=body)
