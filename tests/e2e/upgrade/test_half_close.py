"""The upstream ends its direction of a tunnel first: the client's goes on until it ends itself.

Each kind of client against each kind of upstream: HTTP/1.1 and HTTP/2, and CONNECT that ends here.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from h2.settings import SettingCodes
from tests.e2e.support.client import RawClient
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import access_log, cluster, to
from tests.e2e.support.h2_upstream import H2Upstream, Peer
from tests.e2e.support.messages import head
from tests.e2e.upgrade.conftest import (
    ASK,
    END_S,
    OVER_H2,
    SWITCH,
    FileProxyMaker,
    H2Client,
    allow,
    h2_cluster,
    until,
)
from tests.e2e.upgrade.test_connect import connect_route
from tests.e2e.upgrade.test_tunnel import idle

LAST = b"last words" * 1000
MUCH = b"0123456789abcdef" * (3 << 16)  # 3 MiB: more than the proxy keeps
CANCEL = 8
INTERNAL_ERROR = 2
BACKED_UP = "cluster.backend.upstream_flow_control_backed_up_total"
DRAINED = "cluster.backend.upstream_flow_control_drained_total"
CONNECT = b"CONNECT inside.test:443 HTTP/1.1\r\nhost: inside.test:443\r\n\r\n"


# -- clients ---------------------------------------------------------------------------------------


class OneTunnel(RawClient):
    """A tunnel over HTTP/1.1."""

    def open(self, upstream: str) -> None:
        """Asks for it and reads the answer."""
        ask = CONNECT if upstream == "raw" else head("GET / HTTP/1.1", [("host", "h"), *ASK])
        self.send(ask)
        assert self.read_head().status == (200 if upstream == "raw" else 101)

    def say(self, data: bytes) -> None:
        """Sends a piece."""
        self.send(data)

    def end(self) -> None:
        """Sends no more."""
        self.socket.shutdown(socket.SHUT_WR)

    def is_broken(self) -> bool:
        """Whether the tunnel was cut, seen after the other side's end."""
        try:
            self.send(b"x")
        except (ConnectionResetError, BrokenPipeError):
            return True
        return False


class ManyTunnel(H2Client):
    """A tunnel over HTTP/2."""

    number = 0

    def open(self, upstream: str) -> None:
        """Asks for it and reads the answer."""
        if upstream == "raw":
            self.number = self.h2.get_next_available_stream_id()
            fields = [(":method", "CONNECT"), (":authority", "inside.test:443")]
            self.h2.send_headers(self.number, fields)
            self.flush()
        else:
            self.number = self.ask(protocol="raw")
        self.read_until(lambda: self.status)
        assert self.status == 200

    def read_to_end(self) -> bytes:
        """Reads up to the other side's end."""
        self.read_until(lambda: self.ended)
        return self.data

    def say(self, data: bytes) -> None:
        """Sends a piece."""
        self.send(self.number, data)

    def end(self) -> None:
        """Sends no more."""
        self.send(self.number, b"", end=True)

    def abort(self) -> None:
        """Resets the stream."""
        self.h2.reset_stream(self.number, CANCEL)
        self.flush()

    def is_broken(self) -> bool:
        """Waits for the stream's reset."""
        self.read_until(lambda: self.reset is not None)
        assert self.reset == INTERNAL_ERROR
        return True


Tunnel = OneTunnel | ManyTunnel
CLIENTS: dict[str, Callable[[str], Tunnel]] = {"h1": OneTunnel, "h2": ManyTunnel}


# -- upstreams: send LAST and their end, then do `then` --------------------------------------------


