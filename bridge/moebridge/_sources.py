"""Where a proxy's configuration comes from: objects, plain values in Envoy's form, a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moebridge._paths import EnvoyPaths, ObjectPaths
from moebridge._plan import ChainItem, Plan, chain_of
from moebridge.config.load import collector_paused, load
from moebridge.config.simple import build_simple
from moebridge.config.yaml_reader import read_file
from moebridge.errors import ConfigError
from moebridge.filter_load import FilterLoader

__all__ = ["plan_config", "plan_objects"]


def plan_objects(filters: Sequence[ChainItem], simple: Mapping[str, Any]) -> Plan:
    """Makes the object form's plan.

    Args:
        filters: as Proxy gets them.
        simple: `listen`, `upstream` and SimpleOptions.

    Raises:
        ConfigError: with all that is wrong.
    """
    chain = chain_of(list(filters))
    model = build_simple(filters=chain.http, network_filters=chain.network, **simple)
    return Plan(model, paths=ObjectPaths(chain.http_at, chain.network_at), objects=chain)


def plan_config(config: str | os.PathLike[str] | Mapping[str, Any]) -> Plan:
    """Reads Envoy's form and makes the objects of its Python filters.

    Raises:
        ConfigError: with all that is wrong.
    """
    with collector_paused():
        if isinstance(config, Mapping):
            return Plan(load(config), paths=EnvoyPaths(config), loader=FilterLoader())
        return _plan_file(os.fspath(config))


def _plan_file(name: str) -> Plan:
    document = read_file(name)
    try:
        model = load(document)
    except ConfigError as error:
        raise ConfigError(error.faults, file=name) from None
    loader = FilterLoader((Path(name).parent, Path.cwd()))
    return Plan(model, paths=EnvoyPaths(document), file=name, loader=loader)
