"""The model of what is done before a connection has its filter chain: listener filters and matches.

Source: Envoy's v3 ListenerFilter and FilterChainMatch.
"""

from __future__ import annotations

from typing import Literal

from moebridge.config.value_model import CidrRange, Value

__all__ = [
    "ChainMatch",
    "HttpInspector",
    "ListenerFilter",
    "OriginalDst",
    "OriginalSrc",
    "ProxyProtocol",
    "ProxyRule",
    "TlsInspector",
]


class ProxyRule(Value, frozen=True, kw_only=True):
    """A TLV of a PROXY header that becomes dynamic metadata."""

    # 0 .. 255.
    tlv_type: int
    # Never empty.
    metadata_namespace: str
    key: str


class ProxyProtocol(Value, frozen=True, kw_only=True, tag_field="kind", tag="proxy_protocol"):
    """Reads the PROXY header that a connection begins with."""

    # Connections without a header are let through. Default false: they are closed.
    allow_requests_without_proxy_protocol: bool = False
    # Envoy's disallowed_versions. Default false.
    disallow_v1: bool = False
    disallow_v2: bool = False
    rules: list[ProxyRule] = []
    # Which TLVs are sent on to upstreams that get a PROXY header: all, or these types.
    pass_through_all: bool = False
    pass_through_types: list[int] = []
    # Statistics: proxy_proto.[<stat_prefix>.]
    stat_prefix: str = ""


class TlsInspector(Value, frozen=True, kw_only=True, tag_field="kind", tag="tls_inspector"):
    """Tells TLS from clear text, and reads server name and ALPN."""

    # Bytes, 1 .. 16384. Envoy's max_client_hello_size, default 16 KiB.
    max_client_hello_bytes: int = 16 * 1024
    # False: what is no ClientHello is clear text. Default false.
    close_connection_on_client_hello_parsing_errors: bool = False


class HttpInspector(Value, frozen=True, kw_only=True, tag_field="kind", tag="http_inspector"):
    """Tells HTTP/1.0, HTTP/1.1 and h2c in clear text; the name stands in for ALPN."""


class OriginalDst(Value, frozen=True, kw_only=True, tag_field="kind", tag="original_dst"):
    """The destination before the kernel redirected the connection."""


class OriginalSrc(Value, frozen=True, kw_only=True, tag_field="kind", tag="original_src"):
    """Connections to upstreams come from the client's address."""

    # From its port too. Default false.
    bind_port: bool = False
    # SO_MARK; 0 = none.
    mark: int = 0


ListenerFilter = ProxyProtocol | TlsInspector | HttpInspector | OriginalDst | OriginalSrc


class ChainMatch(Value, frozen=True, kw_only=True):
    """Envoy's FilterChainMatch. What is empty asks for nothing."""

    # 0 = any.
    destination_port: int = 0
    prefix_ranges: list[CidrRange] = []
    # Lower case; "*.example.com" stands for all names below example.com.
    server_names: list[str] = []
    # "tls" or "raw_buffer".
    transport_protocol: str = ""
    application_protocols: list[str] = []
    direct_source_prefix_ranges: list[CidrRange] = []
    source_type: Literal["any", "same_ip_or_loopback", "external"] = "any"
    source_prefix_ranges: list[CidrRange] = []
    # 1 .. 65535.
    source_ports: list[int] = []
