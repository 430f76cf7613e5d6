"""Where the parts of a model stand in what the user wrote; for errors that come after reading.

The model has no paths. It keeps the order of listeners, filters and routes, so that a path can be
made again from the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["ChainPath", "CommandPaths", "EnvoyPaths", "ObjectPaths", "Paths"]

#: The number of a listener and the place of a filter chain in it: "filter_chains[0]" or
#: "default_filter_chain".
ChainPath = tuple[int, str]

_LISTENER = re.compile(
    r"listeners\[(\d+)\](?:\.(filter_chains\[\d+\]|default_filter_chain)(\.hcm\b)?)?"
)


class Paths:
    """Paths of Envoy's file."""

    def filter_name(self, at: ChainPath, index: int) -> str:
        """The name of the class of a filter of the chain."""
        return f"{self.manager(at)}.http_filters[{index}].typed_config.filter_name"

    def filter_config(self, at: ChainPath, index: int) -> str:
        """The configuration of a filter of the chain."""
        return f"{self.manager(at)}.http_filters[{index}].typed_config.filter_config.value"

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
        listener, chain = at
        path = f"static_resources.listeners[{listener}].{chain}"
        name, _, number = chain.removesuffix("]").partition("[")
        steps = (name, int(number)) if number else (name,)
        found = _dig(self._document, "static_resources", "listeners", listener, *steps, "filters")
        for i, item in enumerate(found if isinstance(found, list) else []):
            if _dig(item, "typed_config", "http_filters") is not None:
                return f"{path}.filters[{i}].typed_config"
        return f"{path}.filters[0].typed_config"

    def core(self, path: str) -> str:
        """The core knows listeners, their chains and clusters, and their names of the model."""
        match = _LISTENER.match(path)
        if match is None:
            return f"static_resources.{path}" if path.startswith("clusters[") else path
        if match[3] is None:
            return f"static_resources.{path}"
        return self.manager((int(match[1]), match[2])) + path[match.end() :]


class ObjectPaths(Paths):
    """Arguments of `mb.Proxy(...)`."""

    def filter_name(self, at: ChainPath, index: int) -> str:  # noqa: ARG002
        """An item of `filters`."""
        return f"filters[{index}]"

    def core(self, path: str) -> str:
        """The one listener's address is `listen`; a filter is an item of `filters`."""
        path = path.removeprefix("listeners[0].").removeprefix("filter_chains[0].hcm.")
        return "listen" if path == "address" else path.removeprefix("http_")


class CommandPaths(ObjectPaths):
    """Arguments of `moebridge run`.

    Args:
        targets: what was named with --filter, in order.
    """

    def __init__(self, targets: list[str]) -> None:
        self._targets = targets

    def filter_name(self, at: ChainPath, index: int) -> str:  # noqa: ARG002
        """The argument with its name."""
        return f"--filter {self._targets[index]}"

    def filter_config(self, at: ChainPath, index: int) -> str:  # noqa: ARG002
        """The argument with its name."""
        return f"--filter {self._targets[index]}"

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
