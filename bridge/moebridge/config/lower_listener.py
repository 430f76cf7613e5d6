"""Lowers the bootstrap: its node, listeners and clusters."""

from __future__ import annotations

from moebridge.config.faults import Faults, Path, quoted
from moebridge.config.lower_address import listen_addresses
from moebridge.config.lower_cluster import buffer_limit, clusters
from moebridge.config.lower_hcm import hcm
from moebridge.config.lower_listener_filter import chain_match, listener_filters
from moebridge.config.lower_network import network_filter, tcp_proxy
from moebridge.config.lower_socket import socket_options
from moebridge.config.lower_tls import downstream_tls, secrets
from moebridge.config.lower_values import Context
from moebridge.config.model import Config, FilterChain, Hcm, HttpFilter, Listener, TcpProxy
from moebridge.config.proto_json import NOT_YET, Node

__all__ = ["BACKLOG", "MAX_CONNECTIONS", "TRANSPORT_CONNECT_TIMEOUT_MS", "bootstrap"]

#: Open connections of a listener; Envoy leaves this bound off.
MAX_CONNECTIONS = 10_000
#: Of an accepted connection's handshake; Envoy leaves this bound off.
TRANSPORT_CONNECT_TIMEOUT_MS = 10_000
#: listen(2); the system caps it.
BACKLOG = 4096
#: Of all listener filters of a connection together; Envoy's.
FILTERS_TIMEOUT_MS = 15_000

_NETWORK = "envoy.extensions.filters.network."
_HCM = _NETWORK + "http_connection_manager.v3.HttpConnectionManager"
_TCP = _NETWORK + "tcp_proxy.v3.TcpProxy"
_LIMIT = _NETWORK + "connection_limit.v3.ConnectionLimit"


def bootstrap(faults: Faults, node: Node) -> Config:
    """The whole document.

    Args:
        faults: what is wrong is added here; the result counts only when nothing was.
        node: a Bootstrap that was read.
    """
    resources = node.node("static_resources")
    cluster_nodes = resources.nodes("clusters")
    known = secrets(Context(faults=faults, clusters=frozenset()), resources.nodes("secrets"))
    names = frozenset(c["name"] for c in cluster_nodes if "name" in c)
    listeners = []
    seen: dict[str, Path] = {}
    addresses: set[str] = set()
    for i, listener in enumerate(resources.nodes("listeners")):
        # A context of its own: what one connection manager says does not reach the next.
        lowered = _listener(Context(faults=faults, clusters=names, secrets=known), listener, i)
        if seen.setdefault(lowered.name, listener.path) != listener.path:
            faults.add(listener.at("name"), f"duplicate listener name {quoted(lowered.name)}")
        _refuse_same_addresses(faults, listener, lowered, addresses)
        listeners.append(lowered)
    own = node.node("node")
    return Config(
        node_id=own.get("id", ""),
        node_cluster=own.get("cluster", ""),
        listeners=listeners,
        clusters=clusters(Context(faults=faults, clusters=names, secrets=known), cluster_nodes),
    )


def _refuse_same_addresses(faults: Faults, node: Node, listener: Listener, seen: set[str]) -> None:
    """One that this file has already; any free port is another one each time."""
    for i, one in enumerate(listener.addresses):
        text = one.path or (f"{one.host}:{one.port}" if one.port else "")
        if text and text in seen:
            at = (node.at("additional_addresses"), i - 1) if i else node.path
            faults.add((at, "address"), f"duplicate address {text}")
        seen.add(text)


def _listener(ctx: Context, node: Node, index: int) -> Listener:
    chains, default, max_connections = _chains(ctx, node)
    return Listener(
        name=node.get("name", "") or f"listener_{index}",
        addresses=listen_addresses(ctx, node),
        socket_options=socket_options(ctx, node),
        bind_to_port=node.get("bind_to_port", True),
        use_original_dst=node.get("use_original_dst", False),
        filter_chains=chains,
        default_filter_chain=default,
        listener_filters=listener_filters(ctx, node),
        listener_filters_timeout_ms=node.get("listener_filters_timeout", FILTERS_TIMEOUT_MS),
        continue_on_listener_filters_timeout=node.get(
            "continue_on_listener_filters_timeout", False
        ),
        reuse_port=node.get("enable_reuse_port", True),
        backlog=node.get("tcp_backlog_size", BACKLOG),
        per_connection_buffer_limit_bytes=buffer_limit(ctx, node),
        stat_prefix=node.get("stat_prefix", ""),
        max_connections=max_connections,
    )


def _chains(ctx: Context, node: Node) -> tuple[list[FilterChain], FilterChain | None, int]:
    """The filter chains, the default one, and the bound of connection_limit."""
    given, default = node.nodes("filter_chains"), node.get("default_filter_chain")
    if not given and default is None and not {"filter_chains", "default_filter_chain"} & node.bad:
        ctx.fault(node.at("filter_chains"), "is required")
    limits: list[Node] = []
    chains = [_chain(ctx, chain, limits) for chain in given]
    _refuse_same_matches(ctx, given, chains)
    default_chain = _chain(ctx, default, limits) if default is not None else None
    if limits and len(given) + (default is not None) > 1:
        ctx.fault(limits[0].path, f"connection_limit beside several filter chains {NOT_YET}")
    limit = limits[-1].get("max_connections", MAX_CONNECTIONS) if limits else MAX_CONNECTIONS
    return chains, default_chain, limit


def _refuse_same_matches(ctx: Context, given: list[Node], chains: list[FilterChain]) -> None:
    """Chains that list some values both are found by the core."""
    for i, chain in enumerate(chains):
        for j, before in enumerate(chains[:i]):
            if chain.filter_chain_match == before.filter_chain_match:
                message = f"has the same matching rules as filter_chains[{j}]"
                ctx.fault(given[i].at("filter_chain_match"), message)
                break


def _chain(ctx: Context, chain: Node, limits: list[Node]) -> FilterChain:
    """Network filters at will, connection_limit among them (noted in `limits`); the terminal."""
    nodes = chain.nodes("filters")
    if not nodes and "filters" not in chain.bad:
        ctx.fault(chain.at("filters"), "is required")
    manager: Hcm | None = None
    tcp: TcpProxy | None = None
    filters: list[HttpFilter] = []
    for i, node in enumerate(nodes):
        config = node.get("typed_config")
        if config is None:
            if "typed_config" not in node.bad:
                ctx.fault(node.at("typed_config"), "is required")
            continue
        is_last = i == len(nodes) - 1
        if config.type in (_HCM, _TCP):
            if not is_last:
                what = "HTTP connection manager" if config.type == _HCM else "TCP proxy"
                ctx.fault(node.path, f"the {what} must be the last filter")
            if config.type == _HCM:
                manager = hcm(ctx, config)
            else:
                tcp = tcp_proxy(ctx, config)
            continue
        if is_last:
            ctx.fault(
                node.path, "the last filter must be the HTTP connection manager or the TCP proxy"
            )
        if config.type == _LIMIT:
            limits.append(config)
        else:
            filters.append(network_filter(ctx, node.get("name", ""), config))
    return FilterChain(
        name=chain.get("name", ""),
        filter_chain_match=chain_match(ctx, chain.node("filter_chain_match")),
        tls=downstream_tls(ctx, chain),
        transport_connect_timeout_ms=chain.get(
            "transport_socket_connect_timeout", TRANSPORT_CONNECT_TIMEOUT_MS
        ),
        network_filters=filters,
        hcm=manager,
        tcp_proxy=tcp,
    )
