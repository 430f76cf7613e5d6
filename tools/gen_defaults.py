#!/usr/bin/env python3
"""Writes docs/defaults.md: each bound, Envoy's default and ours.

Ours are taken from the code: the model of a file that says nothing, and of the object form.

    python tools/gen_defaults.py           # writes docs/defaults.md
    python tools/gen_defaults.py --check   # exits 1 when it is out of date
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "defaults.md"

#: What, where it stands in the model, Envoy's name, Envoy's default.
ROWS: list[tuple[str, str, str, str]] = [
    ("open connections", "listener.max_connections", "network filter connection_limit", "off"),
    ("listen backlog", "listener.backlog", "tcp_backlog_size", "the system's"),
    ("downstream buffers, and the most of a body a filter may hold",
     "listener.per_connection_buffer_limit_bytes", "per_connection_buffer_limit_bytes", "1 MiB"),
    ("listener filters, all together", "listener.listener_filters_timeout_ms",
     "listener_filters_timeout", "15 s"),
    ("handshake of a client", "chain.transport_connect_timeout_ms",
     "transport_socket_connect_timeout", "off"),
    ("request head received", "hcm.timeouts.request_headers_ms",
     "request_headers_timeout", "off"),
    ("whole request received", "hcm.timeouts.request_ms", "request_timeout", "off"),
    ("whole request of gRPC received", "hcm.timeouts.grpc_request_ms", "request_timeout", "off"),
    ("stream without bytes", "hcm.timeouts.stream_idle_ms",
     "stream_idle_timeout", "5 min"),
    ("connection without a stream", "hcm.timeouts.idle_ms",
     "common_http_protocol_options.idle_timeout", "1 h"),
    ("age of a connection", "hcm.timeouts.max_connection_duration_ms",
     "common_http_protocol_options.max_connection_duration", "off"),
    ("age of a stream", "hcm.timeouts.max_stream_duration_ms",
     "common_http_protocol_options.max_stream_duration", "off"),
    ("drain", "hcm.timeouts.drain_ms", "drain_timeout", "5 s"),
    ("lingering close", "hcm.timeouts.delayed_close_ms", "delayed_close_timeout", "1 s"),
    ("requests per connection", "hcm.max_requests_per_connection",
     "common_http_protocol_options.max_requests_per_connection", "off"),
    ("request head", "hcm.max_request_headers_bytes", "max_request_headers_kb", "60 KiB"),
    ("request headers", "hcm.max_headers_count",
     "common_http_protocol_options.max_headers_count", "100"),
    ("request target", "hcm.max_uri_bytes", "none: within the head", "60 KiB"),
    ("header names with underscores", "hcm.headers_with_underscores_action",
     "common_http_protocol_options.headers_with_underscores_action", "allow"),
    ("the peer is the client", "hcm.use_remote_address", "use_remote_address", "no"),
    ("dot segments resolved", "hcm.normalize_path", "normalize_path", "no"),
    ("slashes merged", "hcm.merge_slashes", "merge_slashes", "no"),
    ("escaped slashes", "hcm.path_with_escaped_slashes_action",
     "path_with_escaped_slashes_action", "keep_unchanged"),
    ("HTTP/1.0 clients", "hcm.http1.accept_http_10",
     "http_protocol_options.accept_http_10", "no"),
    ("HTTP/2: streams of a client at once", "hcm.http2.max_concurrent_streams",
     "http2_protocol_options.max_concurrent_streams", "1024"),
    ("HTTP/2: window of a stream", "hcm.http2.initial_stream_window_bytes",
     "http2_protocol_options.initial_stream_window_size", "16 MiB"),
    ("HTTP/2: window of a connection", "hcm.http2.initial_connection_window_bytes",
     "http2_protocol_options.initial_connection_window_size", "24 MiB"),
    ("HTTP/2: table of header fields", "hcm.http2.header_table_bytes",
     "http2_protocol_options.hpack_table_size", "4 KiB"),
    ("HTTP/2: frames that wait for the peer", "hcm.http2.max_outbound_frames",
     "http2_protocol_options.max_outbound_frames", "10000"),
    ("HTTP/2: answers to PING and SETTINGS, and resets, that wait",
     "hcm.http2.max_outbound_control_frames",
     "http2_protocol_options.max_outbound_control_frames", "1000"),
    ("HTTP/2: empty frames in a row", "hcm.http2.max_consecutive_empty_frames",
     "http2_protocol_options.max_consecutive_inbound_frames_with_empty_payload", "1"),
    ("HTTP/2: PRIORITY frames a stream, and as many that serve no purpose",
     "hcm.http2.max_priority_frames_per_stream",
     "http2_protocol_options.max_inbound_priority_frames_per_stream", "100"),
    ("HTTP/2: WINDOW_UPDATE frames a DATA frame that was sent",
     "hcm.http2.max_window_updates_per_data_frame",
     "http2_protocol_options.max_inbound_window_update_frames_per_data_frame_sent", "10"),
    ("HTTP/2: extended CONNECT", "hcm.http2.allow_connect",
     "http2_protocol_options.allow_connect", "no"),
    ("response header server", "hcm.server_name", "server_name", "envoy"),
    ("whole upstream exchange", "route.timeout_ms", "route.timeout", "15 s"),
    ("route without bytes", "route.idle_timeout_ms", "route.idle_timeout", "stream_idle_timeout"),
    ("upstream connect", "cluster.connect_timeout_ms", "connect_timeout", "5 s"),
    ("upstream buffers", "cluster.per_connection_buffer_limit_bytes",
     "per_connection_buffer_limit_bytes", "1 MiB"),
    ("idle upstream connection", "cluster.http.idle_timeout_ms",
     "common_http_protocol_options.idle_timeout", "1 h"),
    ("response head", "cluster.http.max_response_headers_bytes", "max_response_headers_kb",
     "60 KiB"),
    ("response headers", "cluster.http.max_headers_count", "max_headers_count", "100"),
    ("streams of an upstream connection", "cluster.http.http2.max_concurrent_streams",
     "http2_protocol_options.max_concurrent_streams", "1024"),
    ("window of an upstream stream", "cluster.http.http2.initial_stream_window_bytes",
     "http2_protocol_options.initial_stream_window_size", "16 MiB"),
    ("window of an upstream connection", "cluster.http.http2.initial_connection_window_bytes",
     "http2_protocol_options.initial_connection_window_size", "24 MiB"),
    ("upstream connections", "cluster.circuit_breaker.max_connections", "max_connections", "1024"),
    ("waiting requests", "cluster.circuit_breaker.max_pending_requests", "max_pending_requests",
     "1024"),
    ("requests under way", "cluster.circuit_breaker.max_requests", "max_requests", "1024"),
    ("retries under way", "cluster.circuit_breaker.max_retries", "max_retries", "3"),
    ("TCP connection without a byte", "tcp.idle_timeout_ms", "tcp_proxy.idle_timeout", "1 h"),
    ("age of a TCP connection", "tcp.max_downstream_connection_duration_ms",
     "tcp_proxy.max_downstream_connection_duration", "off"),
    ("hosts tried for a TCP connection", "tcp.max_connect_attempts",
     "tcp_proxy.max_connect_attempts", "1"),
    ("pause between DNS look-ups", "cluster.dns_refresh_ms", "dns_refresh_rate", "5 s"),
]  # fmt: skip

HEAD = """\
# Defaults

