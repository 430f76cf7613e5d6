"""Requests that are refused, each beside the nearest one that is not (RFC 9112)."""

from __future__ import annotations

import pytest
from tests.e2e.protocol.conftest import CoreMaker, Outcomes
from tests.e2e.support.client import RawClient, fetch
from tests.e2e.support.core import Core
from tests.e2e.support.upstream import Upstream, fixed

POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


def get(fields: bytes = b"host: a\r\n", line: bytes = b"GET / HTTP/1.1") -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


# name: (refused, status, accepted)
PAIRS = {
    "length and chunked": (
        POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        CHUNKED + b"0\r\n\r\n",
    ),
    "chunked and length": (
        POST + b"transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n",
        400,
        POST + b"content-length: 0\r\n\r\n",
    ),
    "two lengths": (
        POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
        400,
        POST + b"content-length: 2\r\n\r\nab",
    ),
    "the same length twice": (
        POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\nab",
        400,
        POST + b"content-length:2\r\n\r\nab",
    ),
    "list of lengths": (
        POST + b"content-length: 2, 2\r\n\r\nab",
        400,
        POST + b"content-length:  2  \r\n\r\nab",
    ),
    "signed length": (
        POST + b"content-length: +2\r\n\r\nab",
        400,
        POST + b"content-length: 02\r\n\r\nab",
    ),
    "negative length": (
        POST + b"content-length: -1\r\n\r\n",
        400,
        POST + b"content-length: 0\r\n\r\n",
    ),
    "length in hex": (
        POST + b"content-length: 0x2\r\n\r\nab",
        400,
        POST + b"content-length: 2\r\n\r\nab",
    ),
    "length beyond 64 bits": (
        POST + b"content-length: 18446744073709551618\r\n\r\nab",
        400,
        POST + b"content-length: 00000000000000000002\r\n\r\nab",
    ),
    "empty length": (POST + b"content-length:\r\n\r\n", 400, POST + b"content-length: 0\r\n\r\n"),
    "unknown coding": (POST + b"transfer-encoding: gzip\r\n\r\n", 501, CHUNKED + b"0\r\n\r\n"),
    "coding before chunked": (
        POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
        POST + b"transfer-encoding: Chunked\r\n\r\n0\r\n\r\n",
    ),
    "identity": (POST + b"transfer-encoding: identity\r\n\r\n", 501, POST + b"\r\n"),
    "chunked twice": (
        POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
        CHUNKED + b"0\r\n\r\n",
    ),
    "chunked on two lines": (
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        CHUNKED + b"0\r\n\r\n",
    ),
    "vertical tab before chunked": (
        POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        400,
        POST + b"transfer-encoding: \tchunked\r\n\r\n0\r\n\r\n",
    ),
    "folded line": (get(b"host: a\r\nx-a: b\r\n c\r\n"), 400, get(b"host: a\r\nx-a: b c\r\n")),
    "first line folded": (get(b" x-a: b\r\nhost: a\r\n"), 400, get(b"x-a: b\r\nhost: a\r\n")),
    "space before colon": (get(b"host: a\r\nx-a : b\r\n"), 400, get(b"host: a\r\nx-a: b\r\n")),
    "tab before colon": (get(b"host: a\r\nx-a\t: b\r\n"), 400, get(b"host: a\r\nx-a:\tb\r\n")),
    "no colon": (get(b"host: a\r\nx-a\r\n"), 400, get(b"host: a\r\nx-a:\r\n")),
    "empty name": (get(b"host: a\r\n: b\r\n"), 400, get(b"host: a\r\nx: b\r\n")),
    "name that is no token": (
        get(b"host: a\r\nx[a]: b\r\n"),
        400,
        get(b"host: a\r\nx!#$%&'*+-.^_`|~a: b\r\n"),
    ),
    "name with a high byte": (get(b"host: a\r\nx\xe9: b\r\n"), 400, get(b"host: a\r\nx: \xe9\r\n")),
    "bare CR in a value": (get(b"host: a\r\nx-a: b\rc\r\n"), 400, get(b"host: a\r\nx-a: bc\r\n")),
    "bare CR ends a line": (get(b"host: a\rx-a: b\r\n"), 400, get(b"host: a\r\nx-a: b\r\n")),
    "bare LF ends a line": (get(b"host: a\nx-a: b\r\n"), 400, get(b"host: a\r\nx-a: b\r\n")),
    "bare LF ends the head": (b"GET / HTTP/1.1\r\nhost: a\r\n\n", 400, get()),
    "only bare LF": (b"GET / HTTP/1.1\nhost: a\n\n", 400, get()),
    "NUL in a value": (get(b"host: a\r\nx-a: b\0c\r\n"), 400, get(b"host: a\r\nx-a: b%00c\r\n")),
    "NUL in a name": (get(b"host: a\r\nx\0a: b\r\n"), 400, get(b"host: a\r\nxa: b\r\n")),
    "control in a value": (get(b"host: a\r\nx-a: \x01\r\n"), 400, get(b"host: a\r\nx-a: \x80\r\n")),
    "DEL in a value": (get(b"host: a\r\nx-a: \x7f\r\n"), 400, get(b"host: a\r\nx-a: ~\r\n")),
    "no host": (get(b""), 400, get(b"host: a\r\n")),
    "two hosts": (get(b"host: a\r\nhost: a\r\n"), 400, get(b"host: a\r\nx-host: a\r\n")),
    "host with a path": (get(b"host: a/b\r\n"), 400, get(b"host: a-b.c\r\n")),
    "host with a user": (get(b"host: u@a\r\n"), 400, get(b"host: [::1]:80\r\n")),
    "host with a space": (get(b"host: a b\r\n"), 400, get(b"host: a:80\r\n")),
    "host with a bad port": (get(b"host: a:8x\r\n"), 400, get(b"host: a:8\r\n")),
    "method that is no token": (get(line=b"G<T / HTTP/1.1"), 400, get(line=b"G*T / HTTP/1.1")),
    "method is missing": (get(line=b" / HTTP/1.1"), 400, get()),
    "method of 100 letters": (
        get(line=b"A" * 100 + b" / HTTP/1.1"),
        501,
        get(line=b"A" * 20 + b" / HTTP/1.1"),
    ),
    "fragment in the target": (
        get(line=b"GET /a#b HTTP/1.1"),
        400,
        get(line=b"GET /a%23b HTTP/1.1"),
    ),
    "space in the target": (get(line=b"GET /a b HTTP/1.1"), 400, get(line=b"GET /a%20b HTTP/1.1")),
    "two spaces": (get(line=b"GET  / HTTP/1.1"), 400, get()),
    "tab for a space": (get(line=b"GET\t/ HTTP/1.1"), 400, get()),
    "space after the version": (get(line=b"GET / HTTP/1.1 "), 400, get()),
    "control in the target": (get(line=b"GET /\x01 HTTP/1.1"), 400, get(line=b"GET /%01 HTTP/1.1")),
    "target without slash": (get(line=b"GET a HTTP/1.1"), 400, get(line=b"GET /a HTTP/1.1")),
    "asterisk with GET": (get(line=b"GET * HTTP/1.1"), 400, get(line=b"GET /* HTTP/1.1")),
    "other scheme": (get(line=b"GET ftp://a/ HTTP/1.1"), 400, get(line=b"GET http://a/ HTTP/1.1")),
    "absolute form without host": (
        get(b"", line=b"GET http://a/ HTTP/1.1"),
        400,
        get(line=b"GET http://a/ HTTP/1.1"),
    ),
    "target with a user": (
        get(line=b"GET http://u@a/ HTTP/1.1"),
        400,
        get(line=b"GET http://a/@ HTTP/1.1"),
    ),
    "no version": (get(line=b"GET /"), 400, get()),
    "version in lower case": (get(line=b"GET / http/1.1"), 400, get()),
    "version 1.2": (get(line=b"GET / HTTP/1.2"), 505, get()),
    "version 2.0": (get(line=b"GET / HTTP/2.0"), 505, get()),
    "version 0.9": (get(line=b"GET / HTTP/0.9"), 505, get()),
    "version 1.10": (get(line=b"GET / HTTP/1.10"), 400, get()),
    "Connection names Host": (
        get(b"host: a\r\nconnection: host\r\n"),
        400,
        get(b"host: a\r\nconnection: hosts\r\n"),
    ),
    "Connection names Content-Length": (
        POST + b"content-length: 2\r\nconnection: content-length\r\n\r\nab",
        400,
        POST + b"content-length: 2\r\nconnection: x-length\r\n\r\nab",
    ),
    "Connection with no token": (
        get(b"host: a\r\nconnection: a b\r\n"),
        400,
        get(b"host: a\r\nconnection: a,,b,\r\n"),
    ),
    "too many empty lines": (b"\r\n" * 20 + get(), 400, b"\r\n" + get()),
}

