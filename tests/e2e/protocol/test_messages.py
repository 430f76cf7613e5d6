"""Bodies, trailers, interim responses and fields on their way through."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from tests.e2e.protocol.conftest import CoreMaker
from tests.e2e.support.client import RawClient, fetch
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import cluster
from tests.e2e.support.upstream import Exchange, Upstream, fixed, pieces

TRAILERS: dict[str, Any] = {"http_protocol_options": {"enable_trailers": True}}
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TAKING = {
    "@type": f"type.googleapis.com/{OPTIONS}",
    "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
}
BIG = bytes(range(256)) * 2048


def said(body: bytes) -> dict[str, Any]:
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


# -- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 2049, 65536, 1 << 20])
def test_body_of_known_length_arrives_with_that_length(client: RawClient, size: int) -> None:
    body = (BIG * 3)[:size]
    echoed = said(client.request("POST", "/", body=body).body)
    assert echoed["body"].encode("latin-1") == body
    assert ["content-length", str(size)] in echoed["fields"]
    assert "transfer-encoding" not in dict(echoed["fields"])


@pytest.mark.parametrize("pieces_of", [1, 7, 4096, 100_000])
def test_chunked_body_arrives_whole_and_chunked(client: RawClient, pieces_of: int) -> None:
    body = BIG[: 400_000 if pieces_of > 7 else 500]
    parts = [body[i : i + pieces_of] for i in range(0, len(body), pieces_of)]
    echoed = said(client.request("POST", "/", body=parts).body)
    assert echoed["body"].encode("latin-1") == body
    assert ["transfer-encoding", "chunked"] in echoed["fields"]
    assert "content-length" not in dict(echoed["fields"])


def test_chunk_extensions_are_dropped(client: RawClient) -> None:
    head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    client.send(head + b'003;a;b=c;d="e;\\"f"\r\nabc\r\n0;last\r\n\r\n')
    assert said(client.read_response().body)["body"] == "abc"
    assert client.request("GET", "/next").status == 200


def test_request_sent_byte_by_byte_is_the_same(client: RawClient) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nX-Id: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
    client.send_bytewise(head + b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")
    response = client.read_response()
    assert (said(response.body)["body"], response.get("x-id")) == ("abcd", "7")


def test_response_without_length_becomes_chunked(client: RawClient, upstream: Upstream) -> None:
    async def until_close(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + BIG)
        exchange.close()

    upstream.handler = until_close
    response = client.request()
    assert response.get("transfer-encoding") == "chunked"
    assert response.body == BIG
    assert client.request().body == BIG  # the client's connection goes on


def test_pieces_of_a_response_are_not_held_back(client: RawClient, upstream: Upstream) -> None:
    gate = threading.Event()
    upstream.handler = pieces([b"first", b"second"], gate=gate)
    client.start()
    response = client.read_head()
    body = client.body_pieces(response)
    assert next(body) == b"first"
    gate.set()
    assert b"".join(body) == b"second"


def test_pieces_of_a_request_are_not_held_back(core: Core, upstream: Upstream) -> None:
    first, seen = threading.Event(), bytearray()

    async def handler(exchange: Exchange) -> None:
        seen.extend(await exchange.reader.readexactly(10))
        first.set()
        await exchange.respond()

    upstream.handler = handler
    with RawClient(core.address) as client:
        head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        client.send(head + b"5\r\nfirst\r\n")
        assert first.wait(20)
        assert bytes(seen) == b"5\r\nfirst\r\n"
        client.send(b"0\r\n\r\n")
        assert client.read_response().status == 200


# -- responses without body ---------------------------------------------------------------------


def test_head_is_answered_without_body_and_with_its_length(
    client: RawClient, upstream: Upstream
) -> None:
    upstream.handler = fixed(b"x" * 50)
    for _ in range(3):
        response = client.request("HEAD")
        assert (response.status, response.get("content-length"), response.body) == (200, "50", b"")
    assert client.request("GET").body == b"x" * 50
    assert upstream.connections == 1


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (204, []),
        (304, []),
        (304, [("content-length", "50")]),
        (304, [("etag", '"a"')]),
        (205, [("content-length", "0")]),
    ],
)
def test_response_without_body_ends_with_its_head(
    client: RawClient, upstream: Upstream, status: int, fields: list[tuple[str, str]]
) -> None:
    async def bodiless(exchange: Exchange) -> None:
        await exchange.send(exchange.head(status, fields))

    upstream.handler = bodiless
    for _ in range(2):
        client.start()
        response = client.read_head()
        assert response.status == status
        assert not response.has("transfer-encoding")
        for name, value in fields:
            assert response.get(name) == value
    upstream.handler = fixed(b"after")
    assert client.request().body == b"after"
    assert upstream.connections == 1


def test_204_never_has_a_length(client: RawClient, upstream: Upstream) -> None:
    upstream.handler = fixed(b"", status=204)
    response = client.request()
    assert response.status == 204
    assert not response.has("content-length")
    assert not response.has("transfer-encoding")


# -- trailers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("upstream_takes", [True, False])
@pytest.mark.parametrize("client_gives", [True, False])
def test_trailers_pass_only_where_both_sides_enable_them(
    make_core: CoreMaker, upstream: Upstream, client_gives: bool, upstream_takes: bool
) -> None:
    upstream.handler = pieces([b"abc"], trailers=[("X-Sum", "1"), ("x-sum", "2")])
    options = {OPTIONS: TAKING} if upstream_takes else {}
    backend = cluster(upstream.address, typed_extension_protocol_options=options)
    core = make_core([backend], hcm=TRAILERS if client_gives else {})
    both = client_gives and upstream_takes
    with RawClient(core.address) as client:
        head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n"
        for _ in range(2):
            client.send(head + b"2\r\nab\r\n0\r\nX-T: v\r\n\r\n")
            response = client.read_response()
            assert response.body == b"abc"
            assert response.trailers == ([("x-sum", "1"), ("x-sum", "2")] if both else [])
    assert [r.trailers for r in upstream.requests] == [[("x-t", "v")] if both else []] * 2
    assert [r.body for r in upstream.requests] == [b"ab", b"ab"]


# -- 1xx ----------------------------------------------------------------------------------------


def test_expectation_is_met_by_the_proxy_before_the_upstream_sees_the_request(
    client: RawClient, upstream: Upstream
) -> None:
    fields = b"host: a\r\nexpect: 100-Continue\r\ncontent-length: 3\r\n\r\n"
    client.send(b"POST / HTTP/1.1\r\n" + fields)
    assert client.read_head().status == 100
    client.send(b"abc")
    response = client.read_response()
    assert (response.status, response.interim) == (200, [])
    assert said(response.body)["body"] == "abc"
    assert not upstream.requests[0].has("expect")


def test_expectation_passes_where_the_proxy_shall_not_answer_it(
    make_core: CoreMaker, upstream: Upstream
) -> None:
    async def handler(exchange: Exchange) -> None:
        assert exchange.request.get("expect") == "100-continue"
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await exchange.respond(200, [], await exchange.read_body())

    upstream.handler = handler
    with RawClient(make_core(hcm={"proxy_100_continue": True}).address) as client:
        client.start("POST", "/", [("expect", "100-continue"), ("content-length", "3")])
        assert client.read_head().status == 100
        client.send(b"abc")
        assert client.read_response().body == b"abc"


def test_interim_responses_pass_and_the_last_one_is_the_answer(
    client: RawClient, upstream: Upstream
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 2)
        await exchange.respond(200, [], b"end")

    upstream.handler = handler
    for _ in range(2):
        response = client.request()
        assert (response.status, response.body) == (200, b"end")
        assert 100 not in response.interim  # nobody asked
    assert upstream.connections == 1


# -- fields -------------------------------------------------------------------------------------


def test_hop_by_hop_fields_of_a_request_stay_here(client: RawClient, upstream: Upstream) -> None:
    hops = [
        ("Connection", "keep-alive, X-Private"),
        ("connection", "X-More"),
        ("X-Private", "1"),
        ("x-more", "2"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers, deflate"),
        ("X-Kept", "yes"),
    ]
    assert client.request(fields=hops).status == 200
    names = [name for name, _ in upstream.requests[0].fields]
    for gone in "connection x-private x-more keep-alive proxy-connection upgrade".split():
        assert gone not in names
    assert upstream.requests[0].get("x-kept") == "yes"
    assert upstream.requests[0].get("te", "trailers") == "trailers"


def test_hop_by_hop_fields_of_a_response_stay_here(client: RawClient, upstream: Upstream) -> None:
    upstream.handler = fixed(
        b"body",
        fields=[
            ("Connection", "X-Private, keep-alive"),
            ("X-Private", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "close"),
            ("Upgrade", "h2c"),
            ("X-Kept", "yes"),
        ],
    )
    response = client.request()
    assert (response.status, response.get("x-kept")) == (200, "yes")
    for gone in "connection x-private keep-alive proxy-connection upgrade".split():
        assert not response.has(gone)


def test_repeated_fields_keep_their_order_and_names_are_lower_case(
    client: RawClient, core: Core, upstream: Upstream
) -> None:
    values = [("Set-X", "1"), ("x-other", "a"), ("set-x", "2, 3"), ("SET-X", "")]
    upstream.handler = fixed(b"", fields=[("Set-Cookie", "a=1"), ("set-cookie", "b=2")])
    response = client.request(fields=values)
    assert upstream.requests[0].getall("set-x") == ["1", "2, 3", ""]
    assert response.getall("set-cookie") == ["a=1", "b=2"]
    with RawClient(core.address) as raw:
        raw.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        head = raw.read_to_end().split(b"\r\n\r\n")[0]
    names = [line.split(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert names == [name.lower() for name in names]


def test_bytes_of_values_pass_unchanged(client: RawClient, upstream: Upstream) -> None:
    value = bytes(range(0x21, 0x7F)).decode() + "\x80\xff \t é"
    client.request(fields=[("x-odd", value)])
    assert upstream.requests[0].get("x-odd") == value


def test_absolute_form_decides_path_and_host(client: RawClient, upstream: Upstream) -> None:
    client.request("GET", "http://real.example:81/a?b", [("host", "other")])
    request = upstream.requests[0]
    assert (request.target, request.getall("host")) == ("/a?b", ["real.example:81"])


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("http://h.example", "/"),
        ("HTTP://h.example/?q", "/?q"),
        ("http://h.example?q", "/?q"),
        ("*", "*"),
    ],
)
def test_forms_of_targets_reach_the_upstream_as_paths(
    client: RawClient, upstream: Upstream, target: str, seen: str
) -> None:
    method = "OPTIONS" if target == "*" else "GET"
    status = client.request(method, target).status
    if target == "*":
        assert status == 404  # "*" is no prefix of a route, as in Envoy
    else:
        assert status == 200
        assert upstream.requests[0].target == seen


def test_answer_before_the_request_is_complete_closes_the_connection(
    core: Core, upstream: Upstream
) -> None:
    async def early(exchange: Exchange) -> None:
        await exchange.send(exchange.head(403, [("content-length", "2")]) + b"no")
        exchange.close()

    upstream.handler = early
    with RawClient(core.address) as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nx")
        response = client.read_response()
        assert (response.status, response.body) == (403, b"no")
        assert response.get("connection") == "close"
        assert client.is_closed()


def test_fetch_of_each_method(core: Core) -> None:
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "M-SEARCH", "get"]:
        assert said(fetch(core.address, method=method).body)["method"] == method