class Ended:
    """An upstream that has ended its side of a tunnel, as a test sees it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.go = threading.Event()
        self.said: Queue[bytes | None] = Queue()  # None: reset


@contextmanager
def tcp_upstream(answer: bytes, then: str) -> Iterator[Ended]:
    """One connection; `answer` empty: there is no HTTP on it."""

    def serve() -> None:
        peer, _ = server.accept()
        with closing(peer):
            peer.settimeout(END_S)
            said = b""
            while answer and b"\r\n\r\n" not in said:
                said += peer.recv(65_536)
            peer.sendall(answer + LAST)
            peer.shutdown(socket.SHUT_WR)
            assert upstream.go.wait(END_S)
            if then == "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return
            pieces = []
            try:
                while data := peer.recv(65_536):
                    pieces.append(data)
                upstream.said.put(b"".join(pieces))
            except ConnectionResetError:
                upstream.said.put(None)

    with socket.create_server(("127.0.0.1", 0)) as server:
        upstream = Ended(f"127.0.0.1:{server.getsockname()[1]}")
        thread = threading.Thread(target=serve)
        thread.start()
        yield upstream
        upstream.go.set()
        thread.join(END_S)


@contextmanager
def h2_upstream(then: str, *, with_head: bool = False) -> Iterator[Ended]:
    """One stream; `with_head`: its end comes with the head."""

    def script(peer: Peer, number: int) -> None:
        del number
        stream = peer.request()
        peer.h2.send_headers(stream, [(":status", "200")], end_stream=with_head)
        if not with_head:
            peer.h2.send_data(stream, LAST, end_stream=True)
        peer.flush()
        assert upstream.go.wait(END_S)
        if then == "reset":
            peer.reset(stream, CANCEL)
        with suppress(TimeoutError):
            while not peer.resets:
                if peer.event().__class__.__name__ == "StreamEnded":
                    upstream.said.put(bytes(peer.bodies[stream]))
            upstream.said.put(None)

    with H2Upstream(script, settings={SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}) as listener:
        upstream = Ended(listener.address)
        yield upstream
        upstream.go.set()


def ended(kind: str, then: str = "read") -> AbstractContextManager[Ended]:
    """An upstream of that kind."""
    if kind == "h2":
        return h2_upstream(then)
    answer = head("HTTP/1.1 101 Switching Protocols", SWITCH) if kind == "h1" else b""
    return tcp_upstream(answer, then)


def proxy_to(file_proxy: FileProxyMaker, kind: str, address: str, **manager: Any) -> Core:
    """A proxy to an upstream of that kind, for clients of all kinds."""
    routes = [connect_route()] if kind == "raw" else [to()]
    backend = cluster(address, per_connection_buffer_limit_bytes=16_384)
    if kind == "h2":
        backend = h2_cluster(address)
    return file_proxy([backend], routes=routes, hcm=allow("raw", **OVER_H2, **manager))


def streams(proxy: Core) -> int:
    """How many are open on the client's side."""
    return int(proxy.stats()["http.ingress.downstream_rq_active"])


#: With every client, against every upstream.
each_way = pytest.mark.parametrize(
    ("client", "upstream"), [(client, kind) for client in CLIENTS for kind in ("h1", "h2", "raw")]
)


@each_way
def test_what_the_client_says_after_the_upstreams_end_arrives(
    file_proxy: FileProxyMaker, client: str, upstream: str
) -> None:
    with ended(upstream) as end:
        proxy = proxy_to(file_proxy, upstream, end.address)
        with CLIENTS[client](proxy.addresses["main"]) as tunnel:
            tunnel.open(upstream)
            assert tunnel.read_to_end() == LAST
            end.go.set()
            tunnel.say(MUCH)
            assert streams(proxy) == 1
            tunnel.end()
            assert end.said.get(timeout=END_S) == MUCH
            until(lambda: streams(proxy) == 0)
            assert proxy.stats()["cluster.backend.upstream_rq_active"] == 0
            if isinstance(tunnel, ManyTunnel):
                assert tunnel.reset is None
    until(lambda: proxy.stats()["cluster.backend.upstream_cx_active"] == 0)
    until(lambda: idle(proxy))


@each_way
def test_what_waits_for_the_upstream_survives_its_end(
    file_proxy: FileProxyMaker, client: str, upstream: str
) -> None:
    said = MUCH * (4 if client == "h1" else 1)  # HTTP/2: the stream's windows are the way
    with ended(upstream) as end:
        proxy = proxy_to(file_proxy, upstream, end.address)
        with CLIENTS[client](proxy.addresses["main"]) as tunnel:
            tunnel.open(upstream)

            def talk() -> None:
                tunnel.say(said)  # does not fit on the way: the upstream reads at `go`
                tunnel.end()

            talker = threading.Thread(target=talk)
            talker.start()
            until(lambda: proxy.stats()[BACKED_UP] > 0)
            end.go.set()
            assert end.said.get(timeout=END_S) == said
            talker.join(END_S)
            assert tunnel.read_to_end() == LAST
    until(lambda: idle(proxy))


