"""Lowers Http2ProtocolOptions, which connection managers and clusters share."""

from __future__ import annotations

from moebridge.config.http2_model import Http2Options, Keepalive
from moebridge.config.lower_values import Context
from moebridge.config.proto_json import NOT_YET, Node

__all__ = ["CLIENT_STREAMS", "SERVER_STREAMS", "http2_options"]

#: Default of max_concurrent_streams, of each side.
SERVER_STREAMS = 100
CLIENT_STREAMS = 1024

#: Fields in which 0 switches off what the core always does.
_NOT_ZERO = (
    "hpack_table_size",
    "max_consecutive_inbound_frames_with_empty_payload",
    "max_inbound_priority_frames_per_stream",
)
_JITTER_PERCENT = 15.0


def http2_options(ctx: Context, node: Node, *, streams: int) -> Http2Options:
    """An Http2ProtocolOptions.

    Args:
        ctx: where faults go.
        node: the message, or an empty one for the defaults.
        streams: max_concurrent_streams where the message does not say.
    """
    for name in _NOT_ZERO:
        if node.get(name) == 0:
            ctx.fault(node.at(name), f"0 {NOT_YET}")
    return Http2Options(
        max_concurrent_streams=node.get("max_concurrent_streams", streams),
        initial_stream_window_bytes=node.get("initial_stream_window_size", 64 * 1024),
        initial_connection_window_bytes=node.get("initial_connection_window_size", 1024 * 1024),
        header_table_bytes=node.get("hpack_table_size", 4096),
        max_outbound_frames=node.get("max_outbound_frames", 10_000),
        max_outbound_control_frames=node.get("max_outbound_control_frames", 1_000),
        max_consecutive_empty_frames=node.get(
            "max_consecutive_inbound_frames_with_empty_payload", 1
        ),
        max_priority_frames_per_stream=node.get("max_inbound_priority_frames_per_stream", 100),
        max_window_updates_per_data_frame=node.get(
            "max_inbound_window_update_frames_per_data_frame_sent", 10
        ),
        allow_connect=node.get("allow_connect", False),
        keepalive=_keepalive(node),
    )


def _keepalive(node: Node) -> Keepalive | None:
    if "connection_keepalive" not in node:
        return None
    settings = node["connection_keepalive"]
    interval = settings.get("interval", 0)
    percent = settings.node("interval_jitter").get("value", 0.0)
    if "interval_jitter" not in settings:
        percent = _JITTER_PERCENT
    return Keepalive(
        interval_ms=interval,
        interval_jitter_ms=int(interval * percent / 100),
        timeout_ms=settings.get("timeout", 1),  # required: a fault is noted without it
        idle_interval_ms=settings.get("connection_idle_interval", 0),
    )
