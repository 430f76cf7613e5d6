"""The model of a listener: its address and its filter chains.

A connection that was accepted is given to one filter chain, by what the chain's match asks for; the
chain says how its bytes are read and ends in exactly one terminal. Source: Envoy's v3 Listener;
safe bounds from docs/defaults.md.
"""

from __future__ import annotations

from typing import Literal

from moebridge.config.hcm_model import Hcm, HttpFilter
from moebridge.config.listener_filter_model import ChainMatch, ListenerFilter
from moebridge.config.tcp_model import TcpProxy
from moebridge.config.tls_model import DownstreamTls
from moebridge.config.value_model import Value

__all__ = ["FilterChain", "ListenAddress", "Listener", "SocketOption"]


class ListenAddress(Value, frozen=True, kw_only=True):
    """An address to listen on: TCP, or with a `path` a Unix socket."""

    # IPv4 or IPv6 address without brackets; "" with a path.
    host: str = ""
    # 0 .. 65535, 0 = any free one.
    port: int = 0
    # "@name" stands in the abstract namespace. "" = none.
    path: str = ""
    # Of the socket's file; 0 = as the umask says.
    mode: int = 0
    # IPV6_V6ONLY off. Default false.
    ipv4_compat: bool = False


class SocketOption(Value, frozen=True, kw_only=True):
    """setsockopt(2) on a listening socket; one that fails refuses the configuration."""

    level: int
    name: int
    value: int
    # Only for sockets of that family.
    family: Literal["any", "ipv4", "ipv6"] = "any"
    # When: before bind, after it, after listen.
    state: Literal["prebind", "bound", "listening"] = "prebind"


class FilterChain(Value, frozen=True, kw_only=True):
    """Envoy's FilterChain."""

    # "" = not given.
    name: str = ""
    # Which connections it gets; not looked at in the default chain.
    filter_chain_match: ChainMatch = ChainMatch()
    # None = clear text (default). Envoy's transport_socket with a DownstreamTlsContext.
    tls: DownstreamTls | None = None
    # Until the handshake is over, 0 = no limit. Envoy: off; ours 10 s
    # (transport_socket_connect_timeout).
    transport_connect_timeout_ms: int = 10_000
    # Network filters in front of the terminal, in order; `disabled` means nothing here.
    network_filters: list[HttpFilter] = []
    # The terminal: one of them.
    hcm: Hcm | None = None
    tcp_proxy: TcpProxy | None = None


class Listener(Value, frozen=True, kw_only=True):
    """Envoy's Listener."""

    # Unique; "listener_<n>" when not given. `proxy.addresses` has it as key, "name[1]" for the
    # second address.
    name: str
    # Never empty: Envoy's address, then additional_addresses.
    addresses: list[ListenAddress]
    # Envoy's freebind, transparent, tcp_fast_open_queue_length and socket_options.
    socket_options: list[SocketOption] = []
    # False: no socket; it gets what another listener hands over. Default true.
    bind_to_port: bool = True
    # Hands a connection over to the listener of its original destination. Default false.
    use_original_dst: bool = False
    # In the order of the file. One of them or the default one; at least one of both.
    filter_chains: list[FilterChain]
    # For connections that match none of them. None: such a connection is closed.
    default_filter_chain: FilterChain | None = None
    # Before the filter chain is chosen, in order.
    listener_filters: list[ListenerFilter] = []
    # All of them together; then the connection is closed, or goes on with what is known. ms, 0 = no
    # bound. Default 15 s.
    listener_filters_timeout_ms: int = 15_000
    continue_on_listener_filters_timeout: bool = False
    # SO_REUSEPORT. Envoy's enable_reuse_port, default true.
    reuse_port: bool = True
    # listen(2). Envoy's tcp_backlog_size, default the system's cap; ours 4096 (the system caps it).
    backlog: int = 4096
    # Watermark of a connection's buffers, and the most a filter may hold of one body (413 / 500).
    # Default 1 MiB, edge profile 32 KiB.
    per_connection_buffer_limit_bytes: int = 1024 * 1024
    # Statistics: listener.<stat_prefix>; "" = the address.
    stat_prefix: str = ""
    # Open connections; more are closed at once. Envoy: off; ours 10,000, or the network filter
    # connection_limit's max_connections.
    max_connections: int = 10_000

    @property
    def chains(self) -> list[FilterChain]:
        """All filter chains, the default one last: the core counts them in this order."""
        default = self.default_filter_chain
        return [*self.filter_chains, default] if default is not None else self.filter_chains
