"""Envoy and moebridge with one file and the same bytes: tunnels accepted, declined and refused."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.envoy.peer import Envoy
from tests.e2e.support.client import ClosedEarly, RawClient
from tests.e2e.support.messages import Fields, head
from tests.e2e.support.upstream import Exchange, Upstream
from tests.e2e.upgrade.test_connect import tcp_server

import moebridge as mb

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "tests/data/envoy/upgrades.yaml"
#: Values that were made here, or say how long something took.
OWN = {"date", "x-request-id", "x-envoy-upstream-service-time", "x-forwarded-for"}


@dataclass(frozen=True)
class Case:
    """A head, what follows it, and whether a tunnel is expected to echo `words`."""

    target: str = "/chat"
    kind: str = "websocket"
    fields: tuple[tuple[str, str], ...] = ()
    start: str = ""
    early: bytes = b""
    is_tunnel: bool = False

    def asked(self) -> bytes:
        """The head on the wire."""
        if self.start:
            return head(self.start, [("host", self.start.split()[1]), *self.fields]) + self.early
        ask = [("connection", "Upgrade"), ("upgrade", self.kind)]
        line = f"GET {self.target} HTTP/1.1"
        return head(line, [("host", "test.local"), *ask, *self.fields]) + self.early


WEBSOCKET = (("sec-websocket-version", "13"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="))
CONNECT = "CONNECT inside.test:443 HTTP/1.1"
CASES = {
    "accepted": Case(fields=WEBSOCKET, is_tunnel=True),
    "accepted, early bytes": Case(fields=WEBSOCKET, early=b"early ", is_tunnel=True),
    "accepted, other case": Case(kind="WebSocket", is_tunnel=True),
    "accepted by the route": Case("/raw", kind="raw", is_tunnel=True),
    "declined with 200": Case(fields=(("x-mode", "200"),)),
    "declined with 403": Case(fields=(("x-mode", "403"),)),
    "off by the route": Case("/off"),
    "off by the listener": Case(kind="raw"),
    "unknown": Case(kind="else"),
    "no route": Case("/elsewhere"),
    "h2c": Case(kind="h2c", fields=(("x-mode", "200"),)),
    "CONNECT ends here": Case(start=CONNECT, is_tunnel=True),
    "CONNECT, early bytes": Case(start=CONNECT, early=b"early ", is_tunnel=True),
    "CONNECT, length 0": Case(start=CONNECT, fields=(("content-length", "0"),), is_tunnel=True),
    "CONNECT with a length": Case(start=CONNECT, fields=(("content-length", "3"),), early=b"abc"),
    "chunked CONNECT": Case(start=CONNECT, fields=(("transfer-encoding", "chunked"),)),
    "CONNECT refused": Case(start="CONNECT refused.test:443 HTTP/1.1"),
    "CONNECT forbidden": Case(start="CONNECT forbidden.test:443 HTTP/1.1"),
    "CONNECT passed on": Case(start="CONNECT passed.test:443 HTTP/1.1", is_tunnel=True),
    "CONNECT passed on and declined": Case(
        start="CONNECT passed.test:443 HTTP/1.1", fields=(("x-mode", "403"),)
    ),
}


async def handler(exchange: Exchange) -> None:
    """Takes up what it is asked for, or declines as `x-mode` says."""
    request = exchange.request
    if mode := request.get("x-mode"):
        await exchange.respond(int(mode), body=b"declined")
        return
    if request.method == "CONNECT":
        await exchange.send(head("HTTP/1.1 200 OK", []))
    else:
        asked = ("upgrade", request.get("upgrade"))
        fields = [("connection", "upgrade"), asked, ("sec-websocket-accept", "x")]
        await exchange.send(head("HTTP/1.1 101 Switching Protocols", fields))
    exchange.close()
    while data := await exchange.reader.read(65_536):
        await exchange.send(data)


@dataclass(frozen=True)
class World:
    """Both proxies in front of one upstream."""

    upstream: Upstream
    envoy: str
    ours: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("upgrades")
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(handler))
        tcp = stack.enter_context(tcp_server())
        with socket.create_server(("127.0.0.1", 0)) as closed:
            ports = [upstream.address, tcp, f":{closed.getsockname()[1]}"]
        text = FILE.read_text("utf-8")
        for number, address in enumerate(ports, 9001):
            text = text.replace(str(number), address.rpartition(":")[2])
        file = folder / "upgrades.yaml"
        file.write_text(text, "utf-8")
        envoy = stack.enter_context(Envoy(file, folder))
        proxy = mb.Proxy.from_config(file)
        proxy.start()
        stack.callback(proxy.stop)
        yield World(upstream, envoy.address, proxy.addresses["main"])


def seen(fields: Fields) -> Fields:
    """What can be compared, in any order."""
    pairs = [(name.lower(), value) for name, value in fields if name.lower() not in OWN]
    # Envoy passes the client's spelling on; moebridge writes the field itself.
    return sorted((name, value.lower() if name == "connection" else value) for name, value in pairs)


@functools.cache
def ask(world: World, address: str, name: str) -> tuple[object, ...]:
    """Status, fields, bytes and the request that the upstream saw."""
    case = CASES[name]
    world.upstream.requests.clear()
    with RawClient(address) as client:
        client.send(case.asked())
        answer = client.read_head()
        if case.is_tunnel:
            wanted = case.early + b"words"
            client.send(b"words")
            body = client._exactly(len(wanted))
        else:
            try:
                body = b"".join(client.body_pieces(answer))
            except ClosedEarly as error:
                body = error.partial
    requests = [
        (request.method, request.target, tuple(seen(request.fields)))
        for request in world.upstream.requests
    ]
    return answer.status, tuple(seen(answer.fields)), body, tuple(requests)


#: Envoy cuts off the body of a 200 to a request for an upgrade: docs/envoy_differences.md.
DIFFERENT = {"declined with 200"}


@pytest.mark.parametrize("name", CASES)
def test_as_envoy(world: World, name: str) -> None:
    ours, theirs = ask(world, world.ours, name), ask(world, world.envoy, name)
    if name in DIFFERENT:
        assert (ours[0], ours[2]) == (200, b"declined")
        assert theirs[:1] + theirs[2:3] == (200, b"")
    else:
        assert ours == theirs
