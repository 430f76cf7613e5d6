"""Lowers Envoy's TLS contexts. What files hold is the core's to read and to judge."""

from __future__ import annotations

import binascii
from typing import Any

from moebridge.config.faults import Path, quoted
from moebridge.config.lower_values import Context, lowered_enum, string_match
from moebridge.config.proto_json import NOT_YET, Node
from moebridge.config.tls_model import (
    CommonTls,
    DownstreamTls,
    SanMatch,
    TlsCertificate,
    TlsParams,
    TlsSource,
    TlsValidation,
    UpstreamTls,
)

__all__ = ["PROXY_TRANSPORT", "downstream_tls", "secrets", "upstream_tls"]

_V3 = "envoy.extensions.transport_sockets.tls.v3."
_DOWNSTREAM = _V3 + "DownstreamTlsContext"
_UPSTREAM = _V3 + "UpstreamTlsContext"
_HASH_BYTES = 32
#: Goes around the transport socket of a cluster: lower_cluster.py.
PROXY_TRANSPORT = (
    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
)


def secrets(ctx: Context, nodes: list[Node]) -> dict[str, Node]:
    """The static secrets by name."""
    found: dict[str, Node] = {}
    for node in nodes:
        name = node.get("name", "")
        if name in found:
            ctx.fault(node.at("name"), f"duplicate secret name {quoted(name)}")
        found[name] = node
    return found


