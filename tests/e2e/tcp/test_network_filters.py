"""Python network filters over real sockets: much data, and every way to end while suspended."""

# ruff: noqa: ARG002  (a hook has the arguments that it has)

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
import threading
from pathlib import Path

import pytest

import moebridge as mb

from ..conftest import ProxyMaker
from ..support.command import Command
from .conftest import ServerMaker, TcpMaker, bootstrap, cluster, python_filter
from .servers import Peer, connect, read_all

MIB = 1024 * 1024


def rss_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


class Pass(mb.NetworkFilter):
    """Looks at all and changes nothing but the first byte, twice."""

    def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
        conn.state["n"] = conn.state.get("n", 0) + sum(len(part) for part in data.slices())

    def on_write(self, conn: mb.Connection, data: mb.Buffer) -> None:
        conn.state["m"] = conn.state.get("m", 0) + len(memoryview(data))


def test_a_gibibyte_passes_a_filter_both_ways_in_bounded_memory(
    make_server: ServerMaker, make_proxy: ProxyMaker
) -> None:
    total, piece = 1024 * MIB, bytes(range(256)) * 4096

    def mirror(peer: Peer) -> None:
        while data := peer.recv(MIB):
            peer.sendall(data)

    proxy = make_proxy(Pass(), upstream=make_server(mirror).address)
    sent, got = hashlib.sha256(), hashlib.sha256()
    before = rss_bytes()
    most = 0
    with connect(proxy.addresses["main"]) as peer:

        def send() -> None:
            for _ in range(total // len(piece)):
                sent.update(piece)
                peer.sendall(piece)
            peer.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        length = 0
        while data := peer.recv(MIB):
            got.update(data)
            length += len(data)
            if length % (64 * MIB) < len(data):
                most = max(most, rss_bytes())
        sender.join()
    assert length == total
    assert got.digest() == sent.digest()
    assert most - before < 64 * MIB


class Suspended(mb.NetworkFilter):
    """Its hooks never end by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.cancelled = threading.Event()

    async def wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class SuspendedData(Suspended):
    """In on_data."""

    async def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
        await self.wait()


class SuspendedWrite(Suspended):
    """In on_write."""

    async def on_write(self, conn: mb.Connection, data: mb.Buffer) -> None:
        await self.wait()


class SuspendedConnect(Suspended):
    """In on_connect."""

    async def on_connect(self, conn: mb.Connection) -> None:
        await self.wait()


KINDS = pytest.mark.parametrize("kind", [SuspendedData, SuspendedWrite, SuspendedConnect])


def reset(peer: Peer) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


@KINDS
def test_the_client_goes_while_suspended(
    make_server: ServerMaker, make_proxy: ProxyMaker, kind: type[Suspended]
) -> None:
    made = kind()
    proxy = make_proxy(made, upstream=make_server().address)
    peer = connect(proxy.addresses["main"])
    peer.sendall(b"x")
    assert made.begun.wait(30)
    reset(peer)
    assert made.cancelled.wait(30)


@pytest.mark.parametrize("kind", [SuspendedData, SuspendedConnect])
def test_the_upstream_goes_while_suspended(
    make_server: ServerMaker, make_proxy: ProxyMaker, kind: type[Suspended]
) -> None:
    made = kind()

    def gone(peer: Peer) -> None:
        assert made.begun.wait(30)
        reset(peer)

    proxy = make_proxy(made, upstream=make_server(gone).address)
    with connect(proxy.addresses["main"]) as peer:
        peer.sendall(b"x")
        if kind is SuspendedConnect:  # no upstream was asked: only the client can end it
            assert made.begun.wait(30)
            reset(peer)
        else:
            assert read_all(peer) == b""
    assert made.cancelled.wait(30)


@KINDS
def test_a_drain_ends_what_is_suspended_when_its_time_is_over(
    make_server: ServerMaker, make_proxy: ProxyMaker, kind: type[Suspended]
) -> None:
    made = kind()
    proxy = make_proxy(made, upstream=make_server().address)
    with connect(proxy.addresses["main"]) as peer:
        peer.sendall(b"x")
        assert made.begun.wait(30)
        proxy.stop()
        with contextlib.suppress(ConnectionResetError):  # it had not been read to the end
            assert read_all(peer) == b""
    assert made.cancelled.wait(30)


@KINDS
def test_a_reload_leaves_what_is_suspended(
    make_server: ServerMaker, make_proxy: ProxyMaker, kind: type[Suspended]
) -> None:
    made = kind()
    server = make_server()
    proxy = make_proxy(made, upstream=server.address)
    with connect(proxy.addresses["main"]) as peer:
        peer.sendall(b"x")
        assert made.begun.wait(30)
        proxy.reload(filters=[Pass()])
        assert not made.cancelled.is_set()
        with connect(proxy.addresses["main"]) as other:
            other.sendall(b"y")
            assert other.recv(1) == b"y"
        reset(peer)
    assert made.cancelled.wait(30)


def test_a_drain_waits_for_connections_that_end(
    make_server: ServerMaker, make_proxy: ProxyMaker
) -> None:
    proxy = make_proxy(Pass(), upstream=make_server().address)
    with connect(proxy.addresses["main"]) as peer:
        peer.sendall(b"a")
        assert peer.recv(1) == b"a"
        stopper = threading.Thread(target=proxy.stop)
        stopper.start()
        peer.sendall(b"b")
        assert peer.recv(1) == b"b"
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer) == b"<end>"
        stopper.join(30)
        assert not stopper.is_alive()


FILE = '''
import moebridge as mb


class Upper(mb.NetworkFilter):
    """Shouts."""

    class Config(mb.Config):
        mark: str = "!"

    config: Config

    def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
        data.replace(bytes(data).upper() + self.config.mark.encode() * bool(data))
'''


def test_a_file_of_envoys_form_names_network_filters(
    make_server: ServerMaker, make_tcp: TcpMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shout.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    limit = {
        "name": "limit",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3"
            ".ConnectionLimit",
            "stat_prefix": "l",
            "max_connections": 10,
        },
    }
    up = cluster("up", make_server().address)
    proxy = make_tcp([up], limit, python_filter("shout.py:Upper", mark="?"))
    with connect(proxy.addresses["main"]) as peer:
        peer.sendall(b"hi")
        assert peer.recv(3) == b"HI?"
    wrong = bootstrap([up], limit, python_filter("shout.py:Upper", mark=7))
    with pytest.raises(mb.ConfigError) as caught:
        mb.Proxy.from_config(wrong)
    at = "static_resources.listeners[0].filter_chains[0].filters[1].typed_config"
    assert f"{at}.filter_config.value.mark" in str(caught.value)


def test_an_http_filter_is_no_network_filter(make_server: ServerMaker) -> None:
    up = cluster("up", make_server().address)
    wrong = bootstrap([up], python_filter("moebridge_plugins.redact:Redact", rules=[]))
    with pytest.raises(mb.ConfigError, match="is an HTTP filter: here stands NetworkFilter"):
        mb.Proxy.from_config(wrong)


def test_the_command_line_makes_a_proxy_of_tcp(make_server: ServerMaker, tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(FILE)
    server = make_server()
    arguments = ["--listen", "127.0.0.1:0", "--upstream", server.address]
    with Command("run", *arguments, "--filter", "shout.py:Upper", cwd=tmp_path) as command:
        with connect(command.address) as peer:
            peer.sendall(b"hi")
            assert peer.recv(3) == b"HI!"
        assert "listening main tcp://" in "\n".join(command.lines)
        assert command.terminate() == 0
