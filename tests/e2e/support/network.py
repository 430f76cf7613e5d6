"""A client, a proxy that is its router, and an upstream behind that: three machines, linked by
IPv4 and IPv6."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.support.client import RawClient
from tests.e2e.support.core import Core
from tests.e2e.support.messages import Response
from tests.e2e.support.namespace import Namespace
from tests.e2e.support.upstream import Handler, Upstream

__all__ = ["V4", "V6", "Family", "Network", "Scene"]


@dataclass(frozen=True)
class Family:
    """The network's addresses in IPv4 or IPv6, and the programs that set it up."""

    ip: str
    iptables: str
    prefix_bits: int
    client: str
    # The proxy, as clients and as upstreams see it.
    router: str
    gateway: str
    upstream: str
    # Of nobody: where a client would like to go.
    far: str
    wildcard: str

    def at(self, name: str, port: object) -> str:
        """One of the addresses, by its name, with a port."""
        host = getattr(self, name)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


V4 = Family(
    ip="ip -4",
    iptables="iptables -w",
    prefix_bits=24,
    client="10.77.0.1",
    router="10.77.0.2",
    gateway="10.78.0.1",
    upstream="10.78.0.2",
    far="203.0.113.9",
    wildcard="0.0.0.0",
)
V6 = Family(
    ip="ip -6",
    iptables="ip6tables -w",
    prefix_bits=64,
    client="fd77::1",
    router="fd77::2",
    gateway="fd78::1",
    upstream="fd78::2",
    far="2001:db8::9",
    wildcard="::",
)


class Network:
    """The machines, for as long as `stack` lasts. The proxy's `eth0` is towards the clients, its
    `eth1` towards the upstreams."""

    def __init__(self, stack: ExitStack) -> None:
        self.clients, self.proxy, self.upstreams = (
            stack.enter_context(Namespace()) for _ in range(3)
        )
        self.proxy.link(self.clients, "eth0")
        self.proxy.link(self.upstreams, "eth1")
        for family in (V4, V6):
            self._address(self.clients, "eth0", family, "client")
            self._address(self.proxy, "eth0", family, "router")
            self._address(self.proxy, "eth1", family, "gateway")
            self._address(self.upstreams, "eth0", family, "upstream")
            self.clients.command(f"{family.ip} route add default via {family.router}")
            self.upstreams.command(f"{family.ip} route add default via {family.gateway}")

    def _address(self, machine: Namespace, device: str, family: Family, name: str) -> None:
        # An address of IPv6 is used at once, without asking first whether somebody has it.
        once = "nodad" if family is V6 else ""
        address = f"{getattr(family, name)}/{family.prefix_bits}"
        machine.command(f"{family.ip} addr add {address} dev {device} {once}")

    def rules(self, lines: Iterable[str]) -> None:
        """Sets up the proxy's machine, with commands of `ip` and `iptables` for both families."""
        for family in (V4, V6):
            programs = {"ip": family.ip, "iptables": family.iptables}
            for line in lines:
                program, _, words = line.partition(" ")
                self.proxy.command(f"{programs[program]} {words}")


class Scene:
    """What runs on the machines in a test."""

    def __init__(self, network: Network, stack: ExitStack, folder: Path) -> None:
        self._network = network
        self._stack = stack
        self._folder = folder

    def core(self, config: Mapping[str, Any]) -> Core:
        """Starts the core on the proxy's machine."""
        core = self._network.proxy.run(lambda: Core(config, self._folder))
        return self._stack.enter_context(core)

    def upstream(self, handler: Handler, address: str, *, beside_proxy: bool = False) -> Upstream:
        """An upstream on its own machine or on the proxy's."""
        host, _, port = address.rpartition(":")
        made = Upstream(handler, host=host.strip("[]"), port=int(port))
        machine = self._network.proxy if beside_proxy else self._network.upstreams
        return machine.run(lambda: self._stack.enter_context(made))

    def client(self, address: str) -> RawClient:
        """A client's connection."""
        return self._stack.enter_context(self._network.clients.run(lambda: RawClient(address)))

    def ask(self, address: str) -> Response:
        """A client's request on a connection of its own."""
        with self.client(address) as client:
            return client.request()