Written by `tools/gen_defaults.py` from the code; a test compares.

A default that can change the answer to a well-formed, timely request is Envoy's. A bound that
Envoy leaves off or sets wide has a safe value here (**bold**); the file can change it again, by
Envoy's own field: `request_timeout: 0s`, the network filter `connection_limit` for connections,
`initial_stream_window_size` for HTTP/2 over long ways (a window is what travels in a round trip;
ours are those that Envoy advises for an edge proxy). *File* is
`moebridge run -c FILE` and `Proxy.from_config`. *Edge* is `run --listen` and `mb.Proxy(...)`, with
the values that Envoy's documentation advises for an edge proxy.

| bound | Envoy's field | Envoy | file | edge |
| --- | --- | --- | --- | --- |
"""


TAIL = """
Of HTTP/2 these are fixed. Each ends the connection with GOAWAY, `ENHANCE_YOUR_CALM`, and is counted
under its name in the statistics `http2.*` (of an upstream `cluster.<name>.http2.*`).

| bound | value | Envoy | counter |
| --- | --- | --- | --- |
| streams of a client that are reset before their answer begins, by the client or for its fault | \
half of the first 500, later half of all | the client's own resets alone | \
`premature_resets_flood` |
| CONTINUATION frames of a header block | what the largest head needs, and 8 | none | \
`inbound_continuation_flood` |
| a header block, compressed or not | 4 times the largest head | the largest head resets | \
`header_overflow` |
| frames of unknown types, GOAWAY, resets of streams that are over | as PRIORITY | none | \
`inbound_other_frames_flood` |
| PING and SETTINGS that are to be answered, by a peer that reads the answers | \
2000 a second (or twice `max_outbound_control_frames`), and one for each DATA frame to it and \
each stream | none | `inbound_control_frames_flood` |
| entries of a SETTINGS frame | 32 | 32 | `outbound_control_flood` |

