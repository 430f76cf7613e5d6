"""Lowers the HTTP filter chain and what routes say about its filters."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from moebridge.config.faults import Path, nearest, quoted
from moebridge.config.filter_model import BasicAuth, BasicAuthUser, HeaderMutation, Mutation
from moebridge.config.filter_options import OPTIONS_KEY, take_options
from moebridge.config.lower_values import (
    Context,
    data_source,
    header_add,
    header_name,
    string_match,
)
from moebridge.config.model import FilterOptions, HttpFilter
from moebridge.config.proto_json import Node, read_message
from moebridge.config.route_model import PerFilter

__all__ = ["NATIVE_FILTERS", "http_filters", "per_filter"]

#: Filters built in the core, as `moebridge_native` names them.
NATIVE_FILTERS = ("basic_auth", "body_scan", "header_mutation")

_HTTP = "envoy.extensions.filters.http."
_ROUTER = _HTTP + "router.v3.Router"
_DYNAMIC = _HTTP + "dynamic_modules.v3.DynamicModuleFilter"
#: Envoy's own types that a built-in filter serves: type -> filter.
_ENVOY_TYPES = {
    _HTTP + "header_mutation.v3.HeaderMutation": "header_mutation",
    _HTTP + "basic_auth.v3.BasicAuth": "basic_auth",
    _HTTP + "header_mutation.v3.HeaderMutationPerRoute": "header_mutation",
    _HTTP + "basic_auth.v3.BasicAuthPerRoute": "basic_auth",
}
_MUTATION_LISTS = {
    "request": "request_mutations",
    "request_trailers": "request_trailers_mutations",
    "response": "response_mutations",
    "response_trailers": "response_trailers_mutations",
}


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
                ctx.fault(node.path, f"terminal filter {quoted(name)} (router) must be the last filter")
            if node.get("disabled"):
                ctx.fault(node.at("disabled"), "the router cannot be disabled")
            chain.append(HttpFilter(name=name, module="native", filter="router"))
            continue
        if i == last:
            ctx.fault(node.path, f"{quoted(name)} is the last filter, but the last must be the router")
        chain.append(_http_filter(ctx, name, config, node.get("disabled", False)))
    if not nodes and "http_filters" not in hcm.bad:
        ctx.fault(path, "is required: at least the router (envoy.extensions.filters.http.router.v3.Router)")
    ctx.filters = {f.name: f for f in chain}
    return chain, router


def _http_filter(ctx: Context, name: str, config: Node, disabled: bool) -> HttpFilter:
    if config.type != _DYNAMIC:
        native = _ENVOY_TYPES[config.type]
        lowered = _native_config(ctx, native, config)
        options = FilterOptions(name=name)
        return HttpFilter(
            name=name, module="native", filter=native, config=lowered, disabled=disabled, options=options
        )
    module = _module(ctx, config)
    filter_name = config.get("filter_name", "")
    if not filter_name and "filter_name" not in config.bad:
        ctx.fault(config.at("filter_name"), "is required: which filter of the module")
    value, options = _filter_config(ctx, config, module, name)
    if module == "native" and filter_name:
        if filter_name not in NATIVE_FILTERS:
            hint = nearest(filter_name, NATIVE_FILTERS)
            known = ", ".join(NATIVE_FILTERS)
            ctx.fault(
                config.at("filter_name"),
                f"no built-in filter {quoted(filter_name)}{hint}; there are {known}",
            )
        value = _native_struct(ctx, filter_name, value, config, per_route=False)
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


def _filter_config(
    ctx: Context, config: Node, module: str, name: str
) -> tuple[Any, FilterOptions]:
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


def _native_struct(
    ctx: Context, native: str, value: Any, config: Node, *, per_route: bool
) -> Any:
    """Configuration of a built-in filter that came as a Struct: Envoy's message in JSON form."""
    message = f"{_HTTP}{native}.v3." + {
        "header_mutation": "HeaderMutation",
        "basic_auth": "BasicAuth",
    }.get(native, "")
    if message.endswith("."):
        return value
    path = config.node("filter_config").at("value")
    if not isinstance(value, dict):
        ctx.fault(path, f"{native} needs an object, the same as {message}")
        return None
    node = read_message(ctx.faults, message + ("PerRoute" if per_route else ""), value, path)
    return _native_config(ctx, native, node)


