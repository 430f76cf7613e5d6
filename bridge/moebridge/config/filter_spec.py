"""Filters named by objects or on the command line, as places of the model's chain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moebridge.config.faults import ROOT, Faults, describe, nearest, quoted
from moebridge.config.filter_options import OPTIONS_KEY, take_options
from moebridge.config.lower_native import NATIVE_FILTERS, native_config
from moebridge.config.lower_values import Context
from moebridge.config.model import FilterOptions, HttpFilter
from moebridge.config.scalars import Wrong, to_plain
from moebridge.errors import ConfigError

__all__ = ["native_filter", "parse_filter_spec", "python_filter", "unique_names"]


def parse_filter_spec(spec: str) -> HttpFilter:
    """Reads a `--filter` argument: `MODULE:CLASS[=JSON]` or `native:NAME[=JSON]`.

    Raises:
        ConfigError: not such an argument, no JSON object, or a wrong native configuration.
    """
    target, equals, text = spec.partition("=")
    path = f"--filter {target}"
    config: Any = {}
    if equals:
        try:
            config = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError([(path, f"after = must stand JSON: {error}")]) from None
        if not isinstance(config, dict):
            raise ConfigError([(path, f"expected a JSON object, got {describe(config)}")])
    kind, _, name = target.partition(":")
    if not target or (":" in target and not (kind and name)):
        raise ConfigError(
            [(path, "expected MODULE:CLASS, FILE.py:CLASS, an entry-point name or native:NAME")]
        )
    if kind == "native" and name:
        return native_filter(name, config)
    return python_filter(target, config)


def python_filter(target: str, config: Mapping[str, Any], *, name: str = "") -> HttpFilter:
    """A Python filter's place in the chain.

    Args:
        target: `module:Class`, `file.py:Class` or an entry-point name.
        config: its configuration, with or without "@moebridge".
        name: its name in the chain; default the target.
    """
    faults = Faults()
    value = _plain(faults, config)
    options = FilterOptions(name=name or target)
    if OPTIONS_KEY in value:
        value, options = take_options(faults, (ROOT, OPTIONS_KEY), value, name or target)
    _raise(faults)
    return HttpFilter(
        name=name or target, module="python", filter=target, config=value, options=options
    )


def native_filter(
    filter_name: str,
    config: Mapping[str, Any] | None = None,
    *,
    library: str | None = None,
    name: str = "",
) -> HttpFilter:
    """A C filter's place in the chain.

    Args:
        filter_name: a built-in filter, or the library's name for it.
        config: its configuration; Envoy's message for a filter that Envoy has.
        library: shared library (a path, or a name the loader finds); None = built in.
        name: its name in the chain; default filter_name.

    Raises:
        ConfigError: no such built-in filter, or its configuration is wrong.
    """
    faults = Faults()
    value: Any = None if config is None else _plain(faults, config)
    if library is None:
        if filter_name not in NATIVE_FILTERS:
            hint = nearest(filter_name, NATIVE_FILTERS)
            known = ", ".join(NATIVE_FILTERS)
            faults.add(ROOT, f"no built-in filter {quoted(filter_name)}{hint}; there are {known}")
        else:
            ctx = Context(faults=faults, clusters=frozenset())
            value = native_config(ctx, filter_name, value, (ROOT, "config"))
    _raise(faults)
    return HttpFilter(
        name=name or filter_name,
        module=library or "native",
        filter=filter_name,
        config=value,
        options=FilterOptions(name=name or filter_name),
    )


def unique_names(filters: list[HttpFilter]) -> list[HttpFilter]:
    """The same filters, each with a name of its own: the second `a` becomes `a_2`."""
    used: dict[str, int] = {}
    result = []
    for item in filters:
        used[item.name] = number = used.get(item.name, 0) + 1
        name = f"{item.name}_{number}" if number > 1 else item.name
        shown = name if item.options.name == item.name else item.options.name
        options = FilterOptions(
            on_error=item.options.on_error,
            hook_timeout_ms=item.options.hook_timeout_ms,
            name=shown,
        )
        result.append(
            HttpFilter(
                name=name,
                module=item.module,
                filter=item.filter,
                config=item.config,
                disabled=item.disabled,
                options=options,
            )
        )
    return result


def _plain(faults: Faults, config: Mapping[str, Any]) -> dict[str, Any]:
    try:
        value: dict[str, Any] = to_plain(config)
    except Wrong as wrong:
        path = (ROOT, "config")
        for step in wrong.steps:
            path = (path, step)  # type: ignore[assignment]
        faults.add(path, str(wrong))
        return {}
    return value


def _raise(faults: Faults) -> None:
    if faults.count:
        raise ConfigError(faults.list())
