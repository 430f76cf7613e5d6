"""Whole configurations: what is taken, what is refused, and with which words."""

# ruff: noqa: E501 - tables with one case a line

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.conftest import HCM, ROUTE, TYPES, Change, Document

from moebridge.config.load import load, load_text
from moebridge.config.model import decode, encode
from moebridge.errors import ConfigError

DYNAMIC = "dynamic_modules.v3.DynamicModuleFilter"
STRUCT = "type.googleapis.com/google.protobuf.Struct"
PER_ROUTE = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig"}


def python_filter(d: Document, value: object = None, **more: object) -> object:
    d.add_filter(
        "api_key",
        DYNAMIC,
        dynamic_module_config={"name": "moebridge"},
        filter_name="a:B",
        filter_config={"@type": STRUCT, "value": value if value is not None else {}},
        **more,
    )
    return None


def native_filter(d: Document, name: str, value: object) -> None:
    d.add_filter(
        "native",
        DYNAMIC,
        dynamic_module_config={"name": "moebridge_native"},
        filter_name=name,
        filter_config={"@type": STRUCT, "value": value},
    )


def headers(d: Document, **option: object) -> None:
    d.route["request_headers_to_add"] = [option]


def weights(*values: int | None) -> dict[str, Any]:
    clusters = [{"name": "backend"} | ({} if v is None else {"weight": v}) for v in values]
    return {"weighted_clusters": {"clusters": clusters}}


def second_cluster(d: Document) -> None:
    d.root["static_resources"]["clusters"].append({"name": "backend"})


def endpoint(d: Document) -> dict[str, Any]:
    found = d.cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    address: dict[str, Any] = found["address"]["socket_address"]
    return address


ENDPOINT = "static_resources.clusters[0].load_assignment.endpoints[0].lb_endpoints[0]"
NOT_YET = "is Envoy's, moebridge does not have it yet"

