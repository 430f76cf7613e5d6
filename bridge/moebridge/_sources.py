"""Where a proxy's configuration comes from: objects, plain values in Envoy's form, a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moebridge._paths import EnvoyPaths, ObjectPaths, Paths
from moebridge._plan import ChainItem, Plan, chain_of
from moebridge.config.load import load
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
    if isinstance(config, Mapping):
        paths: Paths = EnvoyPaths(config)
        return Plan(load(config), paths=paths, loader=FilterLoader())
    name = os.fspath(config)
    document = read_file(name)
    try:
        model = load(document)
    except ConfigError as error:
        raise ConfigError(error.faults, file=name) from None
    loader = FilterLoader((Path(name).parent, Path.cwd()))
    return Plan(model, paths=EnvoyPaths(document), file=name, loader=loader)
