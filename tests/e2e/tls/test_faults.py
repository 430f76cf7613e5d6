"""What is wrong with certificates and keys is said with its place; no error shows a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import moebridge as mb

from ..support.certificates import Authority
from .conftest import Starter, bootstrap, of_files

PLACE = (
    "static_resources.listeners[0].filter_chains[0].transport_socket.typed_config"
    ".common_tls_context"
)
SECRET = "c29tZXRoaW5nIHZlcnkgc2VjcmV0"


def fault_of(tls: dict[str, Any]) -> str:
    """The one fault of a DownstreamTlsContext."""
    with pytest.raises(mb.ConfigError) as caught:
        mb.Proxy.from_config(bootstrap("127.0.0.1:1", downstream=tls)).start()
    (fault,) = caught.value.faults
    return f"{fault.path}: {fault.message}"


def common(*certificates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"common_tls_context": {"tls_certificates": list(certificates), **more}}


def test_files_are_named_with_what_to_do(authority: Authority, tmp_path: Path) -> None:
    good, other = authority.issue("a.test"), authority.issue("b.test")
    locked = authority.issue("c.test", password="pass-word")
    junk = tmp_path / "junk"
    junk.write_text("no PEM")
    first = f"{PLACE}.tls_certificates[0]"
    missing = {"filename": str(tmp_path / "none")}
    for certificate, words in (
        (of_files(good, certificate_chain=missing), 'certificate_chain: "{}/none" cannot be read'),
        (
            of_files(good, private_key={"filename": str(other.key_file)}),
            "private_key: {}/b.test.key",
        ),
        (
            of_files(good, certificate_chain={"filename": str(junk)}),
            "certificate_chain: {}/junk has",
        ),
        (of_files(locked), "private_key: {}/c.test.key is encrypted: set password"),
        (
            of_files(locked, password={"inline_string": SECRET}),
            "private_key: {}/c.test.key cannot be",
        ),
    ):
        fault = fault_of(common(certificate))
        assert fault.startswith(f"{first}.{words.format(tmp_path)}")
        assert SECRET not in fault


def test_encrypted_key_opens_with_its_password(authority: Authority, start: Starter) -> None:
    locked = authority.issue("c.test", password="pass-word")
    password = {"inline_string": "pass-word"}
    start(bootstrap("127.0.0.1:1", downstream=common(of_files(locked, password=password))))


def test_settings_are_judged(authority: Authority) -> None:
    certificate = of_files(authority.issue("a.test"))
    for more, words in (
        ({"tls_params": {"cipher_suites": ["AES128-SHA", "NONE"]}}, "tls_params.cipher_suites: "),
        ({"tls_params": {"ecdh_curves": ["P-1"]}}, "tls_params.ecdh_curves: "),
        (
            {
                "validation_context": {
                    "match_typed_subject_alt_names": [
                        {"san_type": "DNS", "matcher": {"exact": "x"}}
                    ]
                }
            },
            "validation_context.match_typed_subject_alt_names: ",
        ),
    ):
        assert fault_of(common(certificate, **more)).startswith(f"{PLACE}.{words}")


@pytest.mark.parametrize(
    "certificate",
    [
        {"private_key": SECRET},
        {"private_key": [SECRET]},
        {"private_key": {"inline_bytes": SECRET + "!"}},
        {"private_key": {"inline_string": {"x": SECRET}}},
        {"private_key": {"inline_string": SECRET}},
        {"password": SECRET, "private_key": {"inline_string": SECRET}},
    ],
)
def test_no_error_shows_a_key(authority: Authority, certificate: dict[str, Any]) -> None:
    chain = {"filename": str(authority.issue("a.test").cert_file)}
    with pytest.raises(mb.ConfigError) as caught:
        mb.Proxy.from_config(
            bootstrap("127.0.0.1:1", downstream=common({"certificate_chain": chain, **certificate}))
        ).start()
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.faults)


def test_static_secrets_are_found_by_name(authority: Authority, start: Starter) -> None:
    config = bootstrap(
        "127.0.0.1:1",
        downstream={
            "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "mine"}]}
        },
    )
    with pytest.raises(mb.ConfigError, match='there is no secret "mine"'):
        mb.Proxy.from_config(config)
    secret = {"name": "mine", "tls_certificate": of_files(authority.issue("a.test"))}
    config["static_resources"]["secrets"] = [secret]
    start(config)
