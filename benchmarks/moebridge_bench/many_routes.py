"""Configurations with as many routes as a large gateway has, for moebridge and Envoy alike.

A thousand hosts, each a virtual host with ten routes or nine, to as many clusters that are all the
same upstream. In each virtual host the order decides: where there is a route by header it
stands first and matches a part of what the last route by path matches.
"""

from __future__ import annotations

from typing import Any

from .envoy import bootstrap

__all__ = ["HOSTS", "many_routes", "regex_routes"]

HOSTS = 1000
_PATHS = 9
#: Virtual hosts without a route by header, one in so many.
_NO_HEADER = 10


def _by_path(host: int, path: int, clusters: int) -> dict[str, Any]:
    """Prefixes, and one exact path in three."""
    exact = path % 3 == 2
    match = {"path": f"/area{path}/item"} if exact else {"prefix": f"/area{path}/"}
    return {"match": match, "route": {"cluster": f"c{(host * 7 + path) % clusters}"}}


def _virtual_host(host: int, clusters: int) -> dict[str, Any]:
    routes = [_by_path(host, path, clusters) for path in range(_PATHS)]
    if host % _NO_HEADER:
        tenant = {"name": "x-tenant", "string_match": {"exact": f"t{host}"}}
        match = {"prefix": f"/area{_PATHS - 1}/", "headers": [tenant]}
        routes.insert(0, {"match": match, "route": {"cluster": f"c{host % clusters}"}})
    return {"name": f"h{host}", "domains": [f"h{host}.example"], "routes": routes}


def _with_routes(
    port: int, upstream: str, virtual_hosts: list[dict[str, Any]], clusters: int
) -> dict[str, Any]:
    """The bootstrap of one route, with these in front of it."""
    document = bootstrap(port, upstream, certificate=None)
    resources = document["static_resources"]
    (manager,) = resources["listeners"][0]["filter_chains"][0]["filters"]
    hosts = manager["typed_config"]["route_config"]["virtual_hosts"]
    hosts[:0] = virtual_hosts
    (up,) = resources["clusters"]
    for name in (f"c{n}" for n in range(clusters)):
        load = {**up["load_assignment"], "cluster_name": name}
        resources["clusters"].append({**up, "name": name, "load_assignment": load})
    return document


def many_routes(
    port: int, upstream: str, *, hosts: int = HOSTS, clusters: int = HOSTS
) -> dict[str, Any]:
    """Returns a bootstrap with 9 routes by path a host, and one by header in 9 of 10 hosts.

    Args:
        port: of the listener.
        upstream: `HOST:PORT` of all clusters.
        hosts: virtual hosts.
        clusters: each has connections of its own to the upstream.
    """
    virtual_hosts = [_virtual_host(host, clusters) for host in range(hosts)]
    return _with_routes(port, upstream, virtual_hosts, clusters)


def regex_routes(port: int, upstream: str, *, routes: int = 100) -> dict[str, Any]:
    """Returns a bootstrap whose one virtual host has so many regular expressions.

    Nothing that `routes.lua` asks for matches before the last one, which matches all of it.
    """
    tried = [
        {
            "match": {"safe_regex": {"regex": f"/(api|area)[0-9]/v{n}/[a-z]+"}},
            "route": {"cluster": "up"},
        }
        for n in range(routes - 1)
    ]
    last = {"match": {"safe_regex": {"regex": "/.*"}}, "route": {"cluster": "up"}}
    host = {"name": "regex", "domains": ["*.example"], "routes": [*tried, last]}
    return _with_routes(port, upstream, [host], 0)
