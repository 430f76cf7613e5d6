"""Where the parts of a model stand in what the user wrote; for errors that come after reading.

The model has no paths. It keeps the order of listeners, filters and routes, so that a path can be
made again from the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ChainPath", "CommandPaths", "EnvoyPaths", "ObjectPaths", "Paths"]

#: The number of a listener and the place of a filter chain in it: "filter_chains[0]" or
#: "default_filter_chain".
ChainPath = tuple[int, str]

_LISTENER = re.compile(
    r"listeners\[(\d+)\](?:\.(filter_chains\[\d+\]|default_filter_chain)"
    r"(?:(\.hcm\b)|(\.tcp_proxy\b)|\.network_filters\[(\d+)\])?)?"
)
_NETWORK_MODULE = ".DynamicModuleNetworkFilter"


class Paths:
    """Paths of Envoy's file."""

    def filter_name(self, at: ChainPath, index: int) -> str:
        """The name of the class of a filter of the chain."""
        return f"{self.manager(at)}.http_filters[{index}].typed_config.filter_name"

    def filter_config(self, at: ChainPath, index: int) -> str:
        """The configuration of a filter of the chain."""
        return f"{self.manager(at)}.http_filters[{index}].typed_config.filter_config.value"

    def network_name(self, at: ChainPath, index: int) -> str:
        """The name of the class of a network filter."""
        return f"{self.network(at, index)}.typed_config.filter_name"

    def network_config(self, at: ChainPath, index: int) -> str:
        """The configuration of a network filter."""
        return f"{self.network(at, index)}.typed_config.filter_config.value"

    def network(self, at: ChainPath, index: int) -> str:
        """A network filter in front of the terminal."""
        return f"listeners[{at[0]}].{at[1]}.network_filters[{index}]"

    def manager(self, at: ChainPath) -> str:
        """A filter chain's connection manager."""
        return f"listeners[{at[0]}].{at[1]}.hcm"

    def core(self, path: str) -> str:
        """A path that the core wrote."""
        return path


class EnvoyPaths(Paths):
    """Paths of Envoy's file.

    Args:
        document: the file as plain values, as it was given to `config.load`.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def manager(self, at: ChainPath) -> str:
        """The connection manager: the network filter that has http_filters."""
        for i, item in enumerate(self._filters(at)):
            if _dig(item, "typed_config", "http_filters") is not None:
                return f"{self._chain(at)}.filters[{i}].typed_config"
        return f"{self._chain(at)}.filters[0].typed_config"

    def network(self, at: ChainPath, index: int) -> str:
        """The filters of modules count, not connection_limit."""
        for i, item in enumerate(self._filters(at)):
            if str(_dig(item, "typed_config", "@type")).endswith(_NETWORK_MODULE):
                index -= 1
            if index < 0:
                return f"{self._chain(at)}.filters[{i}]"
        return f"{self._chain(at)}.filters"

    def _chain(self, at: ChainPath) -> str:
        return f"static_resources.listeners[{at[0]}].{at[1]}"

    def _filters(self, at: ChainPath) -> list[Any]:
        listener, chain = at
        name, _, number = chain.removesuffix("]").partition("[")
        steps = (name, int(number)) if number else (name,)
        found = _dig(self._document, "static_resources", "listeners", listener, *steps, "filters")
        return found if isinstance(found, list) else []

    def core(self, path: str) -> str:
        """The core knows listeners, their chains and clusters, and their names of the model."""
        match = _LISTENER.match(path)
        if match is None:
            return f"static_resources.{_tls(path)}" if path.startswith("clusters[") else path
        if match[2] is None:
            return f"static_resources.{path}"
        at, rest = (int(match[1]), match[2]), path[match.end() :]
        if match[3] is not None:
            return self.manager(at) + rest
        if match[4] is not None:
            last = max(len(self._filters(at)) - 1, 0)
            return f"{self._chain(at)}.filters[{last}].typed_config{rest}"
        if match[5] is not None:
            return f"{self.network(at, int(match[5]))}{rest}"
        return f"static_resources.{_tls(path)}"


def _tls(path: str) -> str:
    """The core's `tls` of a filter chain or cluster is a transport socket."""
    return path.replace(".tls.", ".transport_socket.typed_config.", 1)


_CHAIN_ITEM = re.compile(r"(?:hcm\.(http)|(network))_filters\[(\d+)\]")


class ObjectPaths(Paths):
    """Arguments of `mb.Proxy(...)`.

    Args:
        http: where each filter of the HTTP chain stands in `filters`.
        network: where each network filter stands there.
    """

    def __init__(self, http: Sequence[int], network: Sequence[int]) -> None:
        self._at = {"http": http, "network": network}

    def item(self, kind: str, index: int) -> str:
        """An item of `filters`; the router is none."""
        places = self._at[kind]
        return f"filters[{places[index] if index < len(places) else index}]"

    def filter_name(self, at: ChainPath, index: int) -> str:  # noqa: ARG002
        """An item of `filters`."""
        return self.item("http", index)

    def network_name(self, at: ChainPath, index: int) -> str:  # noqa: ARG002
        """An item of `filters`."""
        return self.item("network", index)

    def core(self, path: str) -> str:
        """The one listener's address is `listen`; a filter is an item of `filters`."""
        path = path.removeprefix("listeners[0].").removeprefix("filter_chains[0].")
        if (match := _CHAIN_ITEM.match(path)) is not None:
            return self.item(match[1] or match[2], int(match[3])) + path[match.end() :]
        path = path.removeprefix("hcm.").removeprefix("tcp_proxy.")
        return "listen" if path == "address" else path


class CommandPaths(ObjectPaths):
    """Arguments of `moebridge run`.

    Args:
        http: the filters of the HTTP chain that were named with --filter, in order.
        network: the network filters.
    """

    def __init__(self, http: Sequence[str], network: Sequence[str]) -> None:
        super().__init__((), ())
        self._targets = {"http": http, "network": network}

    def item(self, kind: str, index: int) -> str:
        """The argument with its name."""
        targets = self._targets[kind]
        return f"--filter {targets[index]}" if index < len(targets) else "--filter"

    def filter_config(self, at: ChainPath, index: int) -> str:
        """The argument with its name."""
        return self.filter_name(at, index)

    def network_config(self, at: ChainPath, index: int) -> str:
        """The argument with its name."""
        return self.network_name(at, index)

    def core(self, path: str) -> str:
        """As arguments."""
        found = super().core(path)
        return "--listen" if found == "listen" else found


def _dig(value: Any, *steps: str | int) -> Any:
    """What stands under these steps, in either spelling of the names; None = nothing."""
    for step in steps:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        elif isinstance(value, Mapping):
            head, *rest = step.split("_")
            camel = head + "".join(word.capitalize() for word in rest)
            value = value[step] if step in value else value.get(camel)
        else:
            return None
    return value
