"""The TCP proxy over real sockets."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

import moebridge as mb

from .conftest import ServerMaker, TcpMaker, bootstrap, cluster
from .servers import Peer, connect, read_all


def unused_address() -> str:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host, port = free.getsockname()
        return f"{host}:{port}"


def address_of(proxy: mb.Proxy) -> str:
    return proxy.addresses["main"]


def test_bytes_pass_both_ways_and_are_counted(make_server: ServerMaker, make_tcp: TcpMaker) -> None:
    proxy = make_tcp([cluster("up", make_server().address)])
    with connect(address_of(proxy)) as peer:
        peer.sendall(b"hello")
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer) == b"hello<end>"
    proxy.stop()
    stats = proxy.stats()
    assert stats["tcp.t.downstream_cx_total"] == 1
    assert stats["tcp.t.downstream_cx_rx_bytes_total"] == 5
    assert stats["tcp.t.downstream_cx_tx_bytes_total"] == 10
    assert stats["tcp.t.downstream_cx_rx_bytes_buffered"] == 0
    assert stats["cluster.up.upstream_cx_total"] == 1
    assert stats["cluster.up.upstream_cx_active"] == 0


def test_a_server_may_speak_first(make_server: ServerMaker, make_tcp: TcpMaker) -> None:
    def greet(peer: Peer) -> None:
        peer.sendall(b"220 hello\r\n")
        peer.sendall(b"got " + peer.recv(100))

    proxy = make_tcp([cluster("up", make_server(greet).address)])
    with connect(address_of(proxy)) as peer:
        assert peer.recv(100) == b"220 hello\r\n"
        peer.sendall(b"bye")
        assert read_all(peer) == b"got bye"


def test_the_client_may_end_first_and_still_get_its_answer(
    make_server: ServerMaker, make_tcp: TcpMaker
) -> None:
    def count(peer: Peer) -> None:
        peer.sendall(b"%d" % len(read_all(peer)))

    proxy = make_tcp([cluster("up", make_server(count).address)])
    with connect(address_of(proxy)) as peer:
        peer.sendall(b"x" * 3_000_000)
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer) == b"3000000"


def test_the_server_may_end_first_and_still_be_sent_to(
    make_server: ServerMaker, make_tcp: TcpMaker
) -> None:
    found: list[bytes] = []
    ended = threading.Event()

    def end_first(peer: Peer) -> None:
        peer.sendall(b"all")
        peer.shutdown(socket.SHUT_WR)
        found.append(read_all(peer))
        ended.set()

    proxy = make_tcp([cluster("up", make_server(end_first).address)])
    with connect(address_of(proxy)) as peer:
        assert read_all(peer) == b"all"
        peer.sendall(b"late")
        peer.shutdown(socket.SHUT_WR)
        assert ended.wait(30)
    assert found == [b"late"]


def test_what_a_client_sent_before_it_went_reaches_the_upstream(
    make_server: ServerMaker, make_tcp: TcpMaker
) -> None:
    sizes: list[int] = []
    go, ended = threading.Event(), threading.Event()

    def slow(peer: Peer) -> None:
        go.wait(30)
        sizes.append(len(read_all(peer)))
        ended.set()

    limit = {"per_connection_buffer_limit_bytes": 64 * 1024 * 1024}
    proxy = make_tcp([cluster("up", make_server(slow).address, **limit)])
    with connect(address_of(proxy)) as peer:
        peer.sendall(b"x" * 20_000_000)
    go.set()
    assert ended.wait(30)
    assert sizes == [20_000_000]


def test_a_reset_upstream_ends_the_client(make_server: ServerMaker, make_tcp: TcpMaker) -> None:
    def reset(peer: Peer) -> None:
        peer.recv(1)
        peer.sendall(b"last words")
        peer.recv(1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    proxy = make_tcp([cluster("up", make_server(reset).address)])
    with connect(address_of(proxy)) as peer:
        peer.sendall(b"a")
        assert peer.recv(100) == b"last words"
        peer.sendall(b"b")
        assert read_all(peer) == b""


def test_idle_connections_end(make_server: ServerMaker, make_tcp: TcpMaker) -> None:
    proxy = make_tcp([cluster("up", make_server().address)], idle_timeout="0.2s")
    with connect(address_of(proxy)) as peer:
        peer.sendall(b"a")
        assert peer.recv(1) == b"a"
        assert read_all(peer) == b""
    assert proxy.stats()["tcp.t.idle_timeout"] == 1


def test_connections_have_a_longest_life(make_server: ServerMaker, make_tcp: TcpMaker) -> None:
    proxy = make_tcp(
        [cluster("up", make_server().address)], max_downstream_connection_duration="0.2s"
    )
    with connect(address_of(proxy)) as peer:
        assert read_all(peer) == b""
    assert proxy.stats()["tcp.t.max_downstream_connection_duration"] == 1


def test_clusters_get_their_shares(make_server: ServerMaker, make_tcp: TcpMaker) -> None:
    one, two = make_server(), make_server()
    weights = {"clusters": [{"name": "one", "weight": 1}, {"name": "two", "weight": 3}]}
    proxy = make_tcp(
        [cluster("one", one.address), cluster("two", two.address)], weighted_clusters=weights
    )
    for _ in range(200):
        with connect(address_of(proxy)) as peer:
            peer.sendall(b"x")
            assert peer.recv(1) == b"x"
    # 200 draws of 1/4: six standard deviations are 37.
    assert one.count + two.count == 200
    assert abs(one.count - 50) <= 37


@pytest.mark.parametrize(("attempts", "answered"), [(1, False), (2, True)])
def test_another_host_is_tried_when_one_does_not_answer(
    make_server: ServerMaker, make_tcp: TcpMaker, attempts: int, answered: bool
) -> None:
    server = make_server()
    dead = unused_address()
    hosts = [dead, server.address]
    proxy = make_tcp([cluster("up", *hosts)], max_connect_attempts=attempts)
    outcomes = []
    for _ in range(2):  # round robin begins at a random host
        with connect(address_of(proxy)) as peer:
            peer.sendall(b"x")
            try:
                peer.shutdown(socket.SHUT_WR)
                outcomes.append(read_all(peer) == b"x<end>")
            except OSError:  # reset, or ENOTCONN where that was before the shutdown
                outcomes.append(False)
    assert any(outcomes)
    assert all(outcomes) is answered


def test_nobody_to_send_to_ends_the_client(make_tcp: TcpMaker) -> None:
    proxy = make_tcp([cluster("up", unused_address())], max_connect_attempts=3)
    with connect(address_of(proxy)) as peer:
        assert read_all(peer) == b""
    assert proxy.stats()["cluster.up.upstream_cx_connect_fail"] == 3


def test_the_access_log_has_a_line_for_each_connection(
    make_server: ServerMaker, make_tcp: TcpMaker, tmp_path: Path
) -> None:
    log = tmp_path / "tcp.log"
    line = (
        "%BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %RESPONSE_FLAGS% "
        "%PROTOCOL% %REQ(:PATH)% %ROUTE_NAME%\n"
    )
    config = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": str(log),
        "log_format": {"text_format_source": {"inline_string": line}},
    }
    server = make_server()
    proxy = make_tcp(
        [cluster("up", server.address)], access_log=[{"name": "log", "typed_config": config}]
    )
    with connect(address_of(proxy)) as peer:
        peer.sendall(b"abc")
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer) == b"abc<end>"
    proxy.stop()
    assert log.read_text() == f"3 8 up {server.address} - - - -\n"


def test_a_slow_reader_stops_the_sender(make_server: ServerMaker, make_tcp: TcpMaker) -> None:
    """What the proxy holds is bounded, both ways: the sender stands still."""
    total = 200_000_000
    sent = threading.Event()

    def flood(peer: Peer) -> None:
        piece = b"x" * 65536
        peer.recv(1)
        peer.settimeout(1)
        given = 0
        try:
            while given < total:
                given += peer.send(piece)
        except TimeoutError:
            stopped.append(given)
        sent.set()
        peer.settimeout(30)
        peer.recv(1)

    stopped: list[int] = []
    proxy = make_tcp([cluster("up", make_server(flood).address)])
    with connect(address_of(proxy)) as peer:
        peer.sendall(b"g")
        assert sent.wait(30)
        assert stopped
        assert stopped[0] < total
        assert proxy.stats()["cluster.up.upstream_flow_control_paused_reading_total"] >= 1


def test_a_reload_keeps_connections(make_server: ServerMaker, make_tcp: TcpMaker) -> None:
    one, two = make_server(), make_server()
    proxy = make_tcp([cluster("up", one.address)])
    with connect(address_of(proxy)) as peer:
        peer.sendall(b"a")
        assert peer.recv(1) == b"a"
        proxy.reload(bootstrap([cluster("up", two.address)]))
        peer.sendall(b"b")
        assert peer.recv(1) == b"b"
        with connect(address_of(proxy)) as later:
            later.sendall(b"c")
            assert later.recv(1) == b"c"
    assert (one.count, two.count) == (1, 1)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"cluster": "other"}, "typed_config.cluster: no cluster"),
        ({"tunneling_config": {"hostname": "a"}}, "tunneling_config: "),
        ({"max_connect_attempts": 0}, "max_connect_attempts"),
        ({"weighted_clusters": {"clusters": []}}, "weighted_clusters.clusters"),
    ],
)
def test_what_cannot_be_done_is_said(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(mb.ConfigError) as caught:
        mb.Proxy.from_config(bootstrap([cluster("up", "127.0.0.1:1")], **fields))
    assert fault in str(caught.value)
    assert "static_resources.listeners[0].filter_chains[0].filters[0]" in str(caught.value)
