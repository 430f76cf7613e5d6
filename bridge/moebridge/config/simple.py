"""The object form: one listener, one upstream, a chain of filters, with Envoy's edge profile.

`mb.Proxy(listen=..., upstream=...)` and `moebridge run --listen` make their model here. The bounds
of the edge profile are those of Envoy's best practices for an edge proxy (docs/defaults.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypedDict, Unpack

from moebridge.config.access_log_format import DEFAULT_FORMAT, parse_format
from moebridge.config.cluster_model import Cluster, Endpoint
from moebridge.config.faults import ROOT, Faults, describe, nearest, quoted
from moebridge.config.http2_model import Http2Options
from moebridge.config.lower_address import is_host_name, is_ip
from moebridge.config.lower_hcm import REQUEST_HEADERS_TIMEOUT_MS, REQUEST_TIMEOUT_MS
from moebridge.config.lower_http2 import SERVER_STREAMS
from moebridge.config.lower_listener import MAX_CONNECTIONS
from moebridge.config.model import (
    AccessLog,
    Config,
    FilterChain,
    Hcm,
    HttpFilter,
    ListenAddress,
    Listener,
    TcpCluster,
    TcpProxy,
    Timeouts,
)
from moebridge.config.route_model import (
    ClusterTarget,
    Forward,
    PathMatch,
    Route,
    RouteConfig,
    RouteMatch,
    Upgrade,
    VirtualHost,
)
from moebridge.errors import ConfigError

__all__ = ["CLUSTER_NAME", "LISTENER_NAME", "SimpleOptions", "build_simple", "split_address"]

#: Names of the one listener and the one cluster.
LISTENER_NAME = "main"
CLUSTER_NAME = "upstream"

_EDGE_BUFFER_BYTES = 32 * 1024
_EDGE_ROUTE_IDLE_MS = 15_000
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?\Z")  # RFC 9110 7.8
_ADDRESS = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*)):([0-9]{1,5})\Z")


class SimpleOptions(TypedDict, total=False):
    """What can be said beside listen, upstream and filters; times in seconds, 0 = off."""

    #: Whole upstream exchange. Default 15, Envoy's route timeout.
    timeout_s: float
    #: No bytes of a stream. Default 15 (edge profile); raise it for streaming.
    idle_timeout_s: float
    #: Whole request received. Default 300.
    request_timeout_s: float
    #: Request head received. Default 10.
    request_headers_timeout_s: float
    #: Connection without a request, of TCP without a byte. Default 3600.
    connection_idle_timeout_s: float
    #: Connecting to the upstream; not 0. Default 5.
    connect_timeout_s: float
    #: Open downstream connections. Default 10,000.
    max_connections: int
    #: Buffers of each connection, and the most of a body that a filter may hold. Default 32 KiB.
    per_connection_buffer_limit_bytes: int
    #: Response header `server`. Default "moebridge".
    server_name: str
    #: True (default): the peer is the client. False: a trusted proxy stands in front.
    use_remote_address: bool
    #: "stdout", "stderr" or a file; Envoy's default format. Default: none.
    access_log: str
    #: Kinds of upgrade that are let through, such as "websocket". Default: none.
    upgrades: Sequence[str]
    #: "http" or "tcp". Default: "tcp" when all filters are network filters and there are some.
    protocol: str


_SECONDS = {
    "timeout_s": 15.0,
    "idle_timeout_s": _EDGE_ROUTE_IDLE_MS / 1000,
    "request_timeout_s": REQUEST_TIMEOUT_MS / 1000,
    "request_headers_timeout_s": REQUEST_HEADERS_TIMEOUT_MS / 1000,
    "connection_idle_timeout_s": 3600.0,
    "connect_timeout_s": 5.0,
}
#: What is said of a proxy of TCP too.
_TCP_OPTIONS = frozenset(
    (
        "access_log",
        "connect_timeout_s",
        "connection_idle_timeout_s",
        "max_connections",
        "per_connection_buffer_limit_bytes",
        "protocol",
    )
)
_COUNTS = {
    "max_connections": MAX_CONNECTIONS,
    "per_connection_buffer_limit_bytes": _EDGE_BUFFER_BYTES,
}


def split_address(text: str) -> tuple[str, int] | None:
    """`HOST:PORT` or `[IPV6]:PORT` in its two parts; None when it is neither."""
    match = _ADDRESS.match(text)
    if match is None or int(match[3]) > 65535:
        return None
    bracketed, plain, port = match.groups()
    if bracketed is not None:
        return (bracketed, int(port)) if ":" in bracketed and is_ip(bracketed) else None
    return (plain, int(port)) if plain else None


def build_simple(
    listen: str,
    upstream: str | Sequence[str],
    filters: Sequence[HttpFilter] = (),
    network_filters: Sequence[HttpFilter] = (),
    **options: Unpack[SimpleOptions],
) -> Config:
    """The model of one listener that sends everything to one upstream.

    Args:
        listen: `IP:PORT`, IPv6 in brackets, port 0 = any; `localhost` is 127.0.0.1.
        upstream: `HOST:PORT`, several as a list or with commas. A host name is resolved again and
            again (STRICT_DNS).
        filters: the HTTP filters before the router.
        network_filters: what stands in front of HTTP, or of the TCP proxy.
        **options: see SimpleOptions.

    Raises:
        ConfigError: with all that is wrong.
    """
    faults = Faults()
    host, port = _listen(faults, listen)
    seconds = {name: _seconds(faults, options, name) for name in _SECONDS}
    counts = {name: _count(faults, options, name) for name in _COUNTS}
    for name in options:
        if name not in SimpleOptions.__annotations__:
            faults.add(
                (ROOT, name), f"unknown option{nearest(name, SimpleOptions.__annotations__)}"
            )
    cluster = _cluster(faults, upstream, seconds["connect_timeout_s"], counts)
    is_tcp = _is_tcp(faults, options, filters, network_filters)
    logs = _access_logs(faults, options.get("access_log"))
    hcm = Hcm(
        stat_prefix="ingress_http",
        route_config=_routes(seconds),
        http_filters=[*filters, HttpFilter(name="router", module="native", filter="router")],
        access_logs=logs,
        timeouts=Timeouts(
            request_ms=seconds["request_timeout_s"],
            grpc_request_ms=seconds["request_timeout_s"] if "request_timeout_s" in options else 0,
            request_headers_ms=seconds["request_headers_timeout_s"],
            idle_ms=seconds["connection_idle_timeout_s"],
        ),
        http2=Http2Options(
            max_concurrent_streams=SERVER_STREAMS, allow_connect=bool(options.get("upgrades"))
        ),
        upgrades=_upgrades(faults, options.get("upgrades", ())),
        server_name=_server_name(faults, options.get("server_name", "moebridge")),
        use_remote_address=_flag(faults, options.get("use_remote_address", True)),
        headers_with_underscores_action="reject_request",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="unescape_and_redirect",
    )
    if faults.count:
        raise ConfigError(faults.list())
    listener = Listener(
        name=LISTENER_NAME,
        addresses=[ListenAddress(host=host, port=port)],
        filter_chains=[
            FilterChain(
                network_filters=list(network_filters),
                hcm=None if is_tcp else hcm,
                tcp_proxy=_tcp(seconds, logs) if is_tcp else None,
            )
        ],
        max_connections=counts["max_connections"],
        per_connection_buffer_limit_bytes=counts["per_connection_buffer_limit_bytes"],
    )
    return Config(listeners=[listener], clusters=[cluster])


def _is_tcp(
    faults: Faults,
    options: SimpleOptions,
    filters: Sequence[HttpFilter],
    network_filters: Sequence[HttpFilter],
) -> bool:
    protocol = options.get("protocol")
    if protocol is None:
        is_tcp = bool(network_filters) and not filters
    elif protocol in ("http", "tcp"):
        is_tcp = protocol == "tcp"
    else:
        faults.add((ROOT, "protocol"), f"expected http or tcp, got {describe(protocol)}")
        return False
    if is_tcp and filters:
        faults.add((ROOT, "filters"), f"{quoted(filters[0].name)} is an HTTP filter; this is TCP")
    for name in options:
        if is_tcp and name in SimpleOptions.__annotations__ and name not in _TCP_OPTIONS:
            faults.add((ROOT, name), "is of HTTP, and this proxy is one of TCP")
    return is_tcp


def _tcp(seconds: dict[str, int], logs: list[AccessLog]) -> TcpProxy:
    return TcpProxy(
        stat_prefix="ingress_tcp",
        clusters=[TcpCluster(name=CLUSTER_NAME)],
        idle_timeout_ms=seconds["connection_idle_timeout_s"],
        access_logs=logs,
    )


def _listen(faults: Faults, listen: object) -> tuple[str, int]:
    parts = split_address(listen) if isinstance(listen, str) else None
    if parts is None:
        faults.add((ROOT, "listen"), f"expected IP:PORT or [IPV6]:PORT, got {describe(listen)}")
        return "", 0
    host, port = parts
    host = "127.0.0.1" if host == "localhost" else host
    if not is_ip(host):
        faults.add((ROOT, "listen"), f"{quoted(host)} is no IP address of this machine")
    return host, port


def _cluster(
    faults: Faults, upstream: object, connect_timeout_ms: int, counts: dict[str, int]
) -> Cluster:
    given = upstream.split(",") if isinstance(upstream, str) else upstream
    if not isinstance(given, Sequence) or not given:
        faults.add((ROOT, "upstream"), f"expected HOST:PORT, got {describe(upstream)}")
        given = []
    endpoints: list[Endpoint] = []
    for i, item in enumerate(given):
        path = ((ROOT, "upstream"), i) if len(given) > 1 else (ROOT, "upstream")
        parts = split_address(item.strip()) if isinstance(item, str) else None
        if parts is None or not (is_ip(parts[0]) or is_host_name(parts[0])) or parts[1] == 0:
            faults.add(path, f"expected HOST:PORT or [IPV6]:PORT, got {describe(item)}")
        else:
            is_name = not is_ip(parts[0])
            endpoints.append(
                Endpoint(host=parts[0], port=parts[1], hostname=parts[0] if is_name else "")
            )
    return Cluster(
        name=CLUSTER_NAME,
        stat_name=CLUSTER_NAME,
        type="strict_dns" if any(e.hostname for e in endpoints) else "static",
        endpoints=endpoints,
        connect_timeout_ms=connect_timeout_ms,
        per_connection_buffer_limit_bytes=counts["per_connection_buffer_limit_bytes"],
    )


def _routes(ms: dict[str, int]) -> RouteConfig:
    forward = Forward(
        targets=[ClusterTarget(name=CLUSTER_NAME)],
        timeout_ms=ms["timeout_s"],
        idle_timeout_ms=ms["idle_timeout_s"],
    )
    match = RouteMatch(path=PathMatch(kind="prefix", value="/"))
    host = VirtualHost(name="all", domains=["*"], routes=[Route(match=match, action=forward)])
    return RouteConfig(name="simple", virtual_hosts=[host])


def _seconds(faults: Faults, options: SimpleOptions, name: str) -> int:
    value: object = options.get(name, _SECONDS[name])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    least = 0.001 if name == "connect_timeout_s" else 0
    if not is_number or not least <= value <= 10**9:  # type: ignore[operator]
        faults.add((ROOT, name), f"expected seconds >= {least}, got {describe(value)}")
        return 1
    return -int(-value * 1000 // 1)  # type: ignore[operator]


def _count(faults: Faults, options: SimpleOptions, name: str) -> int:
    value: object = options.get(name, _COUNTS[name])
    if type(value) is not int or not 1 <= value < 2**32:
        faults.add((ROOT, name), f"expected a number in 1 .. 2**32, got {describe(value)}")
        return 1
    return value


def _server_name(faults: Faults, value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable() or not value.isascii():
        faults.add((ROOT, "server_name"), f"expected printable ASCII, got {describe(value)}")
        return ""
    return value


def _upgrades(faults: Faults, value: object) -> list[Upgrade]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, Sequence) or not all(
        isinstance(kind, str) and _TOKEN.match(kind) for kind in given
    ):
        faults.add((ROOT, "upgrades"), f"expected names of protocols, got {describe(value)}")
        return []
    return [Upgrade(type=kind) for kind in given]


def _flag(faults: Faults, value: object) -> bool:
    if not isinstance(value, bool):
        faults.add((ROOT, "use_remote_address"), f"expected True or False, got {describe(value)}")
    return value is True


def _access_logs(faults: Faults, value: object) -> list[AccessLog]:
    if value is None:
        return []
    lines = parse_format(DEFAULT_FORMAT)
    if value == "stdout" or value == "stderr":
        return [AccessLog(sink="stdout" if value == "stdout" else "stderr", format=lines)]
    if not isinstance(value, str) or not value or "\0" in value:
        faults.add(
            (ROOT, "access_log"), f"expected stdout, stderr or a file, got {describe(value)}"
        )
        return []
    return [AccessLog(sink="file", path=value, format=lines)]
