"""gRPC with TLS on both sides of the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from tests.e2e.grpc.conftest import grpc_config
from tests.e2e.grpc.service import WAIT_S, Calls, Service
from tests.e2e.support.certificates import Authority, Certificate

import moebridge as mb

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
NAME = "grpc.test"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Issues for both sides."""
    return Authority(tmp_path)


@pytest.fixture
def certificate(authority: Authority) -> Certificate:
    """Of the service and of the proxy."""
    return authority.issue(NAME)


def with_tls(address: str, authority: Authority, certificate: Certificate) -> dict[str, Any]:
    """A bootstrap that takes calls by TLS and passes them on by TLS."""
    upstream = {
        "@type": f"{_TLS}.UpstreamTlsContext",
        "sni": NAME,
        "common_tls_context": {
            "validation_context": {
                "trusted_ca": {"filename": str(authority.file)},
                "match_typed_subject_alt_names": [
                    {"san_type": "DNS", "matcher": {"exact": NAME}},
                ],
            }
        },
    }
    downstream = {
        "@type": f"{_TLS}.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(certificate.cert_file)},
                    "private_key": {"filename": str(certificate.key_file)},
                }
            ],
        },
    }
    backend = {"transport_socket": {"name": "tls", "typed_config": upstream}}
    config = grpc_config(address, backend=backend)
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["transport_socket"] = {"name": "tls", "typed_config": downstream}
    return config


@pytest.fixture
def secure_calls(authority: Authority, certificate: Certificate) -> Iterator[Calls]:
    """A client of a proxy of a service, with TLS between each two."""
    pair = (certificate.key_pem.encode(), certificate.pem.encode())
    options = (("grpc.ssl_target_name_override", NAME),)
    with Service(grpc.ssl_server_credentials([pair])) as service:
        proxy = mb.Proxy.from_config(with_tls(service.address, authority, certificate))
        proxy.start()
        try:
            credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
            with Calls(proxy.addresses["main"], credentials, options) as calls:
                yield calls
        finally:
            proxy.stop()


def test_unary_call(secure_calls: Calls) -> None:
    answer, call = secure_calls.unary.with_call(b"hello", timeout=WAIT_S)
    assert answer == b"hello"
    assert dict(call.trailing_metadata())["x-counted"] == "10 10"


def test_large_messages_in_streams(secure_calls: Calls) -> None:
    messages = [bytes([i]) * (1 << 20) for i in range(4)]
    assert list(secure_calls.echo(iter(messages), timeout=60)) == messages


def test_many_calls(secure_calls: Calls) -> None:
    pending = [secure_calls.unary.future(b"%d" % i, timeout=60) for i in range(100)]
    assert [call.result(WAIT_S) for call in pending] == [b"%d" % i for i in range(100)]


def test_refusal(secure_calls: Calls) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        secure_calls.unary(b"", metadata=(("x-refuse", "403"),), timeout=WAIT_S)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
