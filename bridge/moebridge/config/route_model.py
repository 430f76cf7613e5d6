"""The routing part of the model: what one route configuration looks like to the C core."""

from __future__ import annotations

from typing import Any, Literal

from moebridge.config.value_model import (
    FilterOptions,
    HeaderChanges,
    RegexRewrite,
    Value,
)

__all__ = [
    "ClusterTarget",
    "DirectResponse",
    "Forward",
    "HeaderMatch",
    "HostRewrite",
    "PathMatch",
    "PerFilter",
    "QueryParameterMatch",
    "Redirect",
    "Route",
    "RouteAction",
    "RouteConfig",
    "RouteMatch",
    "Upgrade",
    "VirtualHost",
]


class PerFilter(Value, frozen=True, kw_only=True):
    """What one route, virtual host ... says about one filter of the chain.

    The most specific level that names the filter wins as a whole: weighted cluster, route, virtual
    host, route configuration. Source: Envoy's typed_per_filter_config.
    """

    # True: the filter is skipped. False: it runs, also when its HttpFilter.disabled is true.
    disabled: bool = False
    # The override's configuration, the same kind of value as HttpFilter.config.
    config: Any = None
    # True: an override (its `config` may be None: nothing was given) replaces the chain's object.
    has_config: bool = False
    # Python filters: what to load for the override, as HttpFilter.filter; "" = the chain's own
    # class. Envoy's DynamicModuleFilterPerRoute.per_route_config_name.
    filter: str = ""
    # Python filters: the override's own options; None = the chain's.
    options: FilterOptions | None = None


class PathMatch(Value, frozen=True, kw_only=True):
    """Envoy's RouteMatch.path_specifier; only the path is compared, without query."""

    # "path" and "safe_regex" match the whole path; "path_separated_prefix" matches up to a `/` or
    # the end; "connect" matches CONNECT requests, which have no path (connect_matcher).
    kind: Literal["prefix", "path", "path_separated_prefix", "safe_regex", "connect"]
    # Text or RE2 expression; "" for "connect".
    value: str
    # Envoy's case_sensitive, default true; always true for safe_regex.
    case_sensitive: bool = True


class HeaderMatch(Value, frozen=True, kw_only=True):
    """Envoy's config.route.v3.HeaderMatcher.

    Each value of a repeated header is tried by itself; inverted, none may match.
    """

    # Header name, lower case, or a pseudo-header (":method", ":path", ":authority", ":scheme").
    name: str
    # "present": compare presence with `present`. "range": decimal int64 in [range_start,
    # range_end).
    kind: Literal["exact", "prefix", "suffix", "contains", "safe_regex", "present", "range"]
    # For the StringMatch kinds, as StringMatch.value.
    value: str = ""
    # As StringMatch.ignore_case.
    ignore_case: bool = False
    # For "present": the presence that matches. Default true.
    present: bool = True
    # For "range": first value that matches, and the first that doesn't any more.
    range_start: int = 0
    range_end: int = 0
    # Envoy's invert_match: turn the result round. Default false. A missing header fails every kind
    # but "present", with invert_match too (unless treat_missing_header_as_empty).
    invert_match: bool = False
    # Envoy's treat_missing_header_as_empty: a missing header is compared as "". Default false.
    treat_missing_header_as_empty: bool = False


class QueryParameterMatch(Value, frozen=True, kw_only=True):
    """Envoy's config.route.v3.QueryParameterMatcher; the first value of that name counts."""

    # Name, case-sensitive.
    name: str
    kind: Literal["exact", "prefix", "suffix", "contains", "safe_regex", "present"]
    value: str = ""
    ignore_case: bool = False
    # For "present": the presence that matches. Default true.
    present: bool = True


class RouteMatch(Value, frozen=True, kw_only=True):
    """All of it must match."""

    path: PathMatch
    headers: list[HeaderMatch] = []
    query_parameters: list[QueryParameterMatch] = []


class Upgrade(Value, frozen=True, kw_only=True):
    """Envoy's upgrade_configs, of a connection manager or a route (which wins)."""

    # "websocket", "CONNECT" ...; case does not matter.
    type: str
    # Default true.
    enabled: bool = True
    # CONNECT of a route: the tunnel goes to the cluster as TCP (Envoy's connect_config); else a
    # CONNECT request does. Default false.
    terminate: bool = False


class HostRewrite(Value, frozen=True, kw_only=True):
    """Envoy's host_rewrite_specifier."""

    # "literal": `value`. "header": the value of request header `value` (nothing when absent or
    # empty). "auto": the chosen endpoint's Endpoint.hostname (nothing when that is "").
    # "path_regex": the path (without query) with every match of `regex.pattern` substituted.
    kind: Literal["literal", "header", "auto", "path_regex"]
    value: str = ""
    regex: RegexRewrite | None = None


class ClusterTarget(Value, frozen=True, kw_only=True):
    """One entry of weighted_clusters, or the only one of a plain `cluster`."""

    # A Cluster.name. Unknown only when the route configuration says validate_clusters: false.
    name: str
    # Envoy's ClusterWeight.weight; the sum is > 0 and < 2**32. 1 for a plain cluster.
    weight: int = 1
    headers: HeaderChanges = HeaderChanges()
    # Filter name -> override.
    per_filter: dict[str, PerFilter] = {}
    # Envoy's ClusterWeight.host_rewrite_literal; Forward.host_rewrite wins over it. "" = none.
    host_rewrite_literal: str = ""


