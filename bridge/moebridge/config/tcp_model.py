"""The model of a TCP proxy. Source: Envoy's extensions.filters.network.tcp_proxy.v3.TcpProxy."""

from __future__ import annotations

from moebridge.config.hcm_model import AccessLog
from moebridge.config.value_model import Value

__all__ = ["TcpCluster", "TcpProxy"]


class TcpCluster(Value, frozen=True, kw_only=True):
    """One of the clusters that connections are spread over."""

    name: str
    # At least 1; a share of the sum of all.
    weight: int = 1


class TcpProxy(Value, frozen=True, kw_only=True):
    """Envoy's TcpProxy. Times are in milliseconds, 0 = off."""

    # Statistics: tcp.<stat_prefix>.
    stat_prefix: str
    # At least one.
    clusters: list[TcpCluster]
    # No byte in either direction. Envoy's default, 1 h.
    idle_timeout_ms: int = 3_600_000
    # Life of the downstream connection. Default off.
    max_downstream_connection_duration_ms: int = 0
    # Hosts that are tried, one after the other. Default 1.
    max_connect_attempts: int = 1
    # A line for each connection that has ended.
    access_logs: list[AccessLog] = []
