"""Deadlines of gRPC clients, and what they are told, over HTTP/1 with bodies that say nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.conftest import UpstreamMaker
from tests.e2e.protocol.conftest import CoreMaker, Outcomes
from tests.e2e.support.client import fetch
from tests.e2e.support.envoy_config import to
from tests.e2e.support.upstream import Exchange

GRPC = ("content-type", "application/grpc")


async def silent(exchange: Exchange) -> None:
    await exchange.reader.read()


def route(**duration: str) -> list[Any]:
    return [to(max_stream_duration=duration)]


def test_deadline_within_the_bound_ends_the_stream(
    make_core: CoreMaker, make_upstream: UpstreamMaker, outcomes: Outcomes
) -> None:
    upstream = make_upstream(silent)
    core = make_core(upstream.address, routes=route(grpc_timeout_header_max="60s"))
    response = fetch(core.address, method="POST", fields=[GRPC, ("grpc-timeout", "100m")])
    assert response.status == 200
    assert response.get("grpc-status") == "4"
    assert response.get("grpc-message") == "downstream duration timeout"
    assert response.get("content-type") == "application/grpc"
    assert upstream.requests[0].get("grpc-timeout") == "100m"
    assert outcomes(core) == ["200 DT max_duration_timeout"]


@pytest.mark.parametrize(
    ("bounds", "asked", "seen"),
    [
        ({"grpc_timeout_header_max": "2s"}, "5S", "2000m"),
        ({"grpc_timeout_header_max": "0s"}, "5S", "5000m"),
        ({"grpc_timeout_header_max": "9s", "grpc_timeout_header_offset": "1s"}, "5S", "4000m"),
        ({"max_stream_duration": "3s"}, "5S", "3000m"),
        ({"max_stream_duration": "3s", "grpc_timeout_header_max": "9s"}, "5S", "5000m"),
        ({"max_stream_duration": "0s"}, "5S", "5S"),
    ],
)
def test_upstream_sees_what_is_left(
    make_core: CoreMaker,
    make_upstream: UpstreamMaker,
    bounds: dict[str, str],
    asked: str,
    seen: str,
) -> None:
    upstream = make_upstream()
    core = make_core(upstream.address, routes=route(**bounds))
    fetch(core.address, method="POST", fields=[GRPC, ("grpc-timeout", asked)])
    assert upstream.requests[0].get("grpc-timeout") == seen


def test_request_that_is_no_grpc_keeps_its_field(
    make_core: CoreMaker, make_upstream: UpstreamMaker
) -> None:
    upstream = make_upstream()
    core = make_core(upstream.address, routes=route(grpc_timeout_header_max="2s"))
    fetch(core.address, method="POST", fields=[("grpc-timeout", "5S")])
    assert upstream.requests[0].get("grpc-timeout") == "5S"
