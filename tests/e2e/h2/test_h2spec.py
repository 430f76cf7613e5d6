"""h2spec: every case of its parts, in clear text and over TLS. There are no exceptions.

Behind the core is an upstream that answers when it has the whole request, so that a stream is still
open, or half closed, where a case says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.h2.conftest import downstream_tls
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import http_config
from tests.e2e.support.h2spec import build_h2spec, run_h2spec
from tests.e2e.support.upstream import Exchange, Upstream

# The first of them builds the program, and the core with sanitizers.
pytestmark = pytest.mark.timeout(1200)

#: Cases of each part, so that none goes missing.
COUNTS = {"generic": 44, "http2": 95, "hpack": 7}


async def _answer(exchange: Exchange) -> None:
    await exchange.read_body()
    await exchange.respond(body=b"an answer of some length, for windows to be too small for it")


@pytest.fixture(params=[False, True], ids=["h2c", "tls"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, bool]]:
    """(address, whether by TLS) of a core that takes HTTP/2 only."""
    build_h2spec()
    tls = bool(request.param)
    with Upstream(_answer) as upstream:
        config = http_config(upstream.address, hcm={"codec_type": "HTTP2"})
        if tls:
            chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
            chain["transport_socket"] = downstream_tls(tmp_path)
        with Core(config, tmp_path) as core:
            yield core.address, tls


@pytest.mark.parametrize("spec", COUNTS)
def test_every_case_passes(server: tuple[str, bool], spec: str, tmp_path: Path) -> None:
    address, tls = server
    cases = run_h2spec(address, spec, tmp_path / "report.xml", tls=tls)
    assert [case for case in cases if case.failure] == []
    assert len(cases) == COUNTS[spec]
