"""Proxies of TCP made of Envoy's configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import moebridge as mb

from .servers import Handler, Server, echo

TcpMaker = Callable[..., mb.Proxy]
ServerMaker = Callable[..., Server]

_NETWORK = "type.googleapis.com/envoy.extensions.filters.network."
TCP = _NETWORK + "tcp_proxy.v3.TcpProxy"
MODULE = _NETWORK + "dynamic_modules.v3.DynamicModuleNetworkFilter"


def cluster(name: str, *addresses: str, **fields: Any) -> dict[str, Any]:
    """A STATIC cluster."""
    endpoints = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        socket = {"address": host, "port_value": int(port)}
        endpoints.append({"endpoint": {"address": {"socket_address": socket}}})
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment, **fields}


def python_filter(target: str, **config: Any) -> dict[str, Any]:
    """A network filter of a Python class."""
    value = {"@type": "type.googleapis.com/google.protobuf.Struct", "value": config}
    return {
        "name": target,
        "typed_config": {
            "@type": MODULE,
            "dynamic_module_config": {"name": "moebridge"},
            "filter_name": target,
            "filter_config": value,
        },
    }


def bootstrap(
    clusters: list[dict[str, Any]],
    *filters: dict[str, Any],
    listener: dict[str, Any] | None = None,
    chain: dict[str, Any] | None = None,
    **tcp: Any,
) -> dict[str, Any]:
    """One listener with a TCP proxy, to `cluster` "up" where nothing else is said.

    Args:
        clusters: all of them.
        filters: in front of the TCP proxy.
        listener: further fields of the listener.
        chain: further fields of its filter chain.
        **tcp: fields of TcpProxy.
    """
    if "weighted_clusters" not in tcp:
        tcp.setdefault("cluster", "up")
    proxy = {"name": "tcp", "typed_config": {"@type": TCP, "stat_prefix": "t", **tcp}}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    made = {
        "name": "main",
        "address": address,
        "filter_chains": [{"filters": [*filters, proxy], **(chain or {})}],
        **(listener or {}),
    }
    return {"static_resources": {"listeners": [made], "clusters": clusters}}


@pytest.fixture
def make_server() -> Iterator[ServerMaker]:
    """Starts TCP servers; they stop with the test."""
    with ExitStack() as stack:

        def make(handler: Handler = echo) -> Server:
            return stack.enter_context(Server(handler))

        yield make


@pytest.fixture
def make_tcp() -> Iterator[TcpMaker]:
    """Starts proxies of TCP: `make_tcp(clusters, filters..., **fields of TcpProxy)`."""
    with ExitStack() as stack:

        def make(clusters: list[dict[str, Any]], *filters: Any, **tcp: Any) -> mb.Proxy:
            proxy = mb.Proxy.from_config(bootstrap(clusters, *filters, **tcp))
            proxy.start()
            stack.callback(proxy.stop)
            return proxy

        yield make
