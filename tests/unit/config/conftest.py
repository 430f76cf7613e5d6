"""A valid configuration as plain values, to break in one place at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moebridge.config import yaml_reader
from moebridge.config.load import load
from moebridge.config.model import Config, Hcm, Listener
from moebridge.errors import ConfigError

DATA = Path(__file__).parents[2] / "data"
HCM = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
ROUTE = HCM + ".route_config.virtual_hosts[0].routes[0]"
TYPES = "type.googleapis.com/envoy.extensions.filters.http."


def hcm_of(listener: Listener) -> Hcm:
    """The connection manager of a listener's first filter chain."""
    hcm = listener.filter_chains[0].hcm
    assert hcm is not None
    return hcm


class Document:
    """The file minimal.yaml, with its parts at hand."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = copy.deepcopy(
            yaml_reader.read_file(DATA / "envoy" / "minimal.yaml")
        )
        resources = self.root["static_resources"]
        self.listener: dict[str, Any] = resources["listeners"][0]
        self.cluster: dict[str, Any] = resources["clusters"][0]
        self.hcm: dict[str, Any] = self.listener["filter_chains"][0]["filters"][0]["typed_config"]
        self.routes: dict[str, Any] = self.hcm["route_config"]
        self.host: dict[str, Any] = self.routes["virtual_hosts"][0]
        self.route: dict[str, Any] = self.host["routes"][0]

    def add_filter(self, name: str, message: str, **config: object) -> object:
        """Puts an HTTP filter before the router."""
        typed = {"@type": TYPES + message, **config}
        self.hcm["http_filters"].insert(-1, {"name": name, "typed_config": typed})
        return typed

    def load(self) -> Config:
        return load(self.root)

    def faults(self) -> list[tuple[str, str]]:
        """What `load` finds wrong."""
        with pytest.raises(ConfigError) as caught:
            load(self.root)
        return [(fault.path, fault.message) for fault in caught.value.faults]


Change = Callable[[Document], object]


@pytest.fixture
def document() -> Document:
    return Document()
