"""Clients over TLS: which certificate, version and protocol they get, and what is refused."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ..support.certificates import Authority
from ..support.upstream import Upstream
from .conftest import WAIT_S, Starter, ask, bootstrap, client_context, count, of_files, wait_for


def s_client(address: str, *args: str) -> str:
    """What openssl's client says of a handshake."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", address, *args],
        input="",
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return done.stdout + done.stderr


def test_certificate_is_chosen_by_server_name(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    first, wild = authority.issue("a.test"), authority.issue("*.wild.test", "wild.test")
    exact = authority.issue("x.wild.test")
    proxy = start(
        bootstrap(
            upstream.address,
            downstream={
                "common_tls_context": {
                    "tls_certificates": [of_files(c) for c in (first, wild, exact)]
                }
            },
        )
    )
    context = client_context(authority)
    for name, certificate in (
        ("a.test", first),
        ("A.TEST", first),
        ("b.wild.test", wild),
        ("wild.test", wild),
        ("x.wild.test", exact),
    ):
        got = ask(proxy.addresses["main"], context, name)
        assert (got.status, got.certificate) == (200, certificate.x509.public_bytes(Encoding.DER))
    with pytest.raises(ssl.SSLCertVerificationError):  # a wildcard is for one label
        ask(proxy.addresses["main"], context, "a.b.wild.test")
    assert upstream.requests[0].get("x-forwarded-proto") == "https"


def test_both_keys_of_a_name_are_usable(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    certificates = [authority.issue("a.test"), authority.issue("a.test", file="rsa", rsa_key=True)]
    proxy = start(
        bootstrap(
            upstream.address,
            downstream={
                "common_tls_context": {"tls_certificates": [of_files(c) for c in certificates]}
            },
        )
    )
    address = proxy.addresses["main"]
    for version in ("-tls1_2", "-tls1_3"):
        ecdsa = s_client(address, version, "-sigalgs", "ecdsa_secp256r1_sha256", "-brief")
        assert "Signature type: ECDSA" in ecdsa
        rsa = s_client(address, version, "-sigalgs", "rsa_pss_rsae_sha256", "-brief")
        assert "Signature type: RSA-PSS" in rsa


def test_protocol_is_agreed_on_by_alpn(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    proxy = start(
        bootstrap(
            upstream.address,
            downstream={
                "common_tls_context": {
                    "tls_certificates": [of_files(authority.issue("a.test"))],
                    "alpn_protocols": ["h2", "http/1.1"],
                }
            },
        )
    )
    port = proxy.addresses["main"].rpartition(":")[2]
    for flag, protocol in (("--http2", "2"), ("--http1.1", "1.1")):
        done = subprocess.run(
            [
                *("curl", "-s", "-o", "/dev/null", flag, "--cacert", str(authority.file)),
                *("-w", "%{http_code} %{http_version}", "--resolve", f"a.test:{port}:127.0.0.1"),
                f"https://a.test:{port}/",
            ],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=True,
        )
        assert done.stdout == f"200 {protocol}"
    context = client_context(authority)
    context.set_alpn_protocols(["spdy/3"])
    assert ask(proxy.addresses["main"], context).alpn is None


def test_sessions_are_resumed_in_both_versions(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    proxy = start(
        bootstrap(
            upstream.address,
            downstream={
                "common_tls_context": {"tls_certificates": [of_files(authority.issue("a.test"))]}
            },
        )
    )
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client_context(authority)
        context.minimum_version = context.maximum_version = version
        first = ask(proxy.addresses["main"], context)
        again = ask(proxy.addresses["main"], context, session=first.session)
        assert (first.reused, again.reused) == (False, True)
    assert count(proxy, "listener.main.ssl.session_reused") == 2
    assert count(proxy, "listener.main.ssl.handshake") == 4


def test_old_versions_and_suites_are_refused(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    proxy = start(
        bootstrap(
            upstream.address,
            downstream={
                "common_tls_context": {
                    "tls_certificates": [of_files(authority.issue("a.test"))],
                    "tls_params": {
                        "tls_minimum_protocol_version": "TLSv1_3",
                    },
                }
            },
        )
    )
    address = proxy.addresses["main"]
    assert "alert protocol version" in s_client(address, "-tls1_2")
    assert "TLSv1.3" in s_client(address, "-brief")
    assert wait_for(proxy, "listener.main.ssl.connection_error") == 1


def test_staple_is_given_to_who_asks(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    certificate = authority.issue("a.test")
    staple = authority.folder / "staple.der"
    staple.write_bytes(authority.ocsp_response(certificate))
    proxy = start(
        bootstrap(
            upstream.address,
            downstream={
                "common_tls_context": {
                    "tls_certificates": [
                        of_files(certificate, ocsp_staple={"filename": str(staple)})
                    ]
                },
                "ocsp_staple_policy": "MUST_STAPLE",
            },
        )
    )
    said = s_client(proxy.addresses["main"], "-status", "-servername", "a.test")
    assert "OCSP Response Status: successful" in said
    assert count(proxy, "listener.main.ssl.ocsp_staple_responses") == 1


def test_garbage_is_refused_with_a_counter_and_a_line(
    authority: Authority, upstream: Upstream, start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    proxy = start(
        bootstrap(
            upstream.address,
            downstream={
                "common_tls_context": {"tls_certificates": [of_files(authority.issue("a.test"))]}
            },
        )
    )
    host, _, port = proxy.addresses["main"].rpartition(":")
    for garbage in (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01x"):
        with socket.create_connection((host, int(port)), timeout=WAIT_S) as client:
            client.sendall(garbage)
            while client.recv(4096):
                pass
    assert wait_for(proxy, "listener.main.ssl.connection_error", 2) == 2
    assert ask(proxy.addresses["main"], client_context(authority)).status == 200
    lines = [r.getMessage() for r in caplog.records if "handshake with" in r.getMessage()]
    assert len(lines) == 2
    assert "http request" in lines[0]
    assert len(upstream.requests) == 1


def test_stalled_handshake_is_ended(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    proxy = start(
        bootstrap(
            upstream.address,
            downstream={
                "common_tls_context": {"tls_certificates": [of_files(authority.issue("a.test"))]}
            },
            chain={"transport_socket_connect_timeout": "0.2s"},
        )
    )
    host, _, port = proxy.addresses["main"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as client:
        client.sendall(b"\x16\x03\x01")
        assert client.recv(10) == b""
    name = "listener.main.downstream_cx_transport_socket_connect_timeout"
    assert wait_for(proxy, name) == 1
    assert ask(proxy.addresses["main"], client_context(authority)).status == 200


def test_large_bodies_pass_both_ways(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    proxy = start(
        bootstrap(
            upstream.address,
            downstream={
                "common_tls_context": {"tls_certificates": [of_files(authority.issue("a.test"))]}
            },
        )
    )
    port = proxy.addresses["main"].rpartition(":")[2]
    body = authority.folder / "body"
    body.write_bytes(bytes(i * 7 % 251 for i in range(3_000_000)))
    done = subprocess.run(
        [
            *("curl", "-s", "--http1.1", "--cacert", str(authority.file)),
            *("--data-binary", f"@{body}", "-H", "content-type: application/octet-stream"),
            *("--resolve", f"a.test:{port}:127.0.0.1", f"https://a.test:{port}/"),
        ],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.returncode == 0
    assert upstream.requests[0].body == body.read_bytes()
