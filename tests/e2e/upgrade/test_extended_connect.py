"""An HTTP/2 upstream is asked for a tunnel once it has said that it takes one: RFC 8441 3."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest
from h2.settings import SettingCodes
from tests.e2e.support.client import RawClient, fetch
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import access_log
from tests.e2e.support.h2_upstream import H2Upstream, Peer
from tests.e2e.upgrade.conftest import (
    ASK,
    END_S,
    FileProxyMaker,
    allow,
    h2_cluster,
    open_tunnel,
    until,
)

ALLOWS = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
REASON = "upstream connect error or disconnect/reset before headers. reset reason: "


def logging_proxy(file_proxy: FileProxyMaker, address: str, log: Path, **fields: object) -> Core:
    """A proxy to an upstream of HTTP/2, with the details of each answer in `log`."""
    lines = access_log(log, "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n")
    backend = {**h2_cluster(address), **fields}
    return file_proxy([backend], hcm=allow("raw", access_log=[lines]))


def test_it_waits_for_the_upstreams_settings(file_proxy: FileProxyMaker) -> None:
    """What needs no permission overtakes it on the same connection."""

    def script(peer: Peer, number: int) -> None:
        del number
        first = peer.ended()
        assert peer.requests[first][":method"] == "GET"
        assert len(peer.requests) == 1
        peer.quiet = False
        peer.respond(first, b"plain")
        second = peer.request()
        assert peer.requests[second][":protocol"] == "raw"
        peer.h2.send_headers(second, [(":status", "200")])
        peer.h2.send_data(second, b"hello", end_stream=True)
        peer.flush()
        assert peer.ended() == second

    with H2Upstream(script, settings=ALLOWS, quiet=True) as upstream:
        proxy = file_proxy([h2_cluster(upstream.address)], hcm=allow("raw"))
        with RawClient(proxy.addresses["main"]) as client:
            client.start("GET", "/", ASK)
            until(lambda: proxy.stats()["cluster.backend.upstream_rq_active"] == 1)
            assert fetch(proxy.addresses["main"]).body == b"plain"
            assert client.read_head().status == 101
            assert client.read_to_end() == b"hello"
        assert len(upstream.peers) == 1


@pytest.mark.parametrize("quiet", [False, True], ids=["early settings", "late settings"])
def test_an_upstream_that_does_not_allow_it_is_not_asked(
    file_proxy: FileProxyMaker, tmp_path: Path, quiet: bool
) -> None:
    def script(peer: Peer, number: int) -> None:
        del number
        for _ in range(2):
            stream = peer.ended()
            peer.quiet = False
            peer.respond(stream, b"plain")
        peer.run_until_gone(lambda _: None)

    log = tmp_path / "log"
    with H2Upstream(script, quiet=quiet) as upstream:
        proxy = logging_proxy(file_proxy, upstream.address, log)
        with RawClient(proxy.addresses["main"]) as client:
            client.start("GET", "/", ASK)
            if quiet:
                until(lambda: proxy.stats()["cluster.backend.upstream_rq_active"] == 1)
                assert fetch(proxy.addresses["main"]).body == b"plain"
            answer = client.read_response()
            expected = f"{REASON}extended CONNECT is not enabled by the upstream"
            assert (answer.status, answer.body.decode()) == (503, expected)
        assert fetch(proxy.addresses["main"]).body == b"plain"  # the connection goes on
        with RawClient(proxy.addresses["main"]) as client:  # and is known now
            assert open_tunnel(client).status == 503
        assert all(":protocol" not in fields for fields in upstream.peers[0].requests.values())
        assert len(upstream.peers) == 1
        until(lambda: log.read_text().count("503") == 2)
    detail = "upstream_reset_before_response_started{extended_connect_not_enabled}"
    declined = [line for line in log.read_text().splitlines() if line.startswith("503")]
    assert declined == [f"503 LR {detail}"] * 2


def test_settings_that_do_not_come_are_waited_for_as_a_connection_is(
    file_proxy: FileProxyMaker, tmp_path: Path
) -> None:
    asked = threading.Event()

    def script(peer: Peer, number: int) -> None:
        del number
        with suppress(TimeoutError):
            peer.request()
            asked.set()

    with H2Upstream(script, settings=ALLOWS, quiet=True) as upstream:
        log = tmp_path / "log"
        proxy = logging_proxy(file_proxy, upstream.address, log, connect_timeout="0.3s")
        with RawClient(proxy.addresses["main"], timeout_s=END_S) as client:
            assert open_tunnel(client).status == 503
        until(lambda: log.read_text())
        detail = "upstream_reset_before_response_started{connection_timeout|no_HTTP/2_SETTINGS}"
        assert log.read_text() == f"503 UF {detail}\n"
        assert proxy.stats()["cluster.backend.upstream_rq_active"] == 0
        assert not asked.is_set()


@pytest.mark.parametrize("how", ["client", "upstream"])
def test_one_side_that_goes_meanwhile(file_proxy: FileProxyMaker, how: str) -> None:
    go = threading.Event()

    def script(peer: Peer, number: int) -> None:
        del number
        assert go.wait(END_S)
        if how == "client":
            peer.quiet = False
            peer.flush()
            peer.respond(peer.ended(), b"plain")

    with H2Upstream(script, settings=ALLOWS, quiet=True) as upstream:
        proxy = file_proxy([h2_cluster(upstream.address)], hcm=allow("raw"))
        client = RawClient(proxy.addresses["main"])
        client.start("GET", "/", ASK)
        until(lambda: proxy.stats()["cluster.backend.upstream_rq_active"] == 1)
        if how == "client":
            client.abort()
            until(lambda: proxy.stats()["cluster.backend.upstream_rq_active"] == 0)
        go.set()
        if how == "client":
            assert fetch(proxy.addresses["main"]).body == b"plain"
        else:
            assert client.read_response().status == 503
            client.close()
