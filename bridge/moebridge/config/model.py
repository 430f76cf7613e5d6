"""The lowered, typed configuration: the one document that the C core reads.

`encode(config)` gives it as msgpack: maps with field names as keys, enums as small strings,
durations as integer milliseconds (`_ms`), sizes as bytes (`_bytes`). Every field is always
written, every default is filled in, and nothing of Envoy's file remains to be interpreted: what a
field means is said beside it, with its unit, its default and Envoy's name where that differs.

Unions (`Segment`, `RouteAction`) carry their kind in the key `kind`. All other absences are nil
(only where a field's type says None), "" or 0 as said beside the field.

Source: Envoy's v3 API; safe bounds from docs/defaults.md.
"""

from __future__ import annotations

import msgspec

from moebridge.config.cluster_model import (
    CircuitBreaker,
    Cluster,
    Endpoint,
    TcpKeepalive,
    UpstreamHttp,
)
from moebridge.config.hcm_model import AccessLog, Hcm, Http1Options, HttpFilter, Timeouts
from moebridge.config.http2_model import Http2Options, Keepalive
from moebridge.config.listener_model import FilterChain, ListenAddress, Listener, SocketOption
from moebridge.config.route_model import (
    ClusterTarget,
    DirectResponse,
    Forward,
    HeaderMatch,
    HostRewrite,
    PathMatch,
    PerFilter,
    QueryParameterMatch,
    Redirect,
    Route,
    RouteAction,
    RouteConfig,
    RouteMatch,
    Upgrade,
    VirtualHost,
)
from moebridge.config.tcp_model import TcpCluster, TcpProxy
from moebridge.config.value_model import (
    AppendAction,
    CidrRange,
    FilterOptions,
    HeaderAdd,
    HeaderChanges,
    LiteralSegment,
    OperatorSegment,
    RegexRewrite,
    Segment,
    StringMatch,
    Value,
)

__all__ = [
    "MODEL_VERSION",
    "AccessLog",
    "AppendAction",
    "CidrRange",
    "CircuitBreaker",
    "Cluster",
    "ClusterTarget",
    "Config",
    "DirectResponse",
    "Endpoint",
    "FilterChain",
    "FilterOptions",
    "Forward",
    "Hcm",
    "HeaderAdd",
    "HeaderChanges",
    "HeaderMatch",
    "HostRewrite",
    "Http1Options",
    "Http2Options",
    "HttpFilter",
    "Keepalive",
    "ListenAddress",
    "Listener",
    "LiteralSegment",
    "OperatorSegment",
    "PathMatch",
    "PerFilter",
    "QueryParameterMatch",
    "Redirect",
    "RegexRewrite",
    "Route",
    "RouteAction",
    "RouteConfig",
    "RouteMatch",
    "Segment",
    "SocketOption",
    "StringMatch",
    "TcpCluster",
    "TcpKeepalive",
    "TcpProxy",
    "Timeouts",
    "Upgrade",
    "UpstreamHttp",
    "VirtualHost",
    "decode",
    "encode",
]

#: Grows with every change that an older core could misread; the core refuses any other number.
MODEL_VERSION = 1


class Config(Value, frozen=True, kw_only=True):
    """The whole document."""

    version: int = MODEL_VERSION
    # Envoy's node.id and node.cluster; "" = not given. Only for access logs and statistics.
    node_id: str = ""
    node_cluster: str = ""
    listeners: list[Listener] = []
    clusters: list[Cluster] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Config)


def encode(config: Config) -> bytes:
    """The document for the core.

    Returns:
        msgpack bytes.
    """
    return _encoder.encode(config)


def decode(data: bytes) -> Config:
    """The inverse of `encode`, for tests and tools.

    Raises:
        msgspec.ValidationError: not such a document.
    """
    return _decoder.decode(data)
