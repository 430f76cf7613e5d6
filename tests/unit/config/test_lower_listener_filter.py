"""Listener filters and what filter chains ask for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.config.conftest import Document

from moebridge.config import model as m
from moebridge.config.listener_filter_model import (
    ChainMatch,
    HttpInspector,
    ListenerFilter,
    OriginalDst,
    OriginalSrc,
    ProxyProtocol,
    ProxyRule,
    TlsInspector,
)

TYPES = "type.googleapis.com/envoy.extensions.filters.listener."
LISTENER = "static_resources.listeners[0]"
FILTER = f"{LISTENER}.listener_filters[0]"
MATCH = f"{LISTENER}.filter_chains[0].filter_chain_match"


def filters(document: Document, *configs: dict[str, Any]) -> list[dict[str, Any]]:
    """Gives the listener filters of these types; "@type" without its beginning."""
    found = [
        {"name": "x", "typed_config": {**config, "@type": TYPES + config["@type"]}}
        for config in configs
    ]
    document.listener["listener_filters"] = found
    return found


def lowered(document: Document) -> list[ListenerFilter]:
    return document.load().listeners[0].listener_filters


def test_without_listener_filters_there_are_none(document: Document) -> None:
    listener = document.load().listeners[0]
    assert listener.listener_filters == []
    assert listener.listener_filters_timeout_ms == 15_000
    assert not listener.continue_on_listener_filters_timeout
    assert listener.filter_chains[0].filter_chain_match == ChainMatch()


def test_each_filter_has_envoys_defaults(document: Document) -> None:
    filters(
        document,
        {"@type": "proxy_protocol.v3.ProxyProtocol"},
        {"@type": "tls_inspector.v3.TlsInspector"},
        {"@type": "http_inspector.v3.HttpInspector"},
        {"@type": "original_dst.v3.OriginalDst"},
        {"@type": "original_src.v3.OriginalSrc"},
    )
    assert lowered(document) == [
        ProxyProtocol(),
        TlsInspector(max_client_hello_bytes=16384),
        HttpInspector(),
        OriginalDst(),
        OriginalSrc(),
    ]


def test_every_field_is_lowered(document: Document) -> None:
    filters(
        document,
        {
            "@type": "proxy_protocol.v3.ProxyProtocol",
            "rules": [
                {"tlv_type": 2, "on_tlv_present": {"key": "authority"}},
                {"tlv_type": 0xE0, "on_tlv_present": {"metadata_namespace": "ns", "key": "k"}},
            ],
            "allow_requests_without_proxy_protocol": True,
            "pass_through_tlvs": {"match_type": "INCLUDE", "tlv_type": [2, 5]},
            "disallowed_versions": ["V1"],
            "stat_prefix": "edge",
        },
        {
            "@type": "tls_inspector.v3.TlsInspector",
            "max_client_hello_size": 4096,
            "close_connection_on_client_hello_parsing_errors": True,
        },
        {"@type": "original_src.v3.OriginalSrc", "bind_port": True, "mark": 7},
    )
    assert lowered(document) == [
        ProxyProtocol(
            allow_requests_without_proxy_protocol=True,
            disallow_v1=True,
            rules=[
                ProxyRule(
                    tlv_type=2,
                    metadata_namespace="envoy.filters.listener.proxy_protocol",
                    key="authority",
                ),
                ProxyRule(tlv_type=0xE0, metadata_namespace="ns", key="k"),
            ],
            pass_through_types=[2, 5],
            stat_prefix="edge",
        ),
        TlsInspector(
            max_client_hello_bytes=4096, close_connection_on_client_hello_parsing_errors=True
        ),
        OriginalSrc(bind_port=True, mark=7),
    ]


def test_all_tlvs_pass_by_default_where_some_do(document: Document) -> None:
    filters(document, {"@type": "proxy_protocol.v3.ProxyProtocol", "pass_through_tlvs": {}})
    (found,) = lowered(document)
    assert isinstance(found, ProxyProtocol)
    assert found.pass_through_all


def test_a_match_is_lowered(document: Document) -> None:
    document.listener["filter_chains"][0]["filter_chain_match"] = {
        "destination_port": 443,
        "prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}],
        "server_names": ["WWW.example.com", "*.Example.org"],
        "transport_protocol": "tls",
        "application_protocols": ["h2"],
        "direct_source_prefix_ranges": [{"address_prefix": "::", "prefix_len": 0}],
        "source_type": "EXTERNAL",
        "source_prefix_ranges": [{"address_prefix": "192.0.2.1", "prefix_len": 32}],
        "source_ports": [1, 65535],
    }
    assert document.load().listeners[0].filter_chains[0].filter_chain_match == ChainMatch(
        destination_port=443,
        prefix_ranges=[m.CidrRange(address="10.0.0.0", prefix_len=8)],
        server_names=["www.example.com", "*.example.org"],
        transport_protocol="tls",
        application_protocols=["h2"],
        direct_source_prefix_ranges=[m.CidrRange(address="::", prefix_len=0)],
        source_type="external",
        source_prefix_ranges=[m.CidrRange(address="192.0.2.1", prefix_len=32)],
        source_ports=[1, 65535],
    )


@pytest.mark.parametrize("name", ["a*.b", "*a.b", "*", "*.", "*.a*.b", "a.*", ""])
def test_a_name_with_a_star_elsewhere_is_refused(document: Document, name: str) -> None:
    chain = document.listener["filter_chains"][0]
    chain["filter_chain_match"] = {"server_names": ["a.b", name]}
    ((path, _),) = document.faults()
    assert path == f"{MATCH}.server_names[1]"


def test_what_is_not_given_or_wrong_is_reported_where_it_is(document: Document) -> None:
    document.listener["listener_filters"] = [{"name": "x"}]
    assert document.faults() == [(f"{FILTER}.typed_config", "is required")]
    filters(
        document, {"@type": "proxy_protocol.v3.ProxyProtocol", "rules": [{"tlv_type": 256}, {}]}
    )
    rules = f"{FILTER}.typed_config.rules"
    assert sorted(path for path, _ in document.faults()) == [
        f"{rules}[0].on_tlv_present",
        f"{rules}[0].tlv_type",
        f"{rules}[1].on_tlv_present",
    ]
    filters(document, {"@type": "tls_inspector.v3.TlsInspector", "enable_ja3_fingerprinting": True})
    ((path, message),) = document.faults()
    assert path == f"{FILTER}.typed_config.enable_ja3_fingerprinting"
    assert "does not have it yet" in message


def test_a_filter_of_another_kind_is_refused(document: Document) -> None:
    filters(document, {"@type": "local_ratelimit.v3.LocalRateLimit"})
    ((path, _),) = document.faults()
    assert path.startswith(FILTER)


def test_equal_matches_are_refused_with_both_places(document: Document) -> None:
    chains = document.listener["filter_chains"]
    chains[0]["filter_chain_match"] = {"server_names": ["a.b"]}
    chains.append({**chains[0], "filter_chain_match": {"serverNames": ["A.B"]}})
    assert document.faults() == [
        (
            f"{LISTENER}.filter_chains[1].filter_chain_match",
            "has the same matching rules as filter_chains[0]",
        )
    ]
