"""What the example files mean in the model."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from tests.unit.config.conftest import DATA, Document, hcm_of

from moebridge.config import model as m
from moebridge.config.filter_model import BasicAuth, HeaderMutation
from moebridge.config.load import load
from moebridge.config.value_model import LiteralSegment, OperatorSegment


@pytest.fixture(scope="module")
def routing() -> m.Config:
    return load(DATA / "envoy" / "routing.yaml")


def test_defaults_of_a_minimal_file(document: Document) -> None:
    listener = document.load().listeners[0]
    assert listener.addresses == [m.ListenAddress(host="127.0.0.1")]
    assert listener.max_connections == 10_000
    assert hcm_of(listener).timeouts == m.Timeouts()
    forward = hcm_of(listener).route_config.virtual_hosts[0].routes[0].action
    assert forward == m.Forward(targets=[m.ClusterTarget(name="backend")])


def test_listener_and_connection_manager(routing: m.Config) -> None:
    assert (routing.node_id, routing.node_cluster) == ("node-1", "edge")
    listener = routing.listeners[0]
    assert (listener.backlog, listener.max_connections) == (512, 500)
    hcm = hcm_of(listener)
    assert hcm.timeouts == m.Timeouts(
        request_ms=0, request_headers_ms=250, stream_idle_ms=60_000, idle_ms=30_000, drain_ms=1500
    )
    assert (hcm.server_name, hcm.server_header_transformation) == ("edge", "append_if_absent")
    assert (hcm.max_request_headers_bytes, hcm.max_uri_bytes) == (32_768, 32_768)
    assert (hcm.max_headers_count, hcm.max_requests_per_connection) == (50, 1000)
    assert hcm.headers_with_underscores_action == "reject_request"
    assert hcm.path_with_escaped_slashes_action == "unescape_and_redirect"
    assert hcm.strip_host_port == "matching"
    assert hcm.internal_cidr_ranges == [m.CidrRange(address="10.0.0.0", prefix_len=8)]
    assert hcm.http1 == m.Http1Options(accept_http_10=True, default_host_for_http_10="old.example")
    assert hcm.suppress_envoy_headers


def test_routes(routing: m.Config) -> None:
    routes = hcm_of(routing.listeners[0]).route_config
    assert routes.most_specific_header_mutations_wins
    assert routes.headers.request_add == [
        m.HeaderAdd(
            name="x-client",
            value=[OperatorSegment(op="DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", empty="")],
            append_action="overwrite_if_exists_or_add",
        )
    ]
    exact = routes.virtual_hosts[0]
    assert exact.metadata == {"team": {"owner": "web", "level": 3}}
    redirect, api, users, rest = exact.routes
    assert redirect.action == m.Redirect(status=308, scheme="https", path="/new", strip_query=True)
    assert not redirect.match.path.case_sensitive
    assert isinstance(api.action, m.Forward)
    assert (api.action.timeout_ms, api.action.idle_timeout_ms) == (2500, 0)
    assert api.action.host_rewrite == m.HostRewrite(kind="literal", value="api.internal")
    assert users.match.headers == [
        m.HeaderMatch(name=":method", kind="exact", value="GET"),
        m.HeaderMatch(name="x-version", kind="range", range_start=2, range_end=5),
        m.HeaderMatch(name="x-debug", kind="present", invert_match=True),
        m.HeaderMatch(
            name="x-kind",
            kind="prefix",
            value="A",
            ignore_case=True,
            treat_missing_header_as_empty=True,
        ),
    ]
    assert users.match.query_parameters[1].present is False
    assert isinstance(users.action, m.Forward)
    assert users.action.idle_timeout_ms == 60_000, "the listener's, where the route says nothing"
    assert (users.action.cluster_header, users.action.cluster_not_found_status) == (
        "x-cluster",
        404,
    )
    assert isinstance(rest.action, m.Forward)
    assert [(t.name, t.weight) for t in rest.action.targets] == [("static", 90), ("named", 10)]
    assert rest.action.host_rewrite == m.HostRewrite(kind="auto")


def test_clusters(routing: m.Config) -> None:
    static, named = routing.clusters
    assert static.circuit_breaker == m.CircuitBreaker(
        max_connections=10, max_pending_requests=20, max_requests=30, max_retries=1
    )
    assert static.http == m.UpstreamHttp(
        idle_timeout_ms=10_000, max_requests_per_connection=100, enable_trailers=True
    )
    assert static.tcp_keepalive == m.TcpKeepalive(probes=3, time_s=30)
    assert static.endpoints == [
        m.Endpoint(host="127.0.0.1", port=9001, weight=3, hostname="one.internal"),
        m.Endpoint(host="::1", port=9002),
    ]
    assert (named.type, named.stat_name, named.dns_lookup_family) == (
        "strict_dns",
        "named_stats",
        "v4_preferred",
    )
    assert (named.dns_failure_refresh_base_ms, named.dns_failure_refresh_max_ms) == (1000, 10_000)
    assert named.endpoints[0].hostname == "localhost"


def test_built_in_filters_and_logs() -> None:
    hcm = hcm_of(load(DATA / "envoy" / "filters.yaml").listeners[0])
    auth, web, headers, router = hcm.http_filters
    assert (web.module, web.filter, web.config) == ("native", "grpc_web", None)
    assert isinstance(auth.config, BasicAuth)
    assert auth.disabled
    assert [user.name for user in auth.config.users] == ["ann", "bob"]
    assert auth.config.users[0].sha1 == hashlib.sha1(b"test", usedforsecurity=False).digest()
    assert (auth.config.forward_username_header, auth.config.authentication_header) == (
        "x-user",
        "authorization",
    )
    assert isinstance(headers.config, HeaderMutation)
    assert [step.kind for step in headers.config.request] == ["append", "remove"]
    assert (router.module, router.filter) == ("native", "router")
    host = hcm.route_config.virtual_hosts[0]
    assert host.per_filter["auth"] == m.PerFilter()
    assert host.routes[0].per_filter["auth"] == m.PerFilter(disabled=True)
    admin = host.routes[1].per_filter["auth"].config
    assert isinstance(admin, BasicAuth)
    assert admin.forward_username_header == "x-user", "taken over from the chain"
    default, as_json, file = hcm.access_logs
    assert (default.sink, as_json.sink, file.sink, file.path) == (
        "stdout", "stderr", "file", "/dev/null",
    )  # fmt: skip
    assert as_json.format[-1] == LiteralSegment(text="}\n")
    assert all(s.empty == "" for s in file.format if isinstance(s, OperatorSegment))


def test_python_filters() -> None:
    hcm = hcm_of(load(DATA / "moebridge" / "python_filters.yaml").listeners[0])
    key, scan, stage, mine, _ = hcm.http_filters
    assert key == m.HttpFilter(
        name="api_key",
        module="python",
        filter="my_filters:ApiKey",
        config={"keys": {"s3cret": "ann"}},
        options=m.FilterOptions(on_error="fail_open", hook_timeout_ms=1500, name="keys"),
    )
    assert (scan.module, scan.filter, scan.config) == ("native", "body_scan", {"pattern": "needle"})
    assert isinstance(stage.config, HeaderMutation)
    assert (mine.module, mine.filter, mine.config) == ("libexample.so", "counter", "text")
    override = hcm.route_config.virtual_hosts[0].routes[0].per_filter["api_key"]
    assert override == m.PerFilter(
        config={"keys": {"partner": "bob"}},
        has_config=True,
        filter="my_filters:PartnerKey",
        options=m.FilterOptions(on_error="fail_open", name="keys"),
    )


def test_short_duration_is_never_rounded_to_off(document: Document) -> None:
    document.hcm["stream_idle_timeout"] = "0.0001s"
    assert hcm_of(document.load().listeners[0]).timeouts.stream_idle_ms == 1


def test_document_holds_every_field_under_its_name(routing: m.Config) -> None:
    plain = msgspec.msgpack.decode(m.encode(routing))
    assert plain["version"] == m.MODEL_VERSION
    assert plain["listeners"][0].keys() == {f.name for f in msgspec.structs.fields(m.Listener)}
    action = plain["listeners"][0]["filter_chains"][0]["hcm"]["route_config"]["virtual_hosts"][1][
        "routes"
    ][0]["action"]
    assert action == {"kind": "direct_response", "status": 200, "body": b"ok\n"}
