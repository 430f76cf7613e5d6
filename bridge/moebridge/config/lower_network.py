"""Lowers the network filters of a filter chain, up to its terminal."""

from __future__ import annotations

from moebridge.config.faults import quoted
from moebridge.config.lower_filters import module_filter
from moebridge.config.lower_log import access_logs
from moebridge.config.lower_values import Context
from moebridge.config.model import HttpFilter, TcpCluster, TcpProxy
from moebridge.config.proto_json import Node

__all__ = ["IDLE_TIMEOUT_MS", "network_filter", "tcp_proxy"]

#: A TCP connection without a byte; Envoy's default.
IDLE_TIMEOUT_MS = 3_600_000


def network_filter(ctx: Context, name: str, config: Node) -> HttpFilter:
    """A DynamicModuleNetworkFilter."""
    return module_filter(ctx, name, config, built_in=())


def tcp_proxy(ctx: Context, node: Node) -> TcpProxy:
    """A TcpProxy."""
    return TcpProxy(
        stat_prefix=node.get("stat_prefix", ""),
        clusters=_clusters(ctx, node),
        idle_timeout_ms=node.get("idle_timeout", IDLE_TIMEOUT_MS),
        max_downstream_connection_duration_ms=node.get("max_downstream_connection_duration", 0),
        max_connect_attempts=node.get("max_connect_attempts", 1),
        access_logs=access_logs(ctx, node.nodes("access_log")),
    )


def _clusters(ctx: Context, node: Node) -> list[TcpCluster]:
    if "weighted_clusters" not in node:
        name = node.get("cluster", "")
        if not name and not {"cluster", "weighted_clusters"} & node.bad:
            ctx.fault(node.at("cluster"), "one of cluster and weighted_clusters is required")
        return [_cluster(ctx, node, "cluster", name, 1)]
    weighted = node["weighted_clusters"]
    return [
        _cluster(ctx, item, "name", item.get("name", ""), item.get("weight", 1))
        for item in weighted.nodes("clusters")
    ]


def _cluster(ctx: Context, node: Node, field: str, name: str, weight: int) -> TcpCluster:
    if name and name not in ctx.clusters:
        ctx.fault(node.at(field), f"no cluster {quoted(name)}")
    return TcpCluster(name=name, weight=weight)
