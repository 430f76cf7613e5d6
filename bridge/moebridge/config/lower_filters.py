"""Lowers the HTTP filter chain and what routes say about its filters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from moebridge.config.faults import Path, nearest, quoted
from moebridge.config.filter_model import BasicAuth
from moebridge.config.filter_options import OPTIONS_KEY, take_options
from moebridge.config.lower_native import ENVOY_TYPES, NATIVE_FILTERS, lower_native, native_config
from moebridge.config.lower_values import Context
from moebridge.config.model import FilterOptions, HttpFilter
from moebridge.config.proto_json import Node
from moebridge.config.route_model import PerFilter

__all__ = ["http_filters", "module_filter", "per_filter"]

_HTTP = "envoy.extensions.filters.http."
_ROUTER = _HTTP + "router.v3.Router"
_DYNAMIC = _HTTP + "dynamic_modules.v3.DynamicModuleFilter"


def http_filters(ctx: Context, hcm: Node) -> tuple[list[HttpFilter], Node]:
    """The chain of a connection manager.

    Returns:
        The chain, and the router's own configuration.
    """
    path = hcm.at("http_filters")
    nodes = hcm.nodes("http_filters")
    chain: list[HttpFilter] = []
    router = Node(path, _ROUTER)
    last = len(nodes) - 1
    for i, node in enumerate(nodes):
        config = node.get("typed_config")
        if config is None:
            if "typed_config" not in node.bad and "config_discovery" not in node.bad:
                ctx.fault(node.at("typed_config"), "is required")
            continue
        name = node.get("name", "")
        if config.type == _ROUTER:
            router = config
            if i != last:
                ctx.fault(
                    node.path, f"terminal filter {quoted(name)} (router) must be the last filter"
                )
            if node.get("disabled"):
                ctx.fault(node.at("disabled"), "the router cannot be disabled")
            chain.append(HttpFilter(name=name, module="native", filter="router"))
            continue
        if i == last:
            ctx.fault(
                node.path, f"{quoted(name)} is the last filter, but the last must be the router"
            )
        chain.append(_http_filter(ctx, name, config, node.get("disabled", False)))
    if not nodes and "http_filters" not in hcm.bad:
        ctx.fault(
            path,
            "is required: at least the router (envoy.extensions.filters.http.router.v3.Router)",
        )
    ctx.filters = {f.name: f for f in chain}
    return chain, router


def _http_filter(ctx: Context, name: str, config: Node, disabled: bool) -> HttpFilter:
    if config.type != _DYNAMIC:
        native = ENVOY_TYPES[config.type]
        lowered = lower_native(ctx, native, config)
        options = FilterOptions(name=name)
        return HttpFilter(
            name=name,
            module="native",
            filter=native,
            config=lowered,
            disabled=disabled,
            options=options,
        )
    return module_filter(ctx, name, config, built_in=NATIVE_FILTERS, disabled=disabled)


def module_filter(
    ctx: Context, name: str, config: Node, *, built_in: Collection[str], disabled: bool = False
) -> HttpFilter:
    """A filter of a module, of streams or of connections.

    Args:
        ctx: what is known of the configuration.
        name: its name in the chain.
        config: DynamicModuleFilter or DynamicModuleNetworkFilter.
        built_in: the filters of that kind that the core has.
        disabled: it is switched off where nothing else is said.
    """
    module = _module(ctx, config)
    filter_name = config.get("filter_name", "")
    if not filter_name and "filter_name" not in config.bad:
        ctx.fault(config.at("filter_name"), "is required: which filter of the module")
    value, options = _filter_config(ctx, config, module, name)
    if module == "native" and filter_name:
        if filter_name not in built_in:
            hint = nearest(filter_name, built_in)
            known = ", ".join(built_in) or "none of this kind"
            ctx.fault(
                config.at("filter_name"),
                f"no built-in filter {quoted(filter_name)}{hint}; there are {known}",
            )
        value = native_config(ctx, filter_name, value, config.node("filter_config").at("value"))
    return HttpFilter(
        name=name,
        module=module,
        filter=filter_name,
        config=value,
        disabled=disabled,
        options=options,
    )


def _module(ctx: Context, config: Node) -> str:
    node = config.node("dynamic_module_config")
    if "dynamic_module_config" not in config and "dynamic_module_config" not in config.bad:
        ctx.fault(config.at("dynamic_module_config"), "is required")
    name: str = node.get("name", "")
    if name in ("moebridge", ""):
        return "python"
    if name == "moebridge_native":
        return "native"
    if "/" in name or "\0" in name:
        ctx.fault(node.at("name"), f"{quoted(name)} must be a name, the file is lib<name>.so")
    return f"lib{name}.so"


def _filter_config(ctx: Context, config: Node, module: str, name: str) -> tuple[Any, FilterOptions]:
    """The value in filter_config, and the options taken off it."""
    node = config.node("filter_config")
    value = node.get("value")
    options = FilterOptions(name=name)
    if isinstance(value, dict) and OPTIONS_KEY in value:
        path: Path = (node.at("value"), OPTIONS_KEY)
        if module != "python":
            ctx.fault(path, "only Python filters have these options")
        return take_options(ctx.faults, path, value, name)
    return value, options


def per_filter(ctx: Context, node: Node) -> dict[str, PerFilter]:
    """A typed_per_filter_config: filter name -> override."""
    if "typed_per_filter_config" not in node:
        return {}
    found: dict[str, PerFilter] = {}
    for name, entry in node["typed_per_filter_config"].items():
        chain = ctx.filters.get(name)
        if chain is None:
            hint = nearest(name, ctx.filters)
            ctx.fault(entry.path, f"no filter of this name in http_filters{hint}")
            continue
        if chain.filter == "router" and chain.module == "native":
            ctx.fault(entry.path, "the router has no configuration per route")
            continue
        found[name] = _per_filter(ctx, entry, chain)
    return found


def _per_filter(ctx: Context, entry: Node, chain: HttpFilter) -> PerFilter:
    if entry.type.endswith(".FilterConfig"):
        config = entry.get("config")
        if config is not None and entry.get("disabled"):
            ctx.fault(entry.path, "only one of config and disabled can be given")
        if not config:
            return PerFilter(disabled=entry.get("disabled", False))
        entry = config
    if entry.type in ENVOY_TYPES:
        native = ENVOY_TYPES[entry.type]
        if (chain.module, chain.filter) != ("native", native):
            ctx.fault(entry.path, f"{entry.type} is for {native}, the filter is {chain.filter}")
            return PerFilter()
        own = chain.config if isinstance(chain.config, BasicAuth) else None
        return PerFilter(config=lower_native(ctx, native, entry, own), has_config=True)
    module = _module(ctx, entry)
    if module != chain.module:
        ctx.fault(
            entry.node("dynamic_module_config").at("name"),
            f"the filter {quoted(chain.name)} of the chain is of another module",
        )
        return PerFilter()
    name = entry.get("per_route_config_name", "")
    value, options = _filter_config(ctx, entry, module, chain.options.name)
    if module == "native":
        if name not in ("", chain.filter):
            ctx.fault(entry.at("per_route_config_name"), f"the filter is {quoted(chain.filter)}")
        path = entry.node("filter_config").at("value")
        value = native_config(ctx, chain.filter, value, path, chain.config)
    own_options = options if options != FilterOptions(name=chain.options.name) else None
    return PerFilter(config=value, has_config=True, filter=name, options=own_options)
