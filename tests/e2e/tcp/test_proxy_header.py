"""The PROXY header that a cluster puts in front of the connections of a TCP proxy."""

from __future__ import annotations

import socket

import pytest

from .conftest import ServerMaker, TcpMaker, cluster
from .servers import Peer, connect, read_all

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets."
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def proxy_header(version: str) -> dict[str, object]:
    raw = {"name": "raw", "typed_config": {"@type": f"{_TYPE}raw_buffer.v3.RawBuffer"}}
    typed = {
        "@type": f"{_TYPE}proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config": {"version": version},
        "transport_socket": raw,
    }
    return {"name": "proxy", "typed_config": typed}


def expected(version: str, client: tuple[str, int], to: str) -> bytes:
    host, port = client
    there, _, its_port = to.rpartition(":")
    if version == "V1":
        return f"PROXY TCP4 {host} {there} {port} {its_port}\r\n".encode()
    addresses = socket.inet_aton(host) + socket.inet_aton(there)
    ports = port.to_bytes(2, "big") + int(its_port).to_bytes(2, "big")
    return SIGNATURE + b"\x21\x11\x00\x0c" + addresses + ports


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_header_comes_first_even_when_the_client_says_nothing(
    make_server: ServerMaker, make_tcp: TcpMaker, version: str
) -> None:
    def say_back(peer: Peer) -> None:
        """Speaks as soon as it has the header, before any byte of the client."""
        head = peer.recv(200)
        peer.sendall(head + b"|")
        peer.sendall(peer.recv(100))

    proxy = make_tcp(
        [cluster("up", make_server(say_back).address, transport_socket=proxy_header(version))]
    )
    address = proxy.addresses["main"]
    with connect(address) as peer:
        want = expected(version, peer.getsockname(), address) + b"|"
        got = b""
        while len(got) < len(want):
            got += peer.recv(200)
        assert got == want
        peer.sendall(b"hello")
        assert read_all(peer) == b"hello"