def downstream_tls(ctx: Context, node: Node) -> DownstreamTls | None:
    """The transport socket of a filter chain; None: clear text."""
    context = _tls_context(ctx, node, _DOWNSTREAM)
    if context is None:
        return None
    timeout_ms = context.get("session_timeout", 0)
    common = _common(ctx, context.node("common_tls_context"))
    if not common.tls_certificates and not context.node("common_tls_context").bad:
        ctx.fault(
            (context.at("common_tls_context"), "tls_certificates"), "a server needs a certificate"
        )
    return DownstreamTls(
        common_tls_context=common,
        require_client_certificate=context.get("require_client_certificate", False),
        require_sni=context.get("require_sni", False),
        session_ticket_keys=[
            _source(ctx, key) for key in context.node("session_ticket_keys").nodes("keys")
        ],
        disable_stateless_session_resumption=context.get(
            "disable_stateless_session_resumption", False
        ),
        disable_stateful_session_resumption=context.get(
            "disable_stateful_session_resumption", False
        ),
        session_timeout_s=-(-timeout_ms // 1000),
        ocsp_staple_policy=lowered_enum(context, "ocsp_staple_policy", "LENIENT_STAPLING"),
        full_scan_certs_on_sni_mismatch=context.get("full_scan_certs_on_sni_mismatch", False),
        prefer_client_ciphers=context.get("prefer_client_ciphers", False),
    )


def upstream_tls(ctx: Context, node: Node) -> UpstreamTls | None:
    """The transport socket of a cluster; None: clear text."""
    context = _tls_context(ctx, node, _UPSTREAM)
    if context is None:
        return None
    common = _common(ctx, context.node("common_tls_context"))
    if len(common.tls_certificates) > 1:
        ctx.fault(
            ((context.at("common_tls_context"), "tls_certificates"), 1),
            "a client has at most one certificate",
        )
    return UpstreamTls(
        common_tls_context=common,
        sni=context.get("sni", ""),
        auto_host_sni=context.get("auto_host_sni", False),
        auto_sni_san_validation=context.get("auto_sni_san_validation", False),
        max_session_keys=context.get("max_session_keys", 1),
    )


def _tls_context(ctx: Context, node: Node, expected: str) -> Node | None:
    """The typed_config of a transport socket when it is TLS of the right side."""
    if "transport_socket" not in node:
        return None
    socket: Node = node["transport_socket"]
    config: Node | None = socket.get("typed_config")
    if config is None:
        if "typed_config" not in socket.bad:
            ctx.fault(socket.at("typed_config"), "is required")
        return None
    if config.type == PROXY_TRANSPORT:
        ctx.fault((socket.at("typed_config"), "@type"), f"{config.type} cannot stand here")
    if not config.type.startswith(_V3):
        return None
    if config.type != expected:
        ctx.fault(
            (socket.at("typed_config"), "@type"), f"{config.type} cannot stand here; {expected} can"
        )
        return None
    return config


def _common(ctx: Context, node: Node) -> CommonTls:
    certificates = [_certificate(ctx, n) for n in node.nodes("tls_certificates")]
    for reference in node.nodes("tls_certificate_sds_secret_configs"):
        secret = _secret(ctx, reference, "tls_certificate")
        if secret is not None:
            certificates.append(_certificate(ctx, secret))
    validation: Node | None = node.get("validation_context")
    if "validation_context_sds_secret_config" in node:
        validation = _secret(
            ctx, node["validation_context_sds_secret_config"], "validation_context"
        )
    alpn: list[str] = node.get("alpn_protocols", [])
    for i, name in enumerate(alpn):
        if not 1 <= len(name.encode()) <= 255:
            ctx.fault((node.at("alpn_protocols"), i), "must have 1 to 255 bytes")
    params = node.node("tls_params")
    return CommonTls(
        tls_params=TlsParams(
            tls_minimum_protocol_version=lowered_enum(
                params, "tls_minimum_protocol_version", "TLS_AUTO"
            ),
            tls_maximum_protocol_version=lowered_enum(
                params, "tls_maximum_protocol_version", "TLS_AUTO"
            ),
            cipher_suites=_suites(params),
            ecdh_curves=_list(ctx, params, "ecdh_curves"),
            signature_algorithms=_list(ctx, params, "signature_algorithms"),
        ),
        tls_certificates=certificates,
        validation_context=None if validation is None else _validation(ctx, validation),
        alpn_protocols=alpn,
    )


def _suites(node: Node) -> str:
    """Envoy's [A|B] says that both are as good; OpenSSL has that only for ChaCha20, by itself."""
    suites: list[str] = node.get("cipher_suites", [])
    return ":".join(s.removeprefix("[").removesuffix("]").replace("|", ":") for s in suites)


def _list(ctx: Context, node: Node, name: str) -> str:
    values: list[str] = node.get(name, [])
    for i, value in enumerate(values):
        if not value or ":" in value:
            ctx.fault((node.at(name), i), f"{quoted(value)} is no name")
    return ":".join(values)


def _secret(ctx: Context, reference: Node, kind: str) -> Node | None:
    """What a static secret of that name holds; None: a fault was noted."""
    name = reference.get("name", "")
    if reference.bad:
        return None
    secret = ctx.secrets.get(name)
    if secret is None:
        ctx.fault(
            reference.at("name"),
            f"there is no secret {quoted(name)} in static_resources.secrets; others {NOT_YET}",
        )
        return None
    if kind not in secret:
        ctx.fault(reference.at("name"), f"the secret {quoted(name)} is no {kind}")
        return None
    found: Node = secret[kind]
    return found


def _certificate(ctx: Context, node: Node) -> TlsCertificate:
    for name in ("certificate_chain", "private_key"):
        if name not in node and name not in node.bad:
            ctx.fault(node.at(name), "is required")
    return TlsCertificate(
        certificate_chain=_source(ctx, node.node("certificate_chain")),
        private_key=_source(ctx, node.node("private_key")),
        password=_source(ctx, node.node("password")),
        ocsp_staple=_source(ctx, node.node("ocsp_staple")),
    )


def _source(ctx: Context, node: Node) -> TlsSource:
    for field, kind in (("filename", "file"), ("environment_variable", "environment")):
        if field in node:
            name: str = node[field]
            if "\0" in name:
                ctx.fault(node.at(field), "must not contain a NUL")
            known: Any = kind
            return TlsSource(kind=known, name=name)
    if "inline_string" in node:
        return TlsSource(kind="inline", data=node["inline_string"].encode())
    if "inline_bytes" in node:
        return TlsSource(kind="inline", data=bytes(node["inline_bytes"]))
    return TlsSource()


def _validation(ctx: Context, node: Node) -> TlsValidation:
    sans = [
        SanMatch(
            san_type=lowered_enum(matcher, "san_type", "DNS"),
            matcher=string_match(matcher.node("matcher")),
        )
        for matcher in node.nodes("match_typed_subject_alt_names")
    ]
    if "match_subject_alt_names" in node and not sans:
        sans = [
            SanMatch(san_type="any", matcher=string_match(n))
            for n in node.nodes("match_subject_alt_names")
        ]
    trust = node.get("trust_chain_verification", "VERIFY_TRUST_CHAIN")
    if "trusted_ca" in node and "system_root_certs" in node:
        ctx.fault(node.at("system_root_certs"), "cannot stand beside trusted_ca")
    return TlsValidation(
        trusted_ca=_source(ctx, node.node("trusted_ca")),
        system_root_certs="system_root_certs" in node,
        crl=_source(ctx, node.node("crl")),
        match_typed_subject_alt_names=sans,
        verify_certificate_hash=[
            _hash(ctx, (node.at("verify_certificate_hash"), i), text)
            for i, text in enumerate(node.get("verify_certificate_hash", []))
        ],
        verify_certificate_spki=[
            _spki(ctx, (node.at("verify_certificate_spki"), i), text)
            for i, text in enumerate(node.get("verify_certificate_spki", []))
        ],
        allow_expired_certificate=node.get("allow_expired_certificate", False),
        accept_untrusted=trust == "ACCEPT_UNTRUSTED",
        only_verify_leaf_cert_crl=node.get("only_verify_leaf_cert_crl", False),
        max_verify_depth=node.get("max_verify_depth", 0),
    )


def _hash(ctx: Context, path: Path, text: str) -> bytes:
    """SHA-256 in hex, with or without colons."""
    try:
        found = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        found = b""
    if len(found) != _HASH_BYTES:
        ctx.fault(path, "expected the SHA-256 of a certificate: 64 hex digits")
    return found.ljust(_HASH_BYTES, b"\0")


def _spki(ctx: Context, path: Path, text: str) -> bytes:
    """SHA-256 in base64."""
    try:
        found = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        found = b""
    if len(found) != _HASH_BYTES:
        ctx.fault(path, "expected the SHA-256 of a public key: 44 characters of base64")
    return found.ljust(_HASH_BYTES, b"\0")
