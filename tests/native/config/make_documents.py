"""Writes what moebridge.config sends to the core: documents.h for C tests, seeds for fuzz_config.

In documents.h it is JSON. The C tests read (and spoil) these documents, so that they follow the
typed model; test_documents.py fails when the model has changed and this was not run again.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import msgspec

from moebridge.config import filter_model as fm
from moebridge.config import listener_filter_model as lf
from moebridge.config import model as m

HERE = Path(__file__).resolve().parent
HEADER = HERE / "documents.h"
SEEDS = HERE.parent.parent / "fuzz" / "corpus" / "fuzz_config"
_LINE = 92

ROUTER = m.HttpFilter(name="router", module="native", filter="router")
ADD = m.HeaderAdd(
    name="x-via",
    value=[m.LiteralSegment(text="by "), m.OperatorSegment(op="PROTOCOL", empty="")],
    append_action="overwrite_if_exists_or_add",
    keep_empty_value=True,
)
CHANGES = m.HeaderChanges(
    request_add=[ADD], request_remove=["x-drop"], response_add=[ADD], response_remove=["x-gone"]
)
LOG = m.AccessLog(
    sink="stdout",
    format=[
        m.OperatorSegment(op="RESPONSE_CODE"),
        m.LiteralSegment(text=" "),
        m.OperatorSegment(op="REQ", arg="x-a", alt_arg=":path", max_bytes=10),
        m.LiteralSegment(text="\n"),
    ],
)


def mutation(name: str) -> fm.HeaderMutation:
    return fm.HeaderMutation(request=[fm.Mutation(kind="remove", name=name)])


def minimal() -> m.Config:
    """One of everything, as short as can be."""
    route = m.Route(
        match=m.RouteMatch(path=m.PathMatch(kind="prefix", value="/")),
        action=m.Forward(targets=[m.ClusterTarget(name="backend")]),
    )
    hosts = [m.VirtualHost(name="all", domains=["*"], routes=[route])]
    hcm = m.Hcm(
        stat_prefix="ingress",
        route_config=m.RouteConfig(virtual_hosts=hosts),
        http_filters=[
            m.HttpFilter(name="probe", module="python", filter="probe", config=7),
            ROUTER,
        ],
    )
    return m.Config(
        listeners=[
            m.Listener(
                name="main",
                addresses=[m.ListenAddress(host="127.0.0.1")],
                filter_chains=[m.FilterChain(hcm=hcm)],
            )
        ],
        clusters=[m.Cluster(name="backend", endpoints=[m.Endpoint(host="127.0.0.1", port=80)])],
    )


def _routes() -> list[m.Route]:
    span = m.HeaderMatch(name="x-n", kind="range", range_start=-5, range_end=9, invert_match=True)
    matchers = [
        m.HeaderMatch(name=":method", kind="exact", value="GET", ignore_case=True),
        m.HeaderMatch(name="x-re", kind="safe_regex", value="a+|b", present=False),
        span,
    ]
    weighted = [
        m.ClusterTarget(
            name="backend", weight=30, per_filter={"probe": m.PerFilter(disabled=True)}
        ),
        m.ClusterTarget(name="names", weight=70, headers=CHANGES, host_rewrite_literal="w.test"),
    ]
    return [
        m.Route(
            name="weighted",
            match=m.RouteMatch(
                path=m.PathMatch(kind="path_separated_prefix", value="/a", case_sensitive=False),
                headers=matchers,
                query_parameters=[m.QueryParameterMatch(name="q", kind="present")],
            ),
            action=m.Forward(
                targets=weighted,
                cluster_not_found_status=404,
                prefix_rewrite="/b",
                host_rewrite=m.HostRewrite(kind="literal", value="h.test"),
                append_x_forwarded_host=True,
                timeout_ms=1_500,
                idle_timeout_ms=0,
                max_stream_duration_ms=2_000,
                new_timeouts=True,
                grpc_timeout_scope="stream",
                grpc_timeout_max_ms=2_100,
                grpc_timeout_offset_ms=2_200,
            ),
            headers=CHANGES,
            per_filter={
                "probe": m.PerFilter(config="route", has_config=True),
                "mutate": m.PerFilter(config=mutation("route"), has_config=True),
            },
            metadata={"ns": {"key": [1, None]}},
        ),
        m.Route(
            name="rewritten",
            match=m.RouteMatch(path=m.PathMatch(kind="safe_regex", value="/r/.*")),
            action=m.Forward(
                cluster_header="x-cluster",
                regex_rewrite=m.RegexRewrite(pattern="^/r/(.*)", substitution="/\\1"),
                host_rewrite=m.HostRewrite(
                    kind="path_regex", regex=m.RegexRewrite(pattern="/", substitution=".")
                ),
            ),
        ),
        m.Route(
            match=m.RouteMatch(path=m.PathMatch(kind="path", value="/old")),
            action=m.Redirect(status=308, scheme="https", host="n.test", port=8443, path="/new"),
        ),
        m.Route(
            match=m.RouteMatch(path=m.PathMatch(kind="prefix", value="/")),
            action=m.DirectResponse(status=418, body=b"teapot\n"),
        ),
    ]


def full() -> m.Config:
    """Every kind of everything, and no default."""
    hosts = [
        m.VirtualHost(
            name="api",
            domains=["api.test", "*.api.test", "api.*"],
            routes=_routes(),
            headers=CHANGES,
            per_filter={
                "probe": m.PerFilter(config="host", has_config=True, filter="other"),
                "mutate": m.PerFilter(config=mutation("host"), has_config=True),
            },
        ),
        m.VirtualHost(name="all", domains=["*"], routes=[_routes()[-1]]),
    ]
    table = m.RouteConfig(
        name="table",
        virtual_hosts=hosts,
        headers=CHANGES,
        per_filter={"mutate": m.PerFilter(config=mutation("table"), has_config=True)},
        most_specific_header_mutations_wins=True,
        ignore_port_in_host_matching=True,
    )
    hcm = m.Hcm(
        stat_prefix="ingress",
        route_config=table,
        http_filters=[
            m.HttpFilter(name="probe", module="python", filter="probe", config={"a": 1}),
            m.HttpFilter(
                name="mutate", module="native", filter="header_mutation", config=mutation("chain")
            ),
            m.HttpFilter(name="off", module="python", filter="probe", disabled=True),
            ROUTER,
        ],
        access_logs=[LOG, m.AccessLog(sink="file", path="access.log", format=LOG.format)],
        timeouts=m.Timeouts(
            request_ms=1,
            grpc_request_ms=9,
            request_headers_ms=2,
            stream_idle_ms=3,
            idle_ms=4,
            max_connection_duration_ms=5,
            max_stream_duration_ms=6,
            drain_ms=7,
            delayed_close_ms=8,
        ),
        http1=m.Http1Options(
            accept_http_10=True,
            default_host_for_http_10="old.test",
            enable_trailers=True,
        ),
        server_name="mb",
        server_header_transformation="append_if_absent",
        max_requests_per_connection=9,
        max_request_headers_bytes=10,
        max_headers_count=11,
        max_uri_bytes=12,
        headers_with_underscores_action="drop_header",
        use_remote_address=True,
        xff_num_trusted_hops=13,
        skip_xff_append=True,
        internal_cidr_ranges=[
            m.CidrRange(address="10.0.0.0", prefix_len=8),
            m.CidrRange(address="fd00::", prefix_len=64),
        ],
        generate_request_id=False,
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        via="1.1 mb",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="unescape_and_redirect",
        strip_host_port="matching",
        strip_trailing_host_dot=True,
        append_x_forwarded_port=True,
        proxy_100_continue=True,
        suppress_envoy_headers=True,
    )
    listener = m.Listener(
        name="main",
        addresses=[
            m.ListenAddress(host="::1", port=8080, ipv4_compat=True),
            m.ListenAddress(path="/run/listener", mode=0o660),
            m.ListenAddress(path="@listener"),
        ],
        socket_options=[
            m.SocketOption(level=56, name=57, value=-58, family="ipv6", state="listening")
        ],
        bind_to_port=False,
        use_original_dst=True,
        filter_chains=[
            m.FilterChain(
                name="first",
                filter_chain_match=lf.ChainMatch(
                    destination_port=50,
                    prefix_ranges=[m.CidrRange(address="10.0.0.0", prefix_len=8)],
                    server_names=["a.test", "*.b.test"],
                    transport_protocol="tls",
                    application_protocols=["h2"],
                    direct_source_prefix_ranges=[m.CidrRange(address="::", prefix_len=0)],
                    source_type="external",
                    source_prefix_ranges=[m.CidrRange(address="192.0.2.1", prefix_len=32)],
                    source_ports=[51, 52],
                ),
                hcm=hcm,
            )
        ],
        default_filter_chain=m.FilterChain(hcm=minimal().listeners[0].filter_chains[0].hcm),
        listener_filters=[
            lf.OriginalDst(),
            lf.ProxyProtocol(
                allow_requests_without_proxy_protocol=True,
                disallow_v1=True,
                rules=[lf.ProxyRule(tlv_type=224, metadata_namespace="ns", key="k")],
                pass_through_types=[2, 255],
                stat_prefix="edge",
            ),
            lf.TlsInspector(
                max_client_hello_bytes=53, close_connection_on_client_hello_parsing_errors=True
            ),
            lf.HttpInspector(),
            lf.OriginalSrc(bind_port=True, mark=54),
        ],
        listener_filters_timeout_ms=55,
        continue_on_listener_filters_timeout=True,
        reuse_port=False,
        backlog=14,
        per_connection_buffer_limit_bytes=15,
        stat_prefix="edge",
        max_connections=16,
    )
    return m.Config(
        node_id="node", node_cluster="group", listeners=[listener], clusters=_clusters()
    )


def _clusters() -> list[m.Cluster]:
    return [
        m.Cluster(name="backend", endpoints=[m.Endpoint(host="127.0.0.1", port=80)]),
        m.Cluster(
            name="names",
            type="static",
            endpoints=[
                m.Endpoint(host="::1", port=81, weight=2, hostname="one.test"),
                m.Endpoint(host="127.0.0.2", port=82, weight=3),
                m.Endpoint(path="@up", weight=4),
            ],
            connect_timeout_ms=20,
            per_connection_buffer_limit_bytes=21,
            circuit_breaker=m.CircuitBreaker(
                max_connections=22, max_pending_requests=23, max_requests=24, max_retries=25
            ),
            http=m.UpstreamHttp(
                protocol="http2",
                idle_timeout_ms=26,
                max_connection_duration_ms=27,
                max_requests_per_connection=28,
                max_response_headers_bytes=29,
                max_headers_count=30,
                enable_trailers=True,
                http2=m.Http2Options(
                    max_concurrent_streams=34,
                    initial_stream_window_bytes=65_535,
                    initial_connection_window_bytes=65_536,
                    header_table_bytes=35,
                    max_outbound_frames=36,
                    max_outbound_control_frames=37,
                    max_consecutive_empty_frames=38,
                    max_priority_frames_per_stream=39,
                    max_window_updates_per_data_frame=40,
                    allow_connect=True,
                    keepalive=m.Keepalive(
                        interval_ms=41, interval_jitter_ms=42, timeout_ms=43, idle_interval_ms=44
                    ),
                ),
            ),
            tcp_keepalive=m.TcpKeepalive(probes=31, time_s=32, interval_s=33),
            stat_name="stat",
            proxy_protocol="v2",
        ),
    ]


def _builtins(config: m.Config) -> Any:
    # bytes become text, which the core takes as well.
    return msgspec.to_builtins(config, builtin_types=(bytes,))


def _literal(config: m.Config) -> str:
    """JSON with single quotes, as tests/native/support/json_document.h reads it."""
    text = json.dumps(_builtins(config), separators=(",", ":"), default=bytes.decode)
    assert "'" not in text
    text = text.replace('"', "'").replace("\\", "\\\\")
    lines = textwrap.wrap(
        text.replace(",", ", "), width=_LINE, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(f'    "{line.replace(", ", ",")}"' for line in lines)


def render() -> str:
    """The text of documents.h."""
    parts = [
        "/* Made by make_documents.py. Don't edit. */",
        "#ifndef MBTEST_CONFIG_DOCUMENTS_H",
        "#define MBTEST_CONFIG_DOCUMENTS_H",
        "",
        "/* clang-format off */",
        f"static const char config_minimal[] =\n{_literal(minimal())};",
        "",
        f"static const char config_full[] =\n{_literal(full())};",
        "",
        f"static const char config_tcp[] =\n{_literal(tcp())};",
        "/* clang-format on */",
        "",
        "#endif",
    ]
    return "\n".join(parts) + "\n"


def tcp() -> m.Config:
    """A TCP proxy with everything, behind a network filter."""
    listener = m.Listener(
        name="main",
        addresses=[m.ListenAddress(host="127.0.0.1")],
        filter_chains=[
            m.FilterChain(
                network_filters=[
                    m.HttpFilter(name="probe", module="python", filter="probe", config=7)
                ],
                tcp_proxy=m.TcpProxy(
                    stat_prefix="t",
                    clusters=[
                        m.TcpCluster(name="backend", weight=3),
                        m.TcpCluster(name="backend"),
                    ],
                    max_downstream_connection_duration_ms=7000,
                    max_connect_attempts=2,
                    access_logs=[LOG],
                ),
            )
        ],
    )
    return m.Config(listeners=[listener], clusters=minimal().clusters)


def files() -> dict[Path, bytes]:
    """All files and what is in them."""
    return {
        HEADER: render().encode(),
        SEEDS / "minimal": m.encode(minimal()),
        SEEDS / "full": m.encode(full()),
        SEEDS / "tcp": m.encode(tcp()),
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
