"""`append_x_forwarded_port` was accepted and did nothing."""

from __future__ import annotations

import json

import pytest
from tests.e2e.protocol.conftest import CoreMaker
from tests.e2e.support.client import fetch


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["77"]),
        ({"append_x_forwarded_port": True}, ["77"]),
        ({"append_x_forwarded_port": True, "use_remote_address": True}, ["own"]),
        (
            {
                "append_x_forwarded_port": True,
                "use_remote_address": True,
                "xff_num_trusted_hops": 1,
            },
            ["77"],
        ),
    ],
)
def test_port_of_the_listener_unless_a_trusted_hop_said_it(
    make_core: CoreMaker, settings: dict[str, object], expected: list[str]
) -> None:
    core = make_core(hcm=settings)
    seen = json.loads(fetch(core.address, fields=[("x-forwarded-port", "77")]).body)
    own = core.address.rpartition(":")[2]
    ports = [value for name, value in seen["fields"] if name == "x-forwarded-port"]
    assert ports == [own if port == "own" else port for port in expected]