INVALID: dict[str, tuple[Change, str, str]] = {
    "unknown field": (lambda d: d.hcm.update(stat_prefixx="a"), f"{HCM}.stat_prefixx", "unknown field (did you mean stat_prefix?)"),
    "unknown field far off": (lambda d: d.root.update(zzz=1), "zzz", "unknown field"),
    "field not yet": (lambda d: d.hcm.update(tracing={}), f"{HCM}.tracing", NOT_YET),
    "bootstrap field not yet": (lambda d: d.root.update(admin={}), "admin", NOT_YET),
    "retries not yet": (lambda d: d.route["route"].update(retry_policy={"retry_on": "5xx"}), f"{ROUTE}.route.retry_policy", NOT_YET),
    "absolute form refused": (lambda d: d.hcm.update(http_protocol_options={"allow_absolute_url": False}), f"{HCM}.http_protocol_options.allow_absolute_url", f"false {NOT_YET}"),
    "accepts of a turn": (lambda d: d.listener.update(max_connections_to_accept_per_socket_event=4), "static_resources.listeners[0].max_connections_to_accept_per_socket_event", NOT_YET),
    "enum not yet": (lambda d: d.cluster.update(lb_policy="MAGLEV"), "static_resources.clusters[0].lb_policy", f"MAGLEV {NOT_YET}"),
    "enum misspelt": (lambda d: d.cluster.update(lb_policy="ROUND_ROBBIN"), "static_resources.clusters[0].lb_policy", "(did you mean ROUND_ROBIN?)"),
    "type not yet": (lambda d: d.add_filter("lua", "lua.v3.Lua"), f"{HCM}.http_filters[0].typed_config[\"@type\"]", f"envoy.extensions.filters.http.lua.v3.Lua {NOT_YET}"),
    "type misspelt": (lambda d: d.add_filter("r", "router.v3.Ruter"), f"{HCM}.http_filters[0].typed_config[\"@type\"]", "(did you mean envoy.extensions.filters.http.router.v3.Router?)"),
    "type in the wrong place": (lambda d: d.add_filter("r", "header_mutation.v3.HeaderMutationPerRoute"), f"{HCM}.http_filters[0].typed_config[\"@type\"]", "cannot stand here"),
    "no type": (lambda d: d.hcm["http_filters"][0]["typed_config"].clear(), f"{HCM}.http_filters[0].typed_config[\"@type\"]", "is required"),
    "filter without config": (lambda d: d.hcm["http_filters"][0].pop("typed_config"), f"{HCM}.http_filters[0].typed_config", "is required"),
    "wrong type": (lambda d: d.hcm.update(server_name=8080), f"{HCM}.server_name", "expected string, got number 8080 (put it in quotes)"),
    "list for object": (lambda d: d.hcm.update(route_config=[]), f"{HCM}.route_config", "expected object, got list"),
    "object for list": (lambda d: d.routes.update(virtual_hosts={}), f"{HCM}.route_config.virtual_hosts", "expected list, got object"),
    "number out of range": (lambda d: d.hcm.update(xff_num_trusted_hops=2**32), f"{HCM}.xff_num_trusted_hops", "is not in 0 .. 4294967295"),
    "rule lte": (lambda d: d.hcm.update(max_request_headers_kb=9000), f"{HCM}.max_request_headers_kb", "must be <= 8192, got 9000"),
    "rule gt of a duration": (lambda d: d.cluster.update(connect_timeout="0s"), "static_resources.clusters[0].connect_timeout", "must be > 0s, got 0s"),
    "duration without unit": (lambda d: d.hcm.update(stream_idle_timeout=5), f"{HCM}.stream_idle_timeout", 'expected duration such as "0.25s", got number 5'),
    "negative duration": (lambda d: d.route["route"].update(timeout="-1s"), f"{ROUTE}.route.timeout", "cannot be negative"),
    "missing required": (lambda d: d.hcm.pop("stat_prefix"), f"{HCM}.stat_prefix", "is required"),
    "empty required": (lambda d: d.hcm.update(stat_prefix=""), f"{HCM}.stat_prefix", "must not be empty"),
    "no address": (lambda d: d.listener.pop("address"), "static_resources.listeners[0].address", "is required"),
    "no port": (lambda d: d.listener["address"]["socket_address"].pop("port_value"), "static_resources.listeners[0].address.socket_address", "port_value is required"),
    "no domains": (lambda d: d.host.update(domains=[]), f"{HCM}.route_config.virtual_hosts[0].domains", "must not be empty"),
    "no route specifier": (lambda d: d.hcm.pop("route_config"), HCM, "route_config is required"),
    "oneof without value": (lambda d: d.route.update(match={}), f"{ROUTE}.match", "one of prefix, path, safe_regex, connect_matcher, path_separated_prefix is required"),
    "both of a oneof": (lambda d: d.route.update(match={"prefix": "/", "path": "/a"}), f"{ROUTE}.match", "only one of prefix and path can be given"),
    "both spellings": (lambda d: d.hcm.update(statPrefix="a"), f"{HCM}.stat_prefix", "given twice, as stat_prefix and statPrefix"),
    "null in a list": (lambda d: d.host["routes"].append(None), f"{HCM}.route_config.virtual_hosts[0].routes[1]", "expected object, got null"),
    "unknown cluster": (lambda d: d.route.update(route={"cluster": "bakend"}), f"{ROUTE}.route.cluster", 'unknown cluster "bakend" (did you mean backend?)'),
    "unknown weighted cluster": (lambda d: d.route.update(route={"weighted_clusters": {"clusters": [{"name": "x", "weight": 1}]}}), f"{ROUTE}.route.weighted_clusters.clusters[0].name", 'unknown cluster "x"'),
    "duplicate cluster": (second_cluster, "static_resources.clusters[1].name", 'duplicate cluster name "backend"'),
    "duplicate listener": (lambda d: d.root["static_resources"]["listeners"].append(d.listener), "static_resources.listeners[1].name", 'duplicate listener name "main"'),
    "duplicate virtual host": (lambda d: d.routes["virtual_hosts"].append({"name": "all", "domains": ["a"]}), f"{HCM}.route_config.virtual_hosts[1].name", 'duplicate virtual host name "all"'),
    "two stars": (lambda d: d.routes["virtual_hosts"].append({"name": "b", "domains": ["*"]}), f"{HCM}.route_config.virtual_hosts[1].domains[0]", 'duplicate domain "*"'),
    "duplicate domain in other case": (lambda d: d.host.update(domains=["a.b", "A.B"]), f"{HCM}.route_config.virtual_hosts[0].domains[1]", 'duplicate domain "a.b"'),
    "star in the middle": (lambda d: d.host.update(domains=["a*b"]), f"{HCM}.route_config.virtual_hosts[0].domains[0]", "* can only be first or last"),
    "two stars in a domain": (lambda d: d.host.update(domains=["*a*"]), f"{HCM}.route_config.virtual_hosts[0].domains[0]", "* can only be first or last"),
    "empty domain": (lambda d: d.host.update(domains=[""]), f"{HCM}.route_config.virtual_hosts[0].domains[0]", "must not be empty"),
    "domain with a path": (lambda d: d.host.update(domains=["a.b/c"]), f"{HCM}.route_config.virtual_hosts[0].domains[0]", "is no domain"),
    "weights of zero": (lambda d: d.route.update(route=weights(0, 0)), f"{ROUTE}.route.weighted_clusters.clusters", "the sum of the weights must be > 0"),
    "no weight": (lambda d: d.route.update(route=weights(1, None)), f"{ROUTE}.route.weighted_clusters.clusters[1].weight", "is required"),
    "weights too large": (lambda d: d.route.update(route=weights(2**31, 2**31)), f"{ROUTE}.route.weighted_clusters.clusters", "is not below 2**32"),
    "two rewrites": (lambda d: d.route["route"].update(prefix_rewrite="/a", regex_rewrite={"pattern": {"regex": "a"}, "substitution": ""}), f"{ROUTE}.route", "only one of prefix_rewrite and regex_rewrite"),
    "direct response too large": (lambda d: d.route.update(route=None, direct_response={"status": 200, "body": {"inline_string": "a" * 4097}}), f"{ROUTE}.direct_response.body", "4097 bytes, more than max_direct_response_body_size_bytes (4096)"),
    "direct response status": (lambda d: d.route.update(route=None, direct_response={"status": 99}), f"{ROUTE}.direct_response.status", "must be >= 200, got 99"),
    "redirect port": (lambda d: d.route.update(route=None, redirect={"port_redirect": 70000}), f"{ROUTE}.redirect.port_redirect", "must be <= 65535"),
    "missing body file": (lambda d: d.route.update(route=None, direct_response={"status": 200, "body": {"filename": "/no/such"}}), f"{ROUTE}.direct_response.body.filename", "cannot be read: No such file"),
    "pseudo-header added": (lambda d: headers(d, header={"key": ":path", "value": "a"}), f"{ROUTE}.request_headers_to_add[0].header.key", "pseudo-headers and host cannot be changed"),
    "host added": (lambda d: headers(d, header={"key": "Host", "value": "a"}), f"{ROUTE}.request_headers_to_add[0].header.key", "pseudo-headers and host cannot be changed"),
    "header name": (lambda d: headers(d, header={"key": "a b"}), f"{ROUTE}.request_headers_to_add[0].header.key", '"a b" is no header name'),
    "header value with LF": (lambda d: headers(d, header={"key": "a", "value": "b\nc"}), f"{ROUTE}.request_headers_to_add[0].header.value", "must not contain CR, LF or NUL"),
    "header value format": (lambda d: headers(d, header={"key": "a", "value": "100%"}), f"{ROUTE}.request_headers_to_add[0].header.value", "no operator after %"),
    "append twice": (lambda d: headers(d, header={"key": "a"}, append=True, append_action="ADD_IF_ABSENT"), f"{ROUTE}.request_headers_to_add[0]", "only one of append and append_action"),
    "matcher name": (lambda d: d.route["match"].update(headers=[{"name": ":nope"}]), f"{ROUTE}.match.headers[0].name", '":nope" is no header name'),
    "no router": (lambda d: d.hcm.update(http_filters=[]), f"{HCM}.http_filters", "is required: at least the router"),
    "router not last": (lambda d: d.hcm["http_filters"].append(d.hcm["http_filters"][0]), f"{HCM}.http_filters[0]", "must be the last filter"),
    "last is no router": (lambda d: (d.add_filter("h", "header_mutation.v3.HeaderMutation"), d.hcm["http_filters"].pop()), f"{HCM}.http_filters[0]", "the last must be the router"),
    "router disabled": (lambda d: d.hcm["http_filters"][0].update(disabled=True), f"{HCM}.http_filters[0].disabled", "the router cannot be disabled"),
    "two filter chains": (lambda d: d.listener["filter_chains"].append(d.listener["filter_chains"][0]), "static_resources.listeners[0].filter_chains[1].filter_chain_match", "has the same matching rules as filter_chains[0]"),
    "listener by name": (lambda d: d.listener["address"]["socket_address"].update(address="localhost"), "static_resources.listeners[0].address.socket_address.address", '"localhost" is no IP address'),
    "port range": (lambda d: d.listener["address"]["socket_address"].update(port_value=65536), "static_resources.listeners[0].address.socket_address.port_value", "must be <= 65535"),
    "no buffer limit": (lambda d: d.listener.update(per_connection_buffer_limit_bytes=0), "static_resources.listeners[0].per_connection_buffer_limit_bytes", NOT_YET),
    "static host name": (lambda d: endpoint(d).update(address="db.local"), f"{ENDPOINT}.endpoint.address.socket_address.address", "that needs type: STRICT_DNS"),
    "endpoint in brackets": (lambda d: endpoint(d).update(address="[::1]"), f"{ENDPOINT}.endpoint.address.socket_address.address", "without brackets"),
    "endpoint port 0": (lambda d: endpoint(d).update(port_value=0), f"{ENDPOINT}.endpoint.address.socket_address.port_value", "must be in 1 .. 65535"),
    "priority not yet": (lambda d: d.cluster["load_assignment"]["endpoints"][0].update(priority=1), "static_resources.clusters[0].load_assignment.endpoints[0].priority", NOT_YET),
    "strip both ports": (lambda d: d.hcm.update(strip_any_host_port=True, strip_matching_host_port=True), HCM, "only one of strip_matching_host_port"),
    "upstream option downstream": (lambda d: d.hcm.update(common_http_protocol_options={"max_response_headers_kb": 5}), f"{HCM}.common_http_protocol_options.max_response_headers_kb", f"{NOT_YET} here"),
    "override of no filter": (lambda d: d.route.update(typed_per_filter_config={"x.y": {**PER_ROUTE, "disabled": True}}), f'{ROUTE}.typed_per_filter_config["x.y"]', "no filter of this name in http_filters"),
    "override of another kind": (lambda d: (python_filter(d), d.route.update(typed_per_filter_config={"api_key": {"@type": TYPES + "header_mutation.v3.HeaderMutationPerRoute"}})), f"{ROUTE}.typed_per_filter_config.api_key", "is for header_mutation, the filter is a:B"),
    "option misspelt": (lambda d: python_filter(d, {"@moebridge": {"on_eror": 1}}), f'{HCM}.http_filters[0].typed_config.filter_config.value["@moebridge"].on_eror', "unknown option (did you mean on_error?)"),
    "option value": (lambda d: python_filter(d, {"@moebridge": {"hook_timeout_s": -1}}), f'{HCM}.http_filters[0].typed_config.filter_config.value["@moebridge"].hook_timeout_s', "expected seconds > 0"),
    "no filter name": (lambda d: d.add_filter("x", DYNAMIC, dynamic_module_config={"name": "moebridge"}), f"{HCM}.http_filters[0].typed_config.filter_name", "is required"),
    "no module": (lambda d: d.add_filter("x", DYNAMIC, filter_name="a:B"), f"{HCM}.http_filters[0].typed_config.dynamic_module_config", "is required"),
    "built-in filter misspelt": (lambda d: native_filter(d, "body_scam", {}), f"{HCM}.http_filters[0].typed_config.filter_name", "(did you mean body_scan?)"),
    "options on a native filter": (lambda d: native_filter(d, "body_scan", {"@moebridge": {}}), f'{HCM}.http_filters[0].typed_config.filter_config.value["@moebridge"]', "only Python filters have these options"),
    "built-in filter's field": (lambda d: native_filter(d, "header_mutation", {"mutation": {}}), f"{HCM}.http_filters[0].typed_config.filter_config.value.mutation", "unknown field (did you mean mutations?)"),
    "htpasswd": (lambda d: d.add_filter("a", "basic_auth.v3.BasicAuth", users={"inline_string": "ann:secret"}), f"{HCM}.http_filters[0].typed_config.users", "line 1: expected name:{SHA}base64"),
    "grpc_web has no fields": (lambda d: d.add_filter("w", "grpc_web.v3.GrpcWeb", text=True), f"{HCM}.http_filters[0].typed_config.text", "unknown field"),
    "grpc_web has nothing per route": (lambda d: (d.add_filter("w", "grpc_web.v3.GrpcWeb"), d.route.update(typed_per_filter_config={"w": {"@type": TYPES + "grpc_web.v3.GrpcWeb"}})), f"{ROUTE}.typed_per_filter_config.w[\"@type\"]", "DynamicModuleFilterPerRoute"),
    "no users": (lambda d: d.add_filter("a", "basic_auth.v3.BasicAuth"), f"{HCM}.http_filters[0].typed_config.users", "is required"),
    "NaN in a Struct": (lambda d: python_filter(d, {"a": [1, float("nan")]}), f"{HCM}.http_filters[0].typed_config.filter_config.value.a[1]", "nan is no JSON number"),
    "half a surrogate": (lambda d: d.hcm.update(via="\ud800"), f"{HCM}.via", "half a surrogate"),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_one_fault_is_reported_with_its_path(case: str, document: Document) -> None:
    change, path, message = INVALID[case]
    change(document)
    found = document.faults()
    assert any(p == path and message in m for p, m in found), found
    assert len(found) <= 2, "one mistake must not be reported many times"


VALID: dict[str, Change] = {
    "defaults of fields that are not there yet": lambda d: d.listener.update(transparent=None, listener_filters=[], traffic_direction="UNSPECIFIED", enable_mptcp=False),
    "absolute form taken": lambda d: d.hcm.update(http_protocol_options={"allow_absolute_url": True}),
    "numbers as text": lambda d: d.listener["address"]["socket_address"].update(port_value="8080"),
    "integral float": lambda d: d.hcm.update(xff_num_trusted_hops=2.0),
    "enum by number": lambda d: d.hcm.update(codec_type=1),
    "bool as text": lambda d: d.hcm.update(use_remote_address="true"),
    "null is absent": lambda d: d.hcm.update(via=None, tracing=None),
    "unknown cluster without validation": lambda d: (d.routes.update(validate_clusters=False), d.route.update(route={"cluster": "x"})),
    "a larger direct response": lambda d: (d.routes.update(max_direct_response_body_size_bytes=5000), d.route.update(route=None, direct_response={"status": 200, "body": {"inline_string": "a" * 5000}})),
    "cluster without endpoints": lambda d: d.cluster.pop("load_assignment"),
    "wildcard domains": lambda d: d.host.update(domains=["*", "*.a.b", "*-x.a.b", "a.*", "a.b:80", "[::1]:80"]),
    "two filters of one name": lambda d: (python_filter(d), python_filter(d)),
    "filter without filter_config": lambda d: d.add_filter("x", DYNAMIC, dynamic_module_config={"name": "moebridge"}, filter_name="a:B"),
    "library": lambda d: d.add_filter("x", DYNAMIC, dynamic_module_config={"name": "mine"}, filter_name="f"),
    "override by a further class": lambda d: (python_filter(d), d.route.update(typed_per_filter_config={"api_key": {"@type": TYPES + DYNAMIC + "PerRoute", "dynamic_module_config": {"name": "moebridge"}, "per_route_config_name": "c:D"}})),
    "switched on per route": lambda d: (python_filter(d), d.hcm["http_filters"][0].update(disabled=True), d.route.update(typed_per_filter_config={"api_key": {**PER_ROUTE, "config": {}}})),
    "raw buffer": lambda d: d.cluster.update(transport_socket={"name": "x", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}),
    "default filter chain": lambda d: d.listener.update(default_filter_chain=d.listener.pop("filter_chains")[0]),
    "no listener at all": lambda d: d.root.pop("static_resources"),
    "older header matchers": lambda d: d.route["match"].update(headers=[{"name": "a", "exact_match": ""}, {"name": "b", "safe_regex_match": {"google_re2": {}, "regex": "c"}}, {"name": "d"}]),
    "value in an environment variable": lambda d: d.route.update(route=None, direct_response={"status": 200, "body": {"environment_variable": "PATH"}}),
}  # fmt: skip


@pytest.mark.parametrize("case", VALID)
def test_valid_configuration_is_taken(case: str, document: Document) -> None:
    VALID[case](document)
    data = encode(document.load())
    assert encode(decode(data)) == data


def test_all_faults_of_a_file_come_at_once(document: Document) -> None:
    for case in ("unknown field", "field not yet", "unknown cluster", "port range", "no weight"):
        INVALID[case][0](document)
    document.cluster["lb_policy"] = "MAGLEV"
    assert len(document.faults()) == 5


def test_mistakes_without_number_are_cut(document: Document) -> None:
    document.host["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "x"}}] * 1000
    found = document.faults()
    assert len(found) == 201
    assert found[-1] == ("", "800 more faults are not shown")


def test_faults_name_the_file_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("admin: {}\nstatic_resorces: {}\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).splitlines() == [
        f"{path}: admin: is Envoy's, moebridge does not have it yet",
        f"{path}: static_resorces: unknown field (did you mean static_resources?)",
    ]


@pytest.mark.parametrize("text", ["", "null", "# only a comment\n"])
def test_empty_file_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="empty: expected an object with static_resources"):
        load_text(text)


@pytest.mark.parametrize("text", ["[]", "5", "just text"])
def test_file_without_object_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected object, got"):
        load_text(text)


def test_json_and_yaml_of_the_same_file_agree(document: Document) -> None:
    assert load_text(json.dumps(document.root), is_json=True) == load_text(
        json.dumps(document.root)
    )


def test_dictionary_that_contains_itself_is_refused(document: Document) -> None:
    value: dict[str, Any] = {}
    value["again"] = value
    python_filter(document, value)
    assert any("nested more than" in message for _, message in document.faults())


def test_secret_of_a_user_stays_out_of_the_message(document: Document) -> None:
    document.add_filter("a", "basic_auth.v3.BasicAuth", users={"inline_string": "ann:hunter2"})
    assert not any("hunter2" in message for _, message in document.faults())


def test_nine_thousand_routes_cost_linear_work(document: Document) -> None:
    """Counts calls rather than seconds: twice the routes, twice the work."""
    import cProfile
    import pstats

    def calls(routes: int) -> int:
        document.host["routes"] = [
            {"match": {"prefix": f"/{i}"}, "name": f"r{i}", "route": {"cluster": "backend"}}
            for i in range(routes)
        ]
        profile = cProfile.Profile()
        profile.runcall(document.load)
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    base, double = calls(500), calls(1000)
    assert double < 2.2 * base
    assert calls(9000) < 20 * base
