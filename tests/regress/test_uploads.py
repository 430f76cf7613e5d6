"""Uploads whose reading stops and must go on."""

from __future__ import annotations

import json

from tests.e2e.protocol.conftest import CoreMaker
from tests.e2e.support.client import RawClient
from tests.e2e.support.envoy_config import cluster
from tests.e2e.support.upstream import Upstream


def test_body_behind_a_head_beyond_the_watermark_is_read_on(
    make_core: CoreMaker, upstream: Upstream
) -> None:
    """The head alone fills the upstream's queue, so reading stops with the body in the input."""
    small = cluster(upstream.address, per_connection_buffer_limit_bytes=8192)
    core = make_core([small], listener={"per_connection_buffer_limit_bytes": 8192})
    body = b"b" * 300_000
    fields = [(f"x-{i}", "v" * 1000) for i in range(40)]
    with RawClient(core.address) as client:
        client.request()  # an upstream connection waits from now on
        for _ in range(3):
            response = client.request("POST", "/", fields, body)
            assert response.status == 200
            assert len(json.loads(response.body)["body"]) == len(body)
