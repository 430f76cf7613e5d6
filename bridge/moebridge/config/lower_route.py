"""Lowers a route configuration: virtual hosts, routes, matches."""

from __future__ import annotations

from moebridge.config.faults import Path, quoted
from moebridge.config.lower_action import action
from moebridge.config.lower_filters import per_filter
from moebridge.config.lower_values import (
    Context,
    header_changes,
    header_name,
    lowered_enum,
    metadata,
    regex,
    string_match,
)
from moebridge.config.proto_json import Node
from moebridge.config.route_model import (
    HeaderMatch,
    PathMatch,
    QueryParameterMatch,
    Route,
    RouteConfig,
    RouteMatch,
    VirtualHost,
)

__all__ = ["route_config"]

_MAX_DIRECT_RESPONSE_BYTES = 4096


def route_config(ctx: Context, node: Node) -> RouteConfig:
    """A RouteConfiguration, with the checks over all of its virtual hosts."""
    ctx.validate_clusters = node.get("validate_clusters", True)
    ctx.max_direct_response_bytes = node.get(
        "max_direct_response_body_size_bytes", _MAX_DIRECT_RESPONSE_BYTES
    )
    names: dict[str, Path] = {}
    domains: set[str] = set()
    hosts = [_virtual_host(ctx, host, names, domains) for host in node.nodes("virtual_hosts")]
    return RouteConfig(
        name=node.get("name", ""),
        virtual_hosts=hosts,
        headers=header_changes(ctx, node),
        per_filter=per_filter(ctx, node),
        metadata=metadata(node),
        most_specific_header_mutations_wins=node.get("most_specific_header_mutations_wins", False),
        ignore_port_in_host_matching=node.get("ignore_port_in_host_matching", False),
    )


def _virtual_host(
    ctx: Context, node: Node, names: dict[str, Path], domains: set[str]
) -> VirtualHost:
    name = node.get("name", "")
    if name and names.setdefault(name, node.path) != node.path:
        ctx.fault(node.at("name"), f"duplicate virtual host name {quoted(name)}")
    lowered: list[str] = []
    for i, domain in enumerate(node.get("domains", [])):
        lowered.append(_domain(ctx, (node.at("domains"), i), domain.lower(), domains))
    return VirtualHost(
        name=name,
        domains=lowered,
        require_tls=lowered_enum(node, "require_tls", "NONE"),
        routes=[_route(ctx, route) for route in node.nodes("routes")],
        headers=header_changes(ctx, node),
        per_filter=per_filter(ctx, node),
        metadata=metadata(node),
    )


def _domain(ctx: Context, path: Path, domain: str, seen: set[str]) -> str:
    if domain in seen:
        ctx.fault(path, f"duplicate domain {quoted(domain)}; over all virtual hosts each is unique")
    seen.add(domain)
    if not domain:
        ctx.fault(path, "must not be empty")
    elif "*" in domain[1:-1] or (len(domain) > 1 and domain[0] == domain[-1] == "*"):
        ctx.fault(path, f"{quoted(domain)}: * can only be first or last")
    elif any(c <= " " or c in '/?#@\x7f"<>' for c in domain):
        ctx.fault(path, f"{quoted(domain)} is no domain")
    return domain


def _route(ctx: Context, node: Node) -> Route:
    return Route(
        match=_match(ctx, node.node("match")),
        action=action(ctx, node),
        name=node.get("name", ""),
        headers=header_changes(ctx, node),
        per_filter=per_filter(ctx, node),
        metadata=metadata(node),
    )


def _match(ctx: Context, node: Node) -> RouteMatch:
    case_sensitive = node.get("case_sensitive", True)
    if "prefix" in node:
        path = PathMatch(kind="prefix", value=node["prefix"], case_sensitive=case_sensitive)
    elif "path" in node:
        path = PathMatch(kind="path", value=node["path"], case_sensitive=case_sensitive)
    elif "path_separated_prefix" in node:
        path = PathMatch(
            kind="path_separated_prefix",
            value=node["path_separated_prefix"],
            case_sensitive=case_sensitive,
        )
    elif "connect_matcher" in node:
        path = PathMatch(kind="connect", value="")
    else:
        path = PathMatch(kind="safe_regex", value=regex(node.node("safe_regex")))
    headers: list[HeaderMatch] = []
    parameters: list[QueryParameterMatch] = []
    if "headers" in node:
        headers = [_header(ctx, header) for header in node["headers"]]
    if "query_parameters" in node:
        parameters = [_query_parameter(parameter) for parameter in node["query_parameters"]]
    return RouteMatch(path=path, headers=headers, query_parameters=parameters)


def _header(ctx: Context, node: Node) -> HeaderMatch:
    name = header_name(ctx, node.at("name"), node.get("name", ""), pseudo=True)
    invert = node.get("invert_match", False)
    empty = node.get("treat_missing_header_as_empty", False)
    if "range_match" in node:
        span = node["range_match"]
        return HeaderMatch(
            name=name,
            kind="range",
            range_start=span.get("start", 0),
            range_end=span.get("end", 0),
            invert_match=invert,
            treat_missing_header_as_empty=empty,
        )
    matcher = _string_matcher(node)
    if matcher is None:
        return HeaderMatch(
            name=name,
            kind="present",
            present=node.get("present_match", True),
            invert_match=invert,
            treat_missing_header_as_empty=empty,
        )
    text = string_match(matcher)
    return HeaderMatch(
        name=name,
        kind=text.kind,
        value=text.value,
        ignore_case=text.ignore_case,
        invert_match=invert,
        treat_missing_header_as_empty=empty,
    )


def _string_matcher(node: Node) -> Node | None:
    """The StringMatcher of a HeaderMatcher, also from its older one-word fields."""
    if "string_match" in node:
        found: Node = node["string_match"]
        return found
    for kind in ("exact", "prefix", "suffix", "contains", "safe_regex"):
        older = f"{kind}_match"
        if older in node:
            matcher = Node(node.at(older), "envoy.type.matcher.v3.StringMatcher")
            matcher[kind] = node[older]
            return matcher
    return None


def _query_parameter(node: Node) -> QueryParameterMatch:
    name = node.get("name", "")
    if "string_match" not in node:
        return QueryParameterMatch(
            name=name, kind="present", present=node.get("present_match", True)
        )
    text = string_match(node["string_match"])
    return QueryParameterMatch(
        name=name, kind=text.kind, value=text.value, ignore_case=text.ignore_case
    )