@each_way
def test_a_reset_after_the_upstreams_end_cuts_the_client_off(
    file_proxy: FileProxyMaker, tmp_path: Path, client: str, upstream: str
) -> None:
    log = access_log(tmp_path / "log", "%RESPONSE_CODE% %RESPONSE_FLAGS%\n")
    with ended(upstream, "reset") as end:
        proxy = proxy_to(file_proxy, upstream, end.address, access_log=[log])
        with CLIENTS[client](proxy.addresses["main"]) as tunnel:
            tunnel.open(upstream)
            assert tunnel.read_to_end() == LAST
            assert streams(proxy) == 1
            end.go.set()
            until(lambda: streams(proxy) == 0)
            until(tunnel.is_broken)
    until(lambda: (tmp_path / "log").read_text())
    status = "200" if upstream == "raw" else "101"
    flag = "UR" if upstream == "h2" else "UC"
    assert (tmp_path / "log").read_text() == f"{status} {flag}\n"


@each_way
def test_a_client_that_resets_after_the_upstreams_end_is_over(
    file_proxy: FileProxyMaker, client: str, upstream: str
) -> None:
    with ended(upstream) as end:
        proxy = proxy_to(file_proxy, upstream, end.address)
        with CLIENTS[client](proxy.addresses["main"]) as tunnel:
            tunnel.open(upstream)
            assert tunnel.read_to_end() == LAST
            tunnel.abort()
            until(lambda: streams(proxy) == 0)
        end.go.set()
        expected = None if upstream == "h2" else b""
        assert end.said.get(timeout=END_S) == expected
    until(lambda: idle(proxy))


@each_way
def test_a_silent_client_is_idle_after_the_upstreams_end(
    file_proxy: FileProxyMaker, client: str, upstream: str
) -> None:
    with ended(upstream) as end:
        proxy = proxy_to(file_proxy, upstream, end.address, stream_idle_timeout="0.3s")
        with CLIENTS[client](proxy.addresses["main"]) as tunnel:
            tunnel.open(upstream)
            assert tunnel.read_to_end() == LAST
            until(lambda: streams(proxy) == 0)
            assert tunnel.is_broken() or client == "h1"
            assert proxy.stats()["http.ingress.downstream_rq_idle_timeout"] == 1
    until(lambda: idle(proxy))


@pytest.mark.parametrize("client", ["h1", "h2"])
def test_an_end_with_the_head_that_accepts_is_one_direction_too(
    file_proxy: FileProxyMaker, client: str
) -> None:
    with h2_upstream("read", with_head=True) as end:
        proxy = proxy_to(file_proxy, "h2", end.address)
        with CLIENTS[client](proxy.addresses["main"]) as tunnel:
            tunnel.open("h2")
            assert tunnel.read_to_end() == b""
            end.go.set()
            tunnel.say(MUCH)
            tunnel.end()
            assert end.said.get(timeout=END_S) == MUCH
    until(lambda: idle(proxy))


def test_both_ends_wait_for_what_the_upstream_is_slow_to_take(file_proxy: FileProxyMaker) -> None:
    """The client has ended too, and its last bytes are still in the proxy."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        proxy = file_proxy([cluster(address)], routes=[connect_route()])
        with OneTunnel(proxy.addresses["main"]) as tunnel:
            tunnel.open("raw")
            peer, _ = server.accept()
            with closing(peer):
                peer.settimeout(END_S)
                sent = taken = 0
                while not proxy.stats()[BACKED_UP]:
                    tunnel.say(bytes(65_536))
                    sent += 65_536
                tunnel.end()
                while not proxy.stats()[DRAINED]:
                    taken += len(peer.recv(4096))
                peer.shutdown(socket.SHUT_WR)
                assert tunnel.read_to_end() == b""
                until(lambda: streams(proxy) == 0)
                while data := peer.recv(65_536):
                    taken += len(data)
                assert taken == sent
    until(lambda: idle(proxy))