def _native_config(
    ctx: Context, native: str, node: Node, chain: BasicAuth | None = None
) -> HeaderMutation | BasicAuth:
    if native == "basic_auth":
        return _basic_auth(ctx, node, chain)
    return _header_mutation(ctx, node)


def _header_mutation(ctx: Context, node: Node) -> HeaderMutation:
    mutations = node.node("mutations")
    lists = {
        ours: [m for n in mutations.nodes(theirs) if (m := _mutation(ctx, n)) is not None]
        for ours, theirs in _MUTATION_LISTS.items()
    }
    wins = node.get("most_specific_header_mutations_wins", False)
    return HeaderMutation(**lists, most_specific_header_mutations_wins=wins)


def _mutation(ctx: Context, node: Node) -> Mutation | None:
    if "append" in node:
        add = header_add(ctx, node["append"], pseudo=True)
        return Mutation(kind="append", add=add) if add is not None else None
    if "remove_on_match" in node:
        matcher = node["remove_on_match"].node("key_matcher")
        return Mutation(kind="remove_on_match", match=string_match(matcher))
    name = node.get("remove", "")
    if not name and "remove" in node:
        ctx.fault(node.at("remove"), "must not be empty")
    if name.startswith(":") or name.lower() == "host":
        ctx.fault(node.at("remove"), f"{quoted(name)}: pseudo-headers and host cannot be removed")
        return None
    return Mutation(kind="remove", name=header_name(ctx, node.at("remove"), name))


def _basic_auth(ctx: Context, node: Node, chain: BasicAuth | None) -> BasicAuth:
    users: list[BasicAuthUser] = []
    if "users" in node:
        users = _htpasswd(ctx, node.at("users"), data_source(ctx, node["users"]))
    elif "users" not in node.bad and chain is None:
        ctx.fault(node.at("users"), "is required")
    if chain is not None:
        return BasicAuth(
            users=users,
            forward_username_header=chain.forward_username_header,
            authentication_header=chain.authentication_header,
        )
    forward, credentials = "forward_username_header", "authentication_header"
    return BasicAuth(
        users=users,
        forward_username_header=header_name(ctx, node.at(forward), node.get(forward, "")),
        authentication_header=header_name(ctx, node.at(credentials), node.get(credentials, ""))
        or "authorization",
    )


def _htpasswd(ctx: Context, path: Path, text: bytes) -> list[BasicAuthUser]:
    users: dict[str, BasicAuthUser] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.decode("utf-8", "replace").strip()
        if not line or line.startswith("#"):
            continue
        name, _, secret = line.partition(":")
        digest = b""
        try:
            digest = base64.b64decode(secret.removeprefix("{SHA}"), validate=True)
        except (binascii.Error, ValueError):
            pass
        if not name or not secret.startswith("{SHA}") or len(digest) != 20:
            # The line itself is a secret and stays out of the message.
            ctx.fault(path, f"line {number}: expected name:{{SHA}}base64 of a SHA-1")
        elif name in users:
            ctx.fault(path, f"line {number}: duplicate user {quoted(name)}")
        else:
            users[name] = BasicAuthUser(name=name, sha1=digest)
    if not users:
        ctx.fault(path, "has no user")
    return list(users.values())


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
    if entry.type in _ENVOY_TYPES:
        native = _ENVOY_TYPES[entry.type]
        if (chain.module, chain.filter) != ("native", native):
            ctx.fault(entry.path, f"{entry.type} is for {native}, the filter is {chain.filter}")
            return PerFilter()
        own = chain.config if isinstance(chain.config, BasicAuth) else None
        return PerFilter(config=_native_config(ctx, native, entry, own), has_config=True)
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
        value = _native_struct(ctx, chain.filter, value, entry, per_route=True)
    own_options = options if options != FilterOptions(name=chain.options.name) else None
    return PerFilter(config=value, has_config=True, filter=name, options=own_options)