# After a whole head: the upstream may have seen the request begin, never its end.
BODIES = {
    "empty chunk size": (b"\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    "chunk size is no number": (b"x\r\n\r\n", b"A\r\n0123456789\r\n0\r\n\r\n"),
    "signed chunk size": (b"+3\r\nabc\r\n0\r\n\r\n", b"03\r\nabc\r\n0\r\n\r\n"),
    "chunk size with prefix": (b"0x3\r\nabc\r\n0\r\n\r\n", b"0003\r\nabc\r\n0\r\n\r\n"),
    "space before chunk size": (b" 3\r\nabc\r\n0\r\n\r\n", b"3;a\r\nabc\r\n0\r\n\r\n"),
    "chunk size beyond 64 bits": (
        b"1" + b"0" * 16 + b"3\r\nabc\r\n0\r\n\r\n",
        b"000000003\r\nabc\r\n0\r\n\r\n",
    ),
    "underscore in chunk size": (b"1_0\r\n", b"10\r\n0123456789abcdef\r\n0\r\n\r\n"),
    "bare LF after chunk size": (b"3\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    "bare CR after chunk size": (b"3\rabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    "chunk longer than its size": (b"3\r\nabcd\r\n0\r\n\r\n", b"4\r\nabcd\r\n0\r\n\r\n"),
    "chunk without CR": (b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    "extension that is no token": (b"3;a[]\r\nabc\r\n0\r\n\r\n", b"3;a=b\r\nabc\r\n0\r\n\r\n"),
    "bare LF in an extension": (b"3;a\nabc\r\n0\r\n\r\n", b'3;a="b c"\r\nabc\r\n0\r\n\r\n'),
    "CR in an extension": (b"3;a\rb\r\nabc\r\n0\r\n\r\n", b"3;a;b\r\nabc\r\n0\r\n\r\n"),
    "extension of 20 KB": (
        b"3;" + b"a" * 20_000 + b"\r\nabc\r\n0\r\n\r\n",
        b"3;" + b"a" * 200 + b"\r\nabc\r\n0\r\n\r\n",
    ),
    "folded trailer": (b"0\r\nx: a\r\n b\r\n\r\n", b"0\r\nx: a\r\n\r\n"),
    "trailer with bare LF": (b"0\r\nx: a\n\r\n", b"0\r\nx: a\r\n\r\n"),
    "trailer without colon": (b"0\r\nx\r\n\r\n", b"0\r\nx:\r\n\r\n"),
    "trailers of 20 KB": (
        b"0\r\nx: " + b"a" * 20_000 + b"\r\n\r\n",
        b"0\r\nx: " + b"a" * 200 + b"\r\n\r\n",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_bad_head_is_refused_and_its_neighbour_is_not(
    core: Core, upstream: Upstream, outcomes: Outcomes, name: str
) -> None:
    upstream.handler = fixed(b"ok")
    bad, status, good = PAIRS[name]
    with RawClient(core.address) as client:
        client.send(bad + get(line=b"GET /smuggled HTTP/1.1"))
        response = client.read_response()
        assert response.status == status
        assert response.get("connection") == "close"
        assert client.is_closed()
    assert not upstream.requests
    assert outcomes(core)[0].startswith(f"{status} DPE ")
    with RawClient(core.address) as client:
        client.send(good + get(line=b"GET /next HTTP/1.1"))
        assert client.read_response().status == 200
        assert client.read_response().status == 200
    assert upstream.requests[-1].target == "/next"
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("name", BODIES)
def test_bad_body_is_refused_and_its_neighbour_is_not(
    core: Core, upstream: Upstream, name: str
) -> None:
    bad, good = BODIES[name]
    with RawClient(core.address) as client:
        client.send(CHUNKED + bad + get(line=b"GET /smuggled HTTP/1.1"))
        assert client.read_response().status in (400, 431)
        assert client.is_closed()
    with RawClient(core.address) as client:
        client.send(CHUNKED + good + get(line=b"GET /next HTTP/1.1"))
        assert client.read_response().status == 200
        assert client.read_response().status == 200
    assert "/smuggled" not in [request.target for request in upstream.requests]


def test_chunks_far_smaller_than_their_framing_are_refused(core: Core) -> None:
    with RawClient(core.address) as client:
        client.send(CHUNKED)
        client.send(b"1;abcdefgh\r\nx\r\n" * 60_000)
        assert client.read_response().status == 400


def test_many_small_chunks_are_fine(core: Core) -> None:
    with RawClient(core.address) as client:
        client.send(CHUNKED + b"a\r\n0123456789\r\n" * 50_000 + b"0\r\n\r\n")
        assert client.read_response().status == 200


# -- limits -------------------------------------------------------------------------------------


def test_head_over_the_limit_is_431_and_one_below_is_not(core: Core) -> None:
    fields = [(f"x-{i}", "v" * 1000) for i in range(58)]
    assert fetch(core.address, fields=fields).status == 200
    more = [*fields, ("x-last", "v" * 3000)]
    assert fetch(core.address, fields=more).status == 431


def test_100_fields_are_taken_and_101_are_not(core: Core) -> None:
    fields = [("x-a", "b")] * 99  # and host
    assert fetch(core.address, fields=fields).status == 200
    assert fetch(core.address, fields=[*fields, ("x-a", "b")]).status == 431


def test_endless_head_is_refused_before_it_ends(core: Core) -> None:
    with RawClient(core.address) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 70_000)
        assert client.read_response().status == 431
        assert client.is_closed()


def test_long_target_is_414(make_core: CoreMaker) -> None:
    core = make_core(hcm={"max_request_headers_kb": 8})
    assert fetch(core.address, "/" + "a" * 7000).status == 200
    assert fetch(core.address, "/" + "a" * 9000).status in (414, 431)


def test_underscores_are_refused_only_where_it_is_said(make_core: CoreMaker) -> None:
    options = {
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}
    }
    refusing, dropping = (
        make_core(hcm=options),
        make_core(
            hcm={"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}}
        ),
    )
    fields = [("x_a", "1")]
    assert fetch(make_core().address, fields=fields).body.count(b"x_a") == 1
    assert fetch(refusing.address, fields=fields).status == 400
    assert b"x_a" not in fetch(dropping.address, fields=fields).body
