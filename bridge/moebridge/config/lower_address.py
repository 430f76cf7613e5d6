"""Lowers an Address: of a listener, or of an endpoint."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import NamedTuple

from moebridge.config.faults import Path, quoted
from moebridge.config.listener_model import ListenAddress
from moebridge.config.lower_values import Context
from moebridge.config.proto_json import Node
from moebridge.config.value_model import CidrRange

__all__ = [
    "LoweredAddress",
    "address",
    "cidr_ranges",
    "is_host_name",
    "is_ip",
    "is_link_local",
    "listen_addresses",
]

#: sun_path of unix(7), without the NUL at its end or beginning.
_PATH_BYTES = 107
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")


class LoweredAddress(NamedTuple):
    """A TCP address, or with a `path` a Unix socket's."""

    #: Without brackets; "" with a path, and where the file was wrong.
    host: str = ""
    port: int = 0
    #: Unix socket; "@name" stands in the abstract namespace. "" = none.
    path: str = ""
    #: Of the socket's file when we make it; 0 = as the umask says.
    mode: int = 0
    ipv4_compat: bool = False


def is_ip(host: str) -> bool:
    """An IPv4 or IPv6 address, without brackets and without a zone."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def is_link_local(host: str) -> bool:
    """An IPv6 address that needs the zone that it has, as `fe80::1%eth0` (RFC 4007)."""
    bare, zoned, zone = host.partition("%")
    return bool(zoned and zone) and is_ip(bare) and ipaddress.ip_address(bare).is_link_local


def is_host_name(host: str) -> bool:
    """A DNS name (RFC 1123; underscores are let through), not an address."""
    labels = host.removesuffix(".").split(".")
    return (
        len(host) <= 253
        and all(_LABEL.match(label) for label in labels)
        and not labels[-1].isdigit()
    )


def address(ctx: Context, node: Node) -> LoweredAddress:
    """An Address, of which only the path of a pipe is checked here.

    Args:
        ctx: where faults go.
        node: a core.v3.Address; its reader has noted when both kinds or none are given.
    """
    if "pipe" in node:
        return _pipe(ctx, node["pipe"])
    socket = node.node("socket_address")
    return LoweredAddress(
        host=socket.get("address", ""),
        port=socket.get("port_value", 0),
        ipv4_compat=socket.get("ipv4_compat", False),
    )


def listen_addresses(ctx: Context, listener: Node) -> list[ListenAddress]:
    """What a listener listens on: `address`, then `additional_addresses`.

    Args:
        ctx: where faults go.
        listener: a Listener.
    """
    nodes = [listener, *listener.nodes("additional_addresses")]
    return [_listen_address(ctx, node) for node in nodes]


def _listen_address(ctx: Context, owner: Node) -> ListenAddress:
    if "address" not in owner and "address" not in owner.bad:
        ctx.fault(owner.at("address"), "is required")
    node = owner.node("address")
    lowered = address(ctx, node)
    if lowered.host and not is_ip(lowered.host):
        at = node.node("socket_address").at("address")
        ctx.fault(at, f"{quoted(lowered.host)} is no IP address (without brackets)")
    return ListenAddress(
        host=lowered.host,
        port=lowered.port,
        path=lowered.path,
        mode=lowered.mode,
        ipv4_compat=lowered.ipv4_compat,
    )


def _pipe(ctx: Context, node: Node) -> LoweredAddress:
    path, mode = node.get("path", ""), node.get("mode", 0)
    _check_path(ctx, node.at("path"), path)
    if mode and path.startswith("@"):
        ctx.fault(node.at("mode"), "an abstract socket has no file and so no mode")
    return LoweredAddress(path=path, mode=mode)


def _check_path(ctx: Context, at: Path, path: str) -> None:
    if "\0" in path:
        ctx.fault(at, "the path has a NUL in it")
    elif len(os.fsencode(path)) > _PATH_BYTES:
        ctx.fault(at, f"{quoted(path)} is longer than the {_PATH_BYTES} bytes of a socket's path")
    elif path == "@":
        ctx.fault(at, "an abstract socket needs a name behind the @")


def cidr_ranges(ctx: Context, nodes: list[Node]) -> list[CidrRange]:
    """Ranges of addresses.

    Args:
        ctx: where faults go.
        nodes: some core.v3.CidrRange.
    """
    ranges = []
    for entry in nodes:
        prefix, bits = entry.get("address_prefix", ""), entry.get("prefix_len", 0)
        try:
            ipaddress.ip_network(f"{prefix}/{bits}", strict=False)
        except ValueError:
            if prefix:
                ctx.fault(entry.path, f"{quoted(prefix)} with {bits} bits is no address range")
        ranges.append(CidrRange(address=prefix, prefix_len=bits))
    return ranges
