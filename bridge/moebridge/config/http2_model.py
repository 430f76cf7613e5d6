"""The HTTP/2 part of the model: what a connection manager and a cluster may set of the protocol."""

from __future__ import annotations

from moebridge.config.value_model import Value

__all__ = ["Http2Options", "Keepalive"]


class Keepalive(Value, frozen=True, kw_only=True):
    """Envoy's config.core.v3.KeepaliveSettings: PING frames that show whether the peer lives."""

    # From one answer to the next PING. ms, 0 = none on a timer.
    interval_ms: int
    # Largest random addition to it. ms; Envoy's interval_jitter (default 15 %) of the interval.
    interval_jitter_ms: int
    # Without an answer for so long the connection is closed. ms, > 0.
    timeout_ms: int
    # Clients: a stream that begins after so long without a received byte is led by a PING. ms, 0 =
    # not.
    idle_interval_ms: int = 0


class Http2Options(Value, frozen=True, kw_only=True):
    """Envoy's config.core.v3.Http2ProtocolOptions."""

    # Streams at once. Listener: of the client, default 100. Cluster: of ours, under the peer's own
    # limit, default 1024.
    max_concurrent_streams: int
    # Flow-control window of a new stream. Default 64 KiB (initial_stream_window_size).
    initial_stream_window_bytes: int = 64 * 1024
    # Window of the whole connection. Default 1 MiB (initial_connection_window_size).
    initial_connection_window_bytes: int = 1024 * 1024
    # HPACK's dynamic table, both ways. Default 4096 (hpack_table_size).
    header_table_bytes: int = 4096
    # Frames queued for the peer. Default 10000.
    max_outbound_frames: int = 10_000
    # Queued replies to PING and SETTINGS, and RST_STREAM. Default 1000.
    max_outbound_control_frames: int = 1_000
    # Received in a row, empty and without END_STREAM. Default 1.
    max_consecutive_empty_frames: int = 1
    # PRIORITY frames received for each stream. Default 100.
    max_priority_frames_per_stream: int = 100
    # WINDOW_UPDATE frames received for each DATA frame sent. Default 10.
    max_window_updates_per_data_frame: int = 10
    # Extended CONNECT (RFC 8441). Default false.
    allow_connect: bool = False
    # None = no PING of ours (default). Envoy's connection_keepalive.
    keepalive: Keepalive | None = None