class Forward(Value, frozen=True, kw_only=True, tag_field="kind", tag="forward"):
    """Envoy's RouteAction: send the request on."""

    # Exactly one of: at least one target, or cluster_header not "".
    targets: list[ClusterTarget] = []
    # The request header that names the cluster, lower case; "" = none.
    cluster_header: str = ""
    # Answer when the named cluster doesn't exist: 503 (default), 404 or 500.
    cluster_not_found_status: int = 503
    # Replaces what the path match matched (with "path" and "safe_regex" that is the whole path
    # without query); "" = no rewrite.
    prefix_rewrite: str = ""
    # Applied to the path without query; None = no rewrite. Never together with prefix_rewrite.
    regex_rewrite: RegexRewrite | None = None
    # None = authority as it came.
    host_rewrite: HostRewrite | None = None
    # Envoy's append_x_forwarded_host, default false.
    append_x_forwarded_host: bool = False
    # Whole upstream exchange, from the request's end to the response's end. ms, 0 = off. Default 15
    # s.
    timeout_ms: int = 15_000
    # No bytes either way. ms, 0 = off. Already resolved: the route's, else the listener's
    # stream_idle.
    idle_timeout_ms: int = 300_000
    # Whole stream. ms, 0 = off. Resolved: the route's max_stream_duration, else the listener's.
    max_stream_duration_ms: int = 0
    # The route has max_stream_duration. Then it has no timeout, and grpc-timeout goes on as what is
    # left of it.
    new_timeouts: bool = False
    # What the grpc-timeout of a request bounds. stream: the whole stream
    # (max_stream_duration.grpc_timeout_header_max). exchange: as `timeout_ms`, instead of it (the
    # older max_grpc_timeout). none (default): nothing here.
    grpc_timeout_scope: Literal["none", "stream", "exchange"] = "none"
    # Longest that a client may ask for. ms, 0 = as it asks.
    grpc_timeout_max_ms: int = 0
    # Taken off what it asks for. ms, default 0.
    grpc_timeout_offset_ms: int = 0
    upgrades: list[Upgrade] = []


class Redirect(Value, frozen=True, kw_only=True, tag_field="kind", tag="redirect"):
    """Envoy's RedirectAction."""

    # 301 (default), 302, 303, 307 or 308.
    status: int = 301
    # New scheme ("https" for https_redirect, else scheme_redirect); "" = as it came.
    scheme: str = ""
    # "" = as it came.
    host: str = ""
    # 0 = as it came (none, when the scheme changes and the port was the old scheme's).
    port: int = 0
    # At most one of these three. path may have its own query, which then replaces the request's.
    path: str = ""
    prefix_rewrite: str = ""
    regex_rewrite: RegexRewrite | None = None
    # Drop the request's query. Default false.
    strip_query: bool = False


class DirectResponse(Value, frozen=True, kw_only=True, tag_field="kind", tag="direct_response"):
    """Envoy's DirectResponseAction."""

    # 200 .. 599.
    status: int
    body: bytes = b""


RouteAction = Forward | Redirect | DirectResponse


class Route(Value, frozen=True, kw_only=True):
    """One route: the first of a virtual host that matches is taken."""

    match: RouteMatch
    action: RouteAction
    # "" = unnamed. %ROUTE_NAME% and stream.route.
    name: str = ""
    headers: HeaderChanges = HeaderChanges()
    # Filter name -> override.
    per_filter: dict[str, PerFilter] = {}
    # Envoy's metadata.filter_metadata: namespace -> any map. For filters (stream.route).
    metadata: dict[str, dict[str, Any]] = {}


class VirtualHost(Value, frozen=True, kw_only=True):
    """A set of domains and their routes, in order."""

    name: str
    # Lower case. Exact, "*.suffix" or "*-suffix" (longest wins), "prefix.*" (longest wins), "*"; in
    # this order. Unique over the whole route configuration.
    domains: list[str]
    # Who must come by https; others are redirected. external_only: not internal requests. Default
    # none.
    require_tls: Literal["none", "external_only", "all"] = "none"
    routes: list[Route] = []
    headers: HeaderChanges = HeaderChanges()
    per_filter: dict[str, PerFilter] = {}
    metadata: dict[str, dict[str, Any]] = {}


class RouteConfig(Value, frozen=True, kw_only=True):
    """Envoy's config.route.v3.RouteConfiguration."""

    # "" allowed.
    name: str = ""
    virtual_hosts: list[VirtualHost] = []
    headers: HeaderChanges = HeaderChanges()
    per_filter: dict[str, PerFilter] = {}
    metadata: dict[str, dict[str, Any]] = {}
    # Order of the levels of header changes, after those of the weighted cluster. False (default):
    # route, virtual host, route configuration, so the last has the last word. True: the other way.
    most_specific_header_mutations_wins: bool = False
    # Envoy's ignore_port_in_host_matching: drop `:port` of the authority before matching domains.
    ignore_port_in_host_matching: bool = False
