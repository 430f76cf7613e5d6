"""Lowers what Envoy says of a listener's sockets to setsockopt(2)."""

from __future__ import annotations

import socket

from moebridge.config.listener_model import SocketOption
from moebridge.config.lower_values import Context, lowered_enum
from moebridge.config.proto_json import Node

__all__ = ["socket_options"]

# Of Linux, where the socket module does not name them.
_IP_FREEBIND = 15
_IP_TRANSPARENT = 19
_IPV6_TRANSPARENT = 75
_IPV6_FREEBIND = 78
_INT_MAX = 2**31 - 1


def socket_options(ctx: Context, listener: Node) -> list[SocketOption]:
    """The options of all sockets of a listener, in the order in which they are set.

    Args:
        ctx: where faults go.
        listener: a Listener.
    """
    found: list[SocketOption] = []
    if "transparent" in listener:
        found += _both(_IP_TRANSPARENT, _IPV6_TRANSPARENT, int(listener["transparent"]))
    if "freebind" in listener:
        found += _both(_IP_FREEBIND, _IPV6_FREEBIND, int(listener["freebind"]))
    if "tcp_fast_open_queue_length" in listener:
        found += [
            SocketOption(
                level=socket.IPPROTO_TCP,
                name=socket.TCP_FASTOPEN,
                value=listener["tcp_fast_open_queue_length"],
                family=family,
                state="listening",
            )
            for family in ("ipv4", "ipv6")
        ]
    return found + [_given(ctx, node) for node in listener.nodes("socket_options")]


def _both(ipv4: int, ipv6: int, value: int) -> list[SocketOption]:
    return [
        SocketOption(level=socket.IPPROTO_IP, name=ipv4, value=value, family="ipv4"),
        SocketOption(level=socket.IPPROTO_IPV6, name=ipv6, value=value, family="ipv6"),
    ]


def _given(ctx: Context, node: Node) -> SocketOption:
    numbers = {name: node.get(name, 0) for name in ("level", "name", "int_value")}
    for name, value in numbers.items():
        if not -_INT_MAX - 1 <= value <= _INT_MAX:
            ctx.fault(node.at(name), f"{value} is no int")
    if "int_value" not in node and "int_value" not in node.bad:
        ctx.fault(node.at("int_value"), "is required")
    return SocketOption(
        level=numbers["level"],
        name=numbers["name"],
        value=numbers["int_value"],
        state=lowered_enum(node, "state", "STATE_PREBIND").removeprefix("state_"),
    )
