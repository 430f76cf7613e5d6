"""CONNECT: ended here (the tunnel goes to the cluster as TCP), passed on, and refused."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import UpstreamMaker
from tests.e2e.support.client import RawClient
from tests.e2e.support.envoy_config import access_log, to
from tests.e2e.support.messages import head
from tests.e2e.support.upstream import Exchange
from tests.e2e.upgrade.conftest import FileProxyMaker, allow, until

ASK = head("CONNECT inside.test:443 HTTP/1.1", [("host", "inside.test:443")])


def connect_route(*, ends_here: bool = True, **fields: Any) -> dict[str, Any]:
    """A route for CONNECT."""
    config = {"upgrade_type": "CONNECT", **({"connect_config": {}} if ends_here else {})}
    route = to(upgrade_configs=[config], **fields)
    return {"match": {"connect_matcher": {}}, "route": route["route"]}


@contextmanager
def tcp_server(context: ssl.SSLContext | None = None, *, first: bytes = b"") -> Iterator[str]:
    """Echoes each connection until its end, behind `first`; yields its address."""

    def serve_one(peer: socket.socket) -> None:
        with closing(context.wrap_socket(peer, server_side=True) if context else peer) as end:
            end.sendall(first)
            while data := end.recv(65_536):
                if data.startswith(b"GET "):  # somebody speaks HTTP within TLS
                    data = head("HTTP/1.1 200 OK", [("content-length", "6")]) + b"inside"
                end.sendall(data)

    def accept() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve_one, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate for inside.test, in one file."""
    file = tmp_path_factory.mktemp("tls") / "inside.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=inside.test", "-addext", "subjectAltName=DNS:inside.test"]
    subprocess.run(
        [*words.split(), *names, "-keyout", file, "-out", f"{file}.crt"],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def test_a_tunnel_that_ends_here_is_tcp_both_ways(file_proxy: FileProxyMaker) -> None:
    with tcp_server(first=b"220 hello\r\n") as target:
        proxy = file_proxy(target, routes=[connect_route()])
        with RawClient(proxy.addresses["main"]) as client:
            client.send(ASK + b"early, ")  # before the answer
            answer = client.read_head()
            assert answer.status == 200
            assert not answer.has("content-length")
            assert not answer.has("transfer-encoding")
            client.send(b"GET is no word here\r\n\r\n"[4:] + b"x" * 300_000)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read_to_end() == (
                b"220 hello\r\nearly, is no word here\r\n\r\n" + b"x" * 300_000
            )
        until(lambda: proxy.stats()["cluster.backend.upstream_cx_active"] == 0)
        stats = proxy.stats()
        assert stats["cluster.backend.upstream_cx_http1_total"] == 0
        assert stats["cluster.backend.upstream_cx_total"] == 1
        assert stats["cluster.backend.upstream_rq_200"] == 1


def test_each_tunnel_has_a_connection_of_its_own(file_proxy: FileProxyMaker) -> None:
    with tcp_server() as target:
        proxy = file_proxy(target, routes=[connect_route()])
        clients = [RawClient(proxy.addresses["main"]) for _ in range(5)]
        for number, client in enumerate(clients):
            client.send(ASK + b"%d" % number)
            assert client.read_head().status == 200
            assert client._exactly(1) == b"%d" % number
        assert proxy.stats()["cluster.backend.upstream_cx_active"] == 5
        for client in clients:
            client.close()
        until(lambda: proxy.stats()["cluster.backend.upstream_cx_active"] == 0)
        assert proxy.stats()["cluster.backend.upstream_cx_total"] == 5


def test_curl_through_it_to_an_https_server(file_proxy: FileProxyMaker, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with tcp_server(context) as target:
        proxy = file_proxy(target, routes=[connect_route()])
        words = ["--silent", "--show-error", "--max-time", "20", "--cacert", str(certificate)]
        way = ["--proxy", f"http://{proxy.addresses['main']}", "--proxytunnel"]
        done = subprocess.run(
            ["curl", *words, *way, "https://inside.test/"],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.stdout, done.stderr, done.returncode) == ("inside", "", 0)


def test_a_target_that_refuses_is_503(file_proxy: FileProxyMaker, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    log = access_log(tmp_path / "log", "%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST%\n")
    proxy = file_proxy(f"127.0.0.1:{port}", routes=[connect_route()], hcm={"access_log": [log]})
    with RawClient(proxy.addresses["main"]) as client:
        client.send(ASK + b"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n")
        answer = client.read_response()
        assert answer.status == 503
        assert answer.get("connection") == "close"
        assert client.read_to_end() == b""
    until(lambda: (tmp_path / "log").read_text())
    assert (tmp_path / "log").read_text() == f"503 UF 127.0.0.1:{port}\n"


def test_a_target_that_resets_is_a_reset(file_proxy: FileProxyMaker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        proxy = file_proxy(address, routes=[connect_route()])
        with RawClient(proxy.addresses["main"]) as client:
            client.send(ASK)
            assert client.read_head().status == 200
            peer, _ = server.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
            with pytest.raises(ConnectionResetError):
                client.socket.recv(1)


def test_passed_on_it_is_a_connect_of_ours(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 Fine\r\ncontent-length: 3\r\n\r\n")
        exchange.close()
        while data := await exchange.reader.read(65_536):
            await exchange.send(data)

    upstream = make_upstream(handler)
    proxy = file_proxy(upstream.address, routes=[connect_route(ends_here=False)])
    with RawClient(proxy.addresses["main"]) as client:
        client.send(ASK)
        answer = client.read_head()
        assert (answer.status, answer.has("content-length")) == (200, False)
        client.send(b"longer than three")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_to_end() == b"longer than three"
    request = upstream.requests[0]
    assert (request.method, request.target) == ("CONNECT", "inside.test:443")
    assert request.get("host") == "inside.test:443"
    assert not request.has("transfer-encoding")


def test_a_proxy_behind_that_declines_is_heard(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    async def handler(exchange: Exchange) -> None:
        fields = [("proxy-authenticate", "Basic"), ("content-length", "2")]
        await exchange.send(head("HTTP/1.1 407 x", fields) + b"no")

    proxy = file_proxy(make_upstream(handler).address, routes=[connect_route(ends_here=False)])
    with RawClient(proxy.addresses["main"]) as client:
        client.send(ASK)
        answer = client.read_response("GET")
        assert (answer.status, answer.body) == (407, b"no")
        assert client.read_to_end() == b""


@pytest.mark.parametrize(
    ("routes", "manager", "asked", "status"),
    [
        ([to()], {}, ASK, 404),  # no route is for it: it has no path
        ([{**connect_route(), "route": {"cluster": "backend"}}], {}, ASK, 403),
        ([{**connect_route(), "route": {"cluster": "backend"}}], allow("websocket"), ASK, 403),
        ([connect_route()], {}, ASK[:-2] + b"content-length: 3\r\n\r\nabc", 400),
        ([connect_route()], {}, ASK[:-2] + b"transfer-encoding: chunked\r\n\r\n", 501),
        ([connect_route()], {}, b"CONNECT /path HTTP/1.1\r\nhost: h\r\n\r\n", 400),
        ([connect_route()], {}, b"CONNECT http://h/ HTTP/1.1\r\nhost: h\r\n\r\n", 400),
    ],
)
def test_what_is_refused(
    make_upstream: UpstreamMaker,
    file_proxy: FileProxyMaker,
    routes: list[Any],
    manager: dict[str, Any],
    asked: bytes,
    status: int,
) -> None:
    upstream = make_upstream()
    proxy = file_proxy(upstream.address, routes=routes, hcm=manager)
    with RawClient(proxy.addresses["main"]) as client:
        client.send(asked + b"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n")
        answer = client.read_response()
        assert (answer.status, answer.get("connection")) == (status, "close")
        assert client.read_to_end() == b""
    assert not upstream.requests