A head over its limits resets its stream (`INTERNAL_ERROR`, as Envoy), the connection goes on.
"""

#: What of Envoy's is wide, and ours a bound.
WIDE = {
    "hcm.http2.max_concurrent_streams",
    "hcm.http2.initial_stream_window_bytes",
    "hcm.http2.initial_connection_window_bytes",
    "cluster.http.http2.initial_stream_window_bytes",
    "cluster.http.http2.initial_connection_window_bytes",
}


def shown(path: str, value: Any) -> str:
    """A value with its unit, as the table writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int):
        return str(value)
    name = path.rpartition(".")[2]
    if name.endswith("_ms"):
        return duration(value)
    if name.endswith("_bytes"):
        return f"{value >> 20} MiB" if value >= 1 << 20 else f"{value >> 10} KiB"
    return "off" if value == 0 else str(value)


def duration(ms: int) -> str:
    """`300000` as `5 min`."""
    for unit, length in (("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if ms and ms % length == 0:
            return f"{ms // length} {unit}"
    return f"{ms} ms" if ms else "off"


def parts(config: Any) -> dict[str, Any]:
    """The objects that the rows' paths begin with."""
    from moebridge.config.model import TcpProxy

    listener = config.listeners[0]
    tcp = TcpProxy(stat_prefix="", clusters=[])
    chain = listener.filter_chains[0]
    hcm = chain.hcm
    route = hcm.route_config.virtual_hosts[0].routes[0].action
    cluster = config.clusters[0]
    found = {"listener": listener, "chain": chain, "hcm": hcm, "cluster": cluster}
    return found | {"route": route, "tcp": tcp}


def lookup(roots: dict[str, Any], path: str) -> Any:
    """The value at a dotted path."""
    first, *rest = path.split(".")
    value = roots[first]
    for name in rest:
        value = getattr(value, name)
    return value


def render() -> str:
    """The whole page."""
    sys.path.insert(0, str(ROOT / "bridge"))
    from moebridge.config.load import load
    from moebridge.config.simple import build_simple

    file = parts(load(ROOT / "tests" / "data" / "envoy" / "minimal.yaml"))
    edge = parts(build_simple("127.0.0.1:0", "127.0.0.1:9000"))
    lines = []
    for what, path, field, envoy in ROWS:
        ours = shown(path, lookup(file, path))
        bound = path in WIDE or (envoy == "off" and ours != "off")
        bold = f"**{ours}**" if bound else ours
        lines.append(
            f"| {what} | `{field}` | {envoy} | {bold} | {shown(path, lookup(edge, path))} |"
        )
    return HEAD + "\n".join(lines) + "\n" + TAIL


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if out of date")
    if parser.parse_args().check:
        same = TARGET.is_file() and TARGET.read_text() == render()
        print("up to date" if same else f"out of date: {TARGET.relative_to(ROOT)}")
        return 0 if same else 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
