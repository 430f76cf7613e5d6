from __future__ import annotations

from typing import Any

import pytest
from benchmarks.moebridge_bench.many_routes import HOSTS, many_routes, regex_routes

from moebridge.config.load import load


def routes_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    (listener,) = document["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    hosts = manager["route_config"]["virtual_hosts"]
    return [route for host in hosts[:-1] for route in host["routes"]]


def test_there_are_9000_routes_by_path_and_900_by_header() -> None:
    document = many_routes(0, "127.0.0.1:9")
    routes = routes_of(document)
    by_header = [route for route in routes if "headers" in route["match"]]
    assert (len(routes) - len(by_header), len(by_header)) == (9000, 900)
    names = {cluster["name"] for cluster in document["static_resources"]["clusters"]}
    assert len(names) == HOSTS + 1
    assert {route["route"]["cluster"] for route in routes} <= names


def test_there_are_100_regular_expressions() -> None:
    routes = routes_of(regex_routes(0, "127.0.0.1:9"))
    assert len({route["match"]["safe_regex"]["regex"] for route in routes}) == 100


@pytest.mark.parametrize("make", [many_routes, regex_routes])
def test_configuration_is_one_that_is_accepted(make: Any) -> None:
    small = {"hosts": 20, "clusters": 20} if make is many_routes else {}
    load(make(0, "127.0.0.1:9", **small))
