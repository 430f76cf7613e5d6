"""Tunnels over HTTP/2 (RFC 8441 and CONNECT), and between HTTP/1.1 and HTTP/2 in all directions."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import h2.settings
import pytest
from tests.e2e.conftest import UpstreamMaker
from tests.e2e.support.envoy_config import to
from tests.e2e.support.messages import head
from tests.e2e.support.upstream import Exchange
from tests.e2e.upgrade.conftest import (
    OVER_H2,
    FileProxyMaker,
    H2Client,
    allow,
    h2_cluster,
    run,
    switch,
    until,
    websocket_server,
)
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def test_a_websocket_over_http2_gets_its_key_made(file_proxy: FileProxyMaker) -> None:
    """The `h2` library in front, the `websockets` library behind: it checks the handshake."""

    async def main() -> None:
        async with websocket_server(compression=None) as upstream:
            proxy = file_proxy(upstream, hcm=allow("websocket", **OVER_H2))
            await asyncio.to_thread(talk, proxy.addresses["main"])

    def talk(address: str) -> None:
        with H2Client(address) as client:
            number = client.ask(("sec-websocket-version", "13"))
            client.read_until(lambda: client.status)
            assert client.status == 200
            assert "upgrade" not in client.headers
            assert "connection" not in client.headers
            for size in (5, 200, 70_000, 1 << 20):
                text = b"x" * size
                frame = Frame(Opcode.BINARY, text).serialize(mask=True)
                client.data = b""
                client.send(number, frame)
                expected = Frame(Opcode.BINARY, text).serialize(mask=False)
                client.read_until(lambda: len(client.data) >= len(expected))  # noqa: B023
                assert client.data == expected
            client.data = b""
            client.send(number, Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
            client.read_until(lambda: client.ended)
            assert client.data == b"\x88\x02\x03\xe8"

    run(main())


def test_ends_pass_each_way_over_http2(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(head("HTTP/1.1 101 x", [("connection", "upgrade"), ("upgrade", "raw")]))
        said = await exchange.reader.read()
        await exchange.send(b"after your end: " + said)
        exchange.close()

    upstream = make_upstream(handler)
    proxy = file_proxy(upstream.address, hcm=allow("raw", **OVER_H2))
    with H2Client(proxy.addresses["main"]) as client:
        number = client.ask(protocol="raw")
        client.send(number, b"question", end=True)  # before the answer
        client.read_until(lambda: client.ended)
        assert (client.status, client.data) == (200, b"after your end: question")
        # The connection goes on.
        other = client.h2.get_next_available_stream_id()
        assert other == number + 2
    assert upstream.requests[0].method == "GET"
    assert upstream.requests[0].get("upgrade") == "raw"
    until(lambda: proxy.stats()["cluster.backend.upstream_cx_active"] == 0)


def test_a_stream_that_is_reset_takes_the_upstream_along(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    proxy = file_proxy(make_upstream(switch).address, hcm=allow("raw", **OVER_H2))
    with H2Client(proxy.addresses["main"]) as client:
        number = client.ask(protocol="raw")
        client.send(number, b"x")
        client.read_until(lambda: client.data)
        client.h2.reset_stream(number)
        client.flush()
        until(lambda: proxy.stats()["cluster.backend.upstream_cx_active"] == 0)
        assert proxy.stats()["http.ingress.downstream_cx_active"] == 1


@pytest.mark.parametrize(
    ("kind", "path", "status"), [("raw", "/chat", 403), ("websocket", "/none", 404)]
)
def test_refused_over_http2(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker, kind: str, path: str, status: int
) -> None:
    proxy = file_proxy(
        make_upstream(switch).address,
        routes=[to(prefix="/chat")],
        hcm=allow("websocket", **OVER_H2),
    )
    with H2Client(proxy.addresses["main"]) as client:
        client.ask(path=path, protocol=kind)
        client.read_until(lambda: client.ended)
        assert client.status == status


def test_an_upstream_that_declines_a_websocket_of_http2(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(400, body=b"declined")

    proxy = file_proxy(make_upstream(handler).address, hcm=allow("websocket", **OVER_H2))
    with H2Client(proxy.addresses["main"]) as client:
        client.ask()
        client.read_until(lambda: client.ended)
        assert (client.status, client.data) == (400, b"declined")


def test_an_upstream_that_declines_with_200_ends_the_stream(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    """To the client that looks like a tunnel; it is an answer with a body, and then over."""

    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, body=b"declined")

    proxy = file_proxy(make_upstream(handler).address, hcm=allow("websocket", **OVER_H2))
    with H2Client(proxy.addresses["main"]) as client:
        client.ask()
        client.read_until(lambda: client.ended)
        assert (client.status, client.data) == (200, b"declined")
        until(lambda: proxy.stats()["http.ingress.downstream_rq_active"] == 0)
        assert proxy.stats()["http.ingress.downstream_cx_upgrades_total"] == 0
        assert proxy.stats()["http.ingress.downstream_cx_upgrades_active"] == 0


def test_extended_connect_that_is_off_is_a_stream_error(
    make_upstream: UpstreamMaker, file_proxy: FileProxyMaker
) -> None:
    proxy = file_proxy(make_upstream(switch).address, hcm=allow("raw"))
    with H2Client(proxy.addresses["main"]) as client:
        client.step()
        assert not client.h2.remote_settings.enable_connect_protocol
        client.h2.remote_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        client.h2.remote_settings.acknowledge()
        client.ask(protocol="raw")
        client.read_until(lambda: client.reset is not None)
        assert client.reset == 1  # PROTOCOL_ERROR


def test_connect_over_http2_ends_here(file_proxy: FileProxyMaker) -> None:
    from tests.e2e.upgrade.test_connect import connect_route, tcp_server

    with tcp_server(first=b"hello ") as target:
        proxy = file_proxy(target, routes=[connect_route()])
        with H2Client(proxy.addresses["main"]) as client:
            number = client.h2.get_next_available_stream_id()
            client.h2.send_headers(
                number, [(":method", "CONNECT"), (":authority", "inside.test:443")]
            )
            client.send(number, b"x" * 200_000, end=True)
            client.read_until(lambda: client.ended)
            assert (client.status, client.data) == (200, b"hello " + b"x" * 200_000)


@pytest.mark.parametrize("hops", [1, 2], ids=["HTTP/1 to 2 to 1", "HTTP/1 to 2 to 2 to 1"])
def test_websockets_between_protocols(file_proxy: FileProxyMaker, hops: int) -> None:
    """The library on both ends speaks HTTP/1.1; what is between is HTTP/2."""

    async def main() -> None:
        async with websocket_server() as upstream:
            last = front = file_proxy(upstream, hcm=allow("websocket", **OVER_H2))
            address = last.addresses["main"]
            for _ in range(hops):
                front = file_proxy(
                    [h2_cluster(address, allow_connect=True)], hcm=allow("websocket", **OVER_H2)
                )
                address = front.addresses["main"]
            for _ in range(2):  # the second one finds a connection with the peer's settings
                async with connect(f"ws://{address}/", max_size=1 << 24) as client:
                    for message in ("hello", "x" * (1 << 20)):
                        await client.send(message)
                        assert await client.recv() == message
                    await (await client.ping())
            assert front.stats()["cluster.backend.upstream_cx_http2_total"] == 1
            assert last.stats()["cluster.backend.upstream_cx_http1_total"] == 2

    run(main())


def test_the_answer_to_a_key_is_made_for_a_client_of_http1(file_proxy: FileProxyMaker) -> None:
    async def main() -> None:
        async with websocket_server() as upstream:
            last = file_proxy(upstream, hcm=allow("websocket", **OVER_H2))
            backend = [h2_cluster(last.addresses["main"])]
            front = file_proxy(backend, hcm=allow("websocket"))
            reader, writer = await asyncio.open_connection(*front.addresses["main"].split(":"))
            key = base64.b64encode(b"0123456789abcdef")
            writer.write(
                b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                b"sec-websocket-version: 13\r\nsec-websocket-key: " + key + b"\r\n\r\n"
            )
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            assert answer.startswith(b"http/1.1 101 ")
            assert b"sec-websocket-accept: " + accept.lower() + b"\r\n" in answer
            assert answer.count(b"sec-websocket-accept") == 1
            writer.close()
            await writer.wait_closed()

    run(main())
