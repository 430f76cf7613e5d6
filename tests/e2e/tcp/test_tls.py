"""TCP behind TLS, to TLS, and with PROXY headers: what network filters see of it."""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest

from ..support.certificates import Authority, Certificate
from .conftest import ServerMaker, TcpMaker, cluster, python_filter
from .servers import Peer, connect, echo, read_all

_TYPE = "type.googleapis.com/envoy.extensions"
PROXY_LINE = b"PROXY TCP4 192.0.2.7 198.51.100.9 5555 443\r\n"

TELL = '''
import json

import moebridge as mb


class Tell(mb.NetworkFilter):
    """Tells the upstream what it knows of the client, then passes all."""

    def on_connect(self, conn: mb.Connection) -> None:
        info = conn.info
        known = {
            "remote": info.remote_address, "direct": info.direct_remote_address,
            "local": info.local_address, "sni": info.sni, "alpn": info.alpn,
            "tls": info.tls_version, "subject": info.peer_subject, "sha256": info.peer_sha256,
            "tlv": conn.metadata.get("envoy.filters.listener.proxy_protocol", "kind"),
        }
        conn.feed(json.dumps(known).encode() + b"\\n")
'''


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def _filter_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tell.py").write_text(TELL)
    monkeypatch.chdir(tmp_path)


def tls_of(certificate: Certificate, kind: str, **fields: Any) -> dict[str, Any]:
    files = {
        "certificate_chain": {"filename": str(certificate.cert_file)},
        "private_key": {"filename": str(certificate.key_file)},
    }
    common = {"tls_certificates": [files], "alpn_protocols": ["redis"], **fields.pop("common", {})}
    typed = {
        "@type": f"{_TYPE}.transport_sockets.tls.v3.{kind}",
        "common_tls_context": common,
        **fields,
    }
    return {"name": "tls", "typed_config": typed}


def told(peer: Peer) -> None:
    """Answers with the first line that comes."""
    line = b""
    while not line.endswith(b"\n"):
        line += peer.recv(1)
    peer.sendall(line)


def test_filters_see_clear_text_and_who_the_client_is(
    authority: Authority, make_server: ServerMaker, make_tcp: TcpMaker
) -> None:
    server, client = authority.issue("cache.test"), authority.issue("ann", client=True)
    ca = {"trusted_ca": {"filename": str(authority.file)}}
    tls = tls_of(
        server,
        "DownstreamTlsContext",
        common={"validation_context": ca},
        require_client_certificate=True,
    )
    up = cluster("up", make_server(told).address)
    proxy = make_tcp([up], python_filter("tell.py:Tell"), chain={"transport_socket": tls})
    context = ssl.create_default_context(cafile=str(authority.file))
    context.load_cert_chain(client.cert_file, client.key_file)
    context.set_alpn_protocols(["redis"])
    with (
        connect(proxy.addresses["main"]) as raw,
        context.wrap_socket(raw, server_hostname="cache.test") as peer,
    ):
        answer = read_all(peer).decode()
    assert '"sni": "cache.test"' in answer
    assert '"alpn": "redis"' in answer
    assert '"tls": "TLSv1.3"' in answer
    assert '"subject": "CN=ann"' in answer
    assert f'"sha256": "{client.sha256}"' in answer


def test_tls_passes_through_and_is_known_by_its_name(
    authority: Authority, make_server: ServerMaker, make_tcp: TcpMaker
) -> None:
    certificate = authority.issue("db.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    names: list[bytes] = []

    def serve(peer: Peer) -> None:
        line = b""
        while not line.endswith(b"\n"):
            line += peer.recv(1)
        names.append(line)
        with context.wrap_socket(peer, server_side=True) as secure:
            secure.sendall(b"got " + secure.recv(100))

    inspector = {
        "name": "tls_inspector",
        "typed_config": {"@type": f"{_TYPE}.filters.listener.tls_inspector.v3.TlsInspector"},
    }
    proxy = make_tcp(
        [cluster("up", make_server(serve).address)],
        python_filter("tell.py:Tell"),
        listener={"listener_filters": [inspector]},
        chain={"filter_chain_match": {"server_names": ["db.test"]}},
    )
    client = ssl.create_default_context(cafile=str(authority.file))
    with (
        connect(proxy.addresses["main"]) as raw,
        client.wrap_socket(raw, server_hostname="db.test") as peer,
    ):
        peer.sendall(b"x")
        assert read_all(peer) == b"got x"
    assert b'"sni": "db.test"' in names[0]


def test_clear_text_goes_on_as_tls(
    authority: Authority, make_server: ServerMaker, make_tcp: TcpMaker
) -> None:
    certificate = authority.issue("up.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)

    def serve(peer: Peer) -> None:
        with context.wrap_socket(peer, server_side=True) as secure:
            secure.sendall(b"safe " + secure.recv(100))

    names = [{"san_type": "DNS", "matcher": {"exact": "up.test"}}]
    ca = {"trusted_ca": {"filename": str(authority.file)}, "match_typed_subject_alt_names": names}
    typed = {
        "@type": f"{_TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "up.test",
        "common_tls_context": {"validation_context": ca},
    }
    socket_ = {"name": "tls", "typed_config": typed}
    up = cluster("up", make_server(serve).address, transport_socket=socket_)
    with connect(make_tcp([up]).addresses["main"]) as peer:
        peer.sendall(b"x")
        assert read_all(peer) == b"safe x"


def test_the_client_of_a_proxy_header_is_told_on(
    make_server: ServerMaker, make_tcp: TcpMaker
) -> None:
    inner = {
        "name": "raw",
        "typed_config": {"@type": f"{_TYPE}.transport_sockets.raw_buffer.v3.RawBuffer"},
    }
    typed = {
        "@type": f"{_TYPE}.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config": {"version": "V1"},
        "transport_socket": inner,
    }
    listener_filter = {
        "name": "proxy",
        "typed_config": {
            "@type": f"{_TYPE}.filters.listener.proxy_protocol.v3.ProxyProtocol",
            "rules": [{"tlv_type": 224, "on_tlv_present": {"key": "kind"}}],
        },
    }
    up = cluster(
        "up",
        make_server(echo).address,
        transport_socket={"name": "pp", "typed_config": typed},
    )
    proxy = make_tcp(
        [up], python_filter("tell.py:Tell"), listener={"listener_filters": [listener_filter]}
    )
    tlv = bytes([224]) + struct.pack("!H", 4) + b"gold"
    addresses = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.9")
    body = addresses + struct.pack("!HH", 5555, 443) + tlv
    header = b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x11]) + struct.pack("!H", len(body)) + body
    with connect(proxy.addresses["main"]) as peer:
        peer.sendall(header)
        found = b""
        while not found.endswith(b"}\n"):
            piece = peer.recv(2000)
            assert piece, found
            found += piece
    assert found.startswith(PROXY_LINE)
    told_on = found.removeprefix(PROXY_LINE).decode()
    assert '"remote": "192.0.2.7:5555"' in told_on
    assert '"direct": "127.0.0.1:' in told_on
    assert '"local": "198.51.100.9:443"' in told_on
    assert '"tlv": "gold"' in told_on
