"""What is said about requests: access logs, statistics; and clusters found by DNS."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.e2e.protocol.conftest import CoreMaker
from tests.e2e.support.client import RawClient, fetch
from tests.e2e.support.envoy_config import access_log, cluster, direct, to
from tests.e2e.support.upstream import Upstream, fixed

DEFAULT = re.compile(
    r'\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "(?P<request>[^"]*)" (?P<code>\d+) (?P<flags>\S+) '
    r"(?P<received>\d+) (?P<sent>\d+) (?P<duration>\d+) (?P<service>\S+) "
    r'"(?P<xff>[^"]*)" "(?P<agent>[^"]*)" "(?P<id>[^"]*)" "(?P<host>[^"]*)" "(?P<upstream>[^"]*)"'
)


def test_default_format_is_envoys(make_core: CoreMaker, upstream: Upstream, tmp_path: Path) -> None:
    path = tmp_path / "default"
    core = make_core(hcm={"access_log": [access_log(path)]})
    upstream.handler = fixed(b"12345")
    fields = [("host", "h"), ("user-agent", "me"), ("x-forwarded-for", "1.2.3.4")]
    fetch(core.address, "/p?q", method="POST", fields=[*fields, ("x-request-id", "i")], body=b"abc")
    fetch(core.address, "/p")
    core.stats()
    first, second = (DEFAULT.fullmatch(line) for line in path.read_text().splitlines())
    assert first is not None
    assert second is not None
    assert first["request"] == "POST /p?q HTTP/1.1"
    assert [first[key] for key in "code flags received sent".split()] == ["200", "-", "3", "5"]
    assert [first[key] for key in "xff agent id host".split()] == ["1.2.3.4", "me", "i", "h"]
    assert first["upstream"] == upstream.address
    assert (second["xff"], second["agent"]) == ("-", "-")
    assert len(second["id"]) == 36


def test_json_keeps_numbers_and_names(make_core: CoreMaker, tmp_path: Path) -> None:
    path = tmp_path / "json"
    fields = {
        "code": "%RESPONSE_CODE%",
        "text": "%REQ(:METHOD)% %REQ(X-ODD)%",
        "missing": "%REQ(X-NONE)%",
        "nested": {"upstream": "%UPSTREAM_CLUSTER%", "number": 7},
    }
    core = make_core(hcm={"access_log": [access_log(path, json=fields)]})
    fetch(core.address, fields=[("x-odd", 'quote " back \\ tab \t é')])
    core.stats()
    line = json.loads(path.read_text("utf-8"))
    assert line["code"] == 200
    assert line["text"].startswith('GET quote " back \\ tab ')
    assert line["missing"] is None
    assert line["nested"] == {"upstream": "backend", "number": 7}


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("%PROTOCOL%", "HTTP/1.1"),
        ("%RESPONSE_CODE_DETAILS%", "via_upstream"),
        ("%ROUTE_NAME%", "named"),
        ("%REQ(X-A?X-B)%", "b"),
        ("%REQ(X-B):1%", "b"),
        ("%REQ(X-NONE)%", "-"),
        ("%RESP(X-ANSWER)%", "yes"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "127.0.0.1"),
        ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "1"),
        ("%UPSTREAM_TRANSPORT_FAILURE_REASON%", "-"),
        ("%START_TIME(%Y)%", r"\d{4}"),
        ("%START_TIME(%s)%", r"\d{10}"),
        ("%DURATION%", r"\d+"),
        ("%RESPONSE_DURATION%", r"\d+"),
        ("%CONNECTION_ID%", r"\d+"),
        ("%DYNAMIC_METADATA(a:b)%", "-"),
        ("100%%", "100%"),
    ],
)
def test_operator_in_a_log_line(
    make_core: CoreMaker, upstream: Upstream, tmp_path: Path, operator: str, value: str
) -> None:
    path = tmp_path / "text"
    upstream.handler = fixed(b"", fields=[("x-answer", "yes")])
    routes = [{**to(), "name": "named"}]
    core = make_core(hcm={"access_log": [access_log(path, operator + "\n")]}, routes=routes)
    fetch(core.address, fields=[("x-b", "b")])
    core.stats()
    assert re.fullmatch(value, path.read_text().rstrip("\n"))


def test_value_cannot_forge_a_line(make_core: CoreMaker, tmp_path: Path) -> None:
    path = tmp_path / "text"
    core = make_core(hcm={"access_log": [access_log(path, "%REQ(USER-AGENT)%\n")]})
    fetch(core.address, fields=[("user-agent", 'a" \x80 b')])
    core.stats()
    assert len(path.read_bytes().splitlines()) == 1


def test_statistics_have_envoys_names_and_count(make_core: CoreMaker) -> None:
    core = make_core(routes=[direct(404, prefix="/none"), to()])
    with RawClient(core.address) as client:
        for _ in range(3):
            client.request("POST", "/", body=b"abc")
        client.request("GET", "/none")
        stats = core.stats()
        assert stats["http.ingress.downstream_cx_active"] == 1
        assert stats["cluster.backend.upstream_cx_active"] == 1
    wanted = {
        "http.ingress.downstream_cx_total": 1,
        "http.ingress.downstream_rq_total": 4,
        "http.ingress.downstream_rq_2xx": 3,
        "http.ingress.downstream_rq_4xx": 1,
        "http.ingress.downstream_rq_completed": 4,
        "http.ingress.downstream_rq_active": 0,
        "http.ingress.rq_total": 3,
        "http.ingress.rq_direct_response": 1,
        f"listener.{core.address.replace(':', '_')}.downstream_cx_total": 1,
        "cluster.backend.upstream_cx_total": 1,
        "cluster.backend.upstream_cx_http1_total": 1,
        "cluster.backend.upstream_rq_total": 3,
        "cluster.backend.upstream_rq_completed": 3,
        "cluster.backend.upstream_rq_2xx": 3,
        "cluster.backend.upstream_rq_200": 3,
        "cluster.backend.upstream_rq_active": 0,
        "cluster.backend.upstream_rq_pending_active": 0,
        "cluster.backend.membership_total": 1,
        "cluster.backend.membership_healthy": 1,
    }
    assert {name: stats.get(name) for name in wanted} == wanted


def test_cluster_is_found_by_name(make_core: CoreMaker, upstream: Upstream) -> None:
    port = upstream.address.rpartition(":")[2]
    named = cluster(f"localhost:{port}", type="STRICT_DNS", dns_lookup_family="V4_ONLY")
    core = make_core([named])
    while not core.stats().get("cluster.backend.membership_total"):
        pass  # each look is a turn of the core's loop
    for _ in range(3):
        assert fetch(core.address).status == 200
    assert core.stats()["cluster.backend.update_success"] >= 1


def test_cluster_without_address_is_503_and_the_others_go_on(
    make_core: CoreMaker, upstream: Upstream
) -> None:
    clusters = [
        cluster("does-not-exist.invalid:80", name="nowhere", type="STRICT_DNS"),
        cluster(upstream.address),
    ]
    core = make_core(clusters, routes=[to("nowhere", prefix="/nowhere"), to()])
    with RawClient(core.address) as client:
        refused = client.request("GET", "/nowhere")
        assert (refused.status, refused.body) == (503, b"no healthy upstream")
        assert client.request().status == 200


def test_hosts_take_turns(make_core: CoreMaker) -> None:
    with Upstream(fixed(b"a")) as one, Upstream(fixed(b"b")) as two:
        core = make_core([one.address, two.address])
        with RawClient(core.address) as client:
            bodies = [client.request().body for _ in range(10)]
    assert bodies in ([b"a", b"b"] * 5, [b"b", b"a"] * 5)
