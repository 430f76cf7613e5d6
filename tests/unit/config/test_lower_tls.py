"""Envoy's TLS contexts in the model, and what is refused; nothing shows a key."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.unit.config.conftest import Document

from moebridge.config import tls_model as t
from moebridge.config.value_model import StringMatch

V3 = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
CHAIN = "static_resources.listeners[0].filter_chains[0].transport_socket.typed_config"
CERTIFICATE = {"certificate_chain": {"filename": "/a.pem"}, "private_key": {"filename": "/a.key"}}
SECRET = "very-secret"


def put(part: dict[str, Any], kind: str, config: dict[str, Any]) -> None:
    part["transport_socket"] = {"name": "tls", "typed_config": {"@type": V3 + kind, **config}}


def downstream(document: Document, **config: Any) -> t.DownstreamTls:
    chain = document.listener["filter_chains"][0]
    put(chain, "DownstreamTlsContext", config)
    found = document.load().listeners[0].filter_chains[0].tls
    assert found is not None
    return found


def upstream(document: Document, **config: Any) -> t.UpstreamTls:
    put(document.cluster, "UpstreamTlsContext", config)
    found = document.load().clusters[0].tls
    assert found is not None
    return found


def test_clear_text_is_the_default(document: Document) -> None:
    config = document.load()
    assert (config.listeners[0].filter_chains[0].tls, config.clusters[0].tls) == (None, None)
    assert config.listeners[0].filter_chains[0].transport_connect_timeout_ms == 10_000


def test_sources_are_named_and_not_read(document: Document) -> None:
    encoded = base64.b64encode(b"key").decode()
    certificate = {
        "certificate_chain": {"environment_variable": "CHAIN"},
        "private_key": {"inline_bytes": encoded},
        "password": {"inline_string": "word"},
    }
    found = downstream(document, common_tls_context={"tls_certificates": [certificate]})
    assert found.common_tls_context.tls_certificates == [
        t.TlsCertificate(
            certificate_chain=t.TlsSource(kind="environment", name="CHAIN"),
            private_key=t.TlsSource(kind="inline", data=b"key"),
            password=t.TlsSource(kind="inline", data=b"word"),
        )
    ]
    assert "b'key'" not in repr(found)


def test_parameters_are_openssls(document: Document) -> None:
    params = {
        "tls_minimum_protocol_version": "TLSv1_3",
        "cipher_suites": ["[A|B]", "C"],
        "ecdh_curves": ["X25519", "P-256"],
    }
    common = {"tls_certificates": [CERTIFICATE], "tls_params": params, "alpn_protocols": ["h2"]}
    found = downstream(document, common_tls_context=common, session_timeout="1.5s")
    assert found.common_tls_context.tls_params == t.TlsParams(
        tls_minimum_protocol_version="tlsv1_3", cipher_suites="A:B:C", ecdh_curves="X25519:P-256"
    )
    assert found.session_timeout_s == 2


def test_validation(document: Document) -> None:
    validation = {
        "trusted_ca": {"filename": "/ca.pem"},
        "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"prefix": "spiffe://"}}],
        "verify_certificate_hash": ["AB:" * 31 + "AB"],
        "verify_certificate_spki": [base64.b64encode(b"x" * 32).decode()],
        "trust_chain_verification": "ACCEPT_UNTRUSTED",
    }
    found = upstream(document, sni="a.test", common_tls_context={"validation_context": validation})
    assert found.common_tls_context.validation_context == t.TlsValidation(
        trusted_ca=t.TlsSource(kind="file", name="/ca.pem"),
        match_typed_subject_alt_names=[
            t.SanMatch(san_type="uri", matcher=StringMatch(kind="prefix", value="spiffe://"))
        ],
        verify_certificate_hash=[b"\xab" * 32],
        verify_certificate_spki=[b"x" * 32],
        accept_untrusted=True,
    )
    assert (found.sni, found.max_session_keys) == ("a.test", 1)


@pytest.mark.parametrize(
    ("config", "path", "message"),
    [
        ({"common_tls_context": {}}, ".common_tls_context.tls_certificates", "needs a certificate"),
        (
            {"common_tls_context": {"tls_certificates": [{}]}},
            ".common_tls_context.tls_certificates[0].certificate_chain",
            "is required",
        ),
        (
            {"common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "x"}]}},
            ".common_tls_context.tls_certificate_sds_secret_configs[0].name",
            "there is no secret",
        ),
        (
            {
                "common_tls_context": {
                    "tls_certificates": [CERTIFICATE],
                    "validation_context": {"verify_certificate_hash": ["z" * 64]},
                }
            },
            ".common_tls_context.validation_context.verify_certificate_hash[0]",
            "64 hex digits",
        ),
    ],
)
def test_faults_have_their_place(
    document: Document, config: dict[str, Any], path: str, message: str
) -> None:
    put(document.listener["filter_chains"][0], "DownstreamTlsContext", config)
    found = document.faults()
    assert any(p == CHAIN + path and message in m for p, m in found), found


def test_the_other_sides_context_is_refused(document: Document) -> None:
    put(document.listener["filter_chains"][0], "UpstreamTlsContext", {})
    put(document.cluster, "DownstreamTlsContext", {})
    assert all(path.endswith('["@type"]') for path, _ in document.faults())
    assert len(document.faults()) == 2


@pytest.mark.parametrize(
    "key",
    [SECRET, [SECRET], {"inline_bytes": SECRET + "!"}, {"inline_string": {"a": SECRET}}],
)
def test_no_fault_shows_what_stands_for_a_key(document: Document, key: object) -> None:
    certificate = {**CERTIFICATE, "private_key": key}
    chain = document.listener["filter_chains"][0]
    put(chain, "DownstreamTlsContext", {"common_tls_context": {"tls_certificates": [certificate]}})
    assert SECRET not in str(document.faults())


def test_static_secrets(document: Document) -> None:
    document.root["static_resources"]["secrets"] = [
        {"name": "mine", "tls_certificate": CERTIFICATE},
        {"name": "ca", "validation_context": {"trusted_ca": {"filename": "/ca.pem"}}},
    ]
    common = {
        "tls_certificate_sds_secret_configs": [{"name": "mine"}],
        "validation_context_sds_secret_config": {"name": "ca"},
    }
    found = downstream(document, common_tls_context=common).common_tls_context
    assert found.tls_certificates[0].private_key == t.TlsSource(kind="file", name="/a.key")
    assert found.validation_context is not None
    assert found.validation_context.trusted_ca.name == "/ca.pem"
