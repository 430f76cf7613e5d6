"""What the timeouts of a route mean in the model."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.config.conftest import Document, hcm_of

from moebridge.config import model as m


def forward(document: Document, **fields: Any) -> m.Forward:
    document.route["route"] = {"cluster": "backend", **fields}
    action = hcm_of(document.load().listeners[0]).route_config.virtual_hosts[0].routes[0].action
    assert isinstance(action, m.Forward)
    return action


def test_defaults(document: Document) -> None:
    action = forward(document)
    assert (action.timeout_ms, action.new_timeouts) == (15_000, False)
    assert action.grpc_timeout_scope == "none"


def test_max_stream_duration_takes_the_place_of_the_timeout(document: Document) -> None:
    action = forward(
        document,
        timeout="3s",
        max_stream_duration={
            "max_stream_duration": "9s",
            "grpc_timeout_header_max": "5s",
            "grpc_timeout_header_offset": "0.1s",
        },
    )
    assert (action.timeout_ms, action.max_stream_duration_ms) == (0, 9_000)
    assert action.new_timeouts
    assert action.grpc_timeout_scope == "stream"
    assert (action.grpc_timeout_max_ms, action.grpc_timeout_offset_ms) == (5_000, 100)


@pytest.mark.parametrize("maximum", ["0s", "4s"])
def test_older_grpc_timeouts(document: Document, maximum: str) -> None:
    action = forward(document, max_grpc_timeout=maximum, grpc_timeout_offset="0.2s")
    assert (action.timeout_ms, action.grpc_timeout_scope) == (15_000, "exchange")
    assert action.grpc_timeout_max_ms == int(maximum[0]) * 1000
    assert action.grpc_timeout_offset_ms == 200


def test_offset_alone_does_nothing(document: Document) -> None:
    assert forward(document, grpc_timeout_offset="1s").grpc_timeout_scope == "none"
    action = forward(document, max_stream_duration={"grpc_timeout_header_offset": "1s"})
    assert (action.grpc_timeout_scope, action.grpc_timeout_offset_ms) == ("none", 0)
