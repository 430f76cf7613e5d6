"""Reloads that change what a listener's statistics are called."""

from __future__ import annotations

from tests.e2e.protocol.conftest import CoreMaker
from tests.e2e.support.client import RawClient
from tests.e2e.support.envoy_config import http_config
from tests.e2e.support.upstream import Upstream


def test_gauges_go_to_the_new_names(make_core: CoreMaker, upstream: Upstream) -> None:
    core = make_core()
    with RawClient(core.address) as client:
        assert client.request().status == 200
        client.start("POST", "/", [("content-length", "3")])
        while core.stats()["http.ingress.downstream_rq_active"] != 1:
            pass
        core.apply(http_config(upstream.address, hcm={"stat_prefix": "other"}))
        stats = core.stats()
        for prefix, now in (("ingress", 0), ("other", 1)):
            assert stats[f"http.{prefix}.downstream_cx_active"] == now
            assert stats[f"http.{prefix}.downstream_rq_active"] == now
        client.send(b"abc")
        assert client.read_response().status == 200
        stats = core.stats()
        assert stats["http.other.downstream_rq_active"] == 0
        assert stats["http.other.downstream_cx_active"] == 1
        assert not [name for name in stats if name.startswith("listener.-.")]
