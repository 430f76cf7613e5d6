"""The TLS part of the model: what a filter chain shows to clients, what a cluster expects of hosts.

Files are named, not read here: the core reads them, so that it can watch them, and so that keys do
not travel in documents. What stands inline in the configuration does travel; it is never shown.
"""

from __future__ import annotations

from typing import Literal

from moebridge.config.value_model import StringMatch, Value

__all__ = [
    "CommonTls",
    "DownstreamTls",
    "SanMatch",
    "TlsCertificate",
    "TlsParams",
    "TlsSource",
    "TlsValidation",
    "TlsVersion",
    "UpstreamTls",
]

TlsVersion = Literal["tls_auto", "tlsv1_0", "tlsv1_1", "tlsv1_2", "tlsv1_3"]


class TlsSource(Value, frozen=True, kw_only=True):
    """Envoy's DataSource, for certificates and keys."""

    # none: not given. file: `name` is a path. environment: `name` is a variable. inline: `data`.
    kind: Literal["none", "file", "inline", "environment"] = "none"
    name: str = ""
    data: bytes = b""

    def __repr__(self) -> str:
        """Without the data: it may be a key."""
        return f"TlsSource(kind={self.kind!r}, name={self.name!r}, {len(self.data)} bytes)"


_NOTHING = TlsSource()


class TlsCertificate(Value, frozen=True, kw_only=True):
    """Envoy's TlsCertificate."""

    # PEM, the leaf first.
    certificate_chain: TlsSource
    # PEM; encrypted ones need `password`.
    private_key: TlsSource
    password: TlsSource = _NOTHING
    # An OCSP response, DER.
    ocsp_staple: TlsSource = _NOTHING


class SanMatch(Value, frozen=True, kw_only=True):
    """Envoy's SubjectAltNameMatcher; `any` is the older match_subject_alt_names."""

    san_type: Literal["any", "email", "dns", "uri", "ip_address"]
    matcher: StringMatch


class TlsValidation(Value, frozen=True, kw_only=True):
    """Envoy's CertificateValidationContext."""

    # PEM. An upstream without it and without pinned hashes trusts the system's authorities.
    trusted_ca: TlsSource = _NOTHING
    # Envoy's system_root_certs was given.
    system_root_certs: bool = False
    # PEM.
    crl: TlsSource = _NOTHING
    # One of them must match a name of the certificate; empty: not asked for (upstream: its own
    # name is).
    match_typed_subject_alt_names: list[SanMatch] = []
    # SHA-256 of the certificate, of its public key; 32 bytes each. A match in either list will do.
    verify_certificate_hash: list[bytes] = []
    verify_certificate_spki: list[bytes] = []
    # Default false.
    allow_expired_certificate: bool = False
    # Envoy's trust_chain_verification ACCEPT_UNTRUSTED: all checks are off.
    accept_untrusted: bool = False
    # Default false: of the whole chain.
    only_verify_leaf_cert_crl: bool = False
    # 0: 100, Envoy's default.
    max_verify_depth: int = 0


class TlsParams(Value, frozen=True, kw_only=True):
    """Envoy's TlsParameters; "" and tls_auto are the core's defaults, which are Envoy's."""

    tls_minimum_protocol_version: TlsVersion = "tls_auto"
    tls_maximum_protocol_version: TlsVersion = "tls_auto"
    # OpenSSL's list, "a:b".
    cipher_suites: str = ""
    ecdh_curves: str = ""
    signature_algorithms: str = ""


class CommonTls(Value, frozen=True, kw_only=True):
    """Envoy's CommonTlsContext."""

    tls_params: TlsParams = TlsParams()
    tls_certificates: list[TlsCertificate] = []
    validation_context: TlsValidation | None = None
    # Names, 1 to 255 bytes each.
    alpn_protocols: list[str] = []


class DownstreamTls(Value, frozen=True, kw_only=True):
    """Envoy's DownstreamTlsContext."""

    common_tls_context: CommonTls
    # Default false.
    require_client_certificate: bool = False
    require_sni: bool = False
    # 80 bytes each, the first one seals; empty: keys of the core's own, which rotate.
    session_ticket_keys: list[TlsSource] = []
    # No session tickets. Default false.
    disable_stateless_session_resumption: bool = False
    # No sessions kept here (TLS 1.2). Default false.
    disable_stateful_session_resumption: bool = False
    # s; 0: two hours.
    session_timeout_s: int = 0
    ocsp_staple_policy: Literal["lenient_stapling", "strict_stapling", "must_staple"] = (
        "lenient_stapling"
    )
    # Default false.
    full_scan_certs_on_sni_mismatch: bool = False
    # Default false: the order of our own suites decides.
    prefer_client_ciphers: bool = False


class UpstreamTls(Value, frozen=True, kw_only=True):
    """Envoy's UpstreamTlsContext."""

    common_tls_context: CommonTls
    # "" = the endpoint's host name.
    sni: str = ""
    # The endpoint's host name even where `sni` is given. Default false.
    auto_host_sni: bool = False
    # The certificate must be for the name sent as SNI, whatever else matches. Default false.
    auto_sni_san_validation: bool = False
    # Sessions kept for resumption, 0 = none. Default 1.
    max_session_keys: int = 1
