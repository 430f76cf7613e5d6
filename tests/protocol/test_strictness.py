"""Between two readers of HTTP/1.1: whatever comes in, h11 and llhttp read what is sent on alike,
and see in it nothing that a strict reading of the client's bytes did not."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.protocol.conftest import Proxy
from tests.protocol.readers import Message, read_h11, read_httptools

EXAMPLES = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SECOND = b"GET /second HTTP/1.1\r\nhost: b\r\n\r\n"
NAMES = "GET POST PUT DELETE OPTIONS PATCH HEAD TRACE".split()
KNOWN = {name.encode() for name in NAMES}
POST = b"POST /first HTTP/1.1\r\nhost: a\r\n"

# What a lenient reader in front or behind could take for two requests. The proxy must answer one
# status, close, and send on nothing whole.
SMUGGLED = {
    "CL.TE": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE.CL": POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n5c\r\n" + SECOND,
    "CL.CL": POST + b"content-length: 0\r\ncontent-length: 33\r\n\r\n" + SECOND,
    "CL list": POST + b"content-length: 0, 33\r\n\r\n" + SECOND,
    "CL plus": POST + b"content-length: +0\r\n\r\n" + SECOND,
    "CL minus": POST + b"content-length: -0\r\n\r\n" + SECOND,
    "CL hex": POST + b"content-length: 0x21\r\n\r\n" + SECOND,
    "CL space": POST + b"content-length: 3 3\r\n\r\n" + SECOND,
    "CL tab name": POST + b"content-length\t: 33\r\n\r\n" + SECOND,
    "CL wraps": POST + b"content-length: 18446744073709551649\r\n\r\n" + SECOND,
    "CL folded": POST + b"content-length:\r\n 33\r\n\r\n" + SECOND,
    "CL NUL": POST + b"content-length: 33\0\r\n\r\n" + SECOND,
    "CL underscore digits": POST + b"content-length: 3_3\r\n\r\n" + SECOND,
    "CL Arabic digits": POST + "content-length: ٣٣\r\n\r\n".encode() + SECOND,
    "TE x": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE space name": POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE tab": POST + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE form feed": POST + b"transfer-encoding: \x0cchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE folded": POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE after CR": POST + b"x: y\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE after LF": POST + b"x: y\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE quoted": POST + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n' + SECOND,
    "TE parameter": POST + b"transfer-encoding: chunked;a=b\r\n\r\n0\r\n\r\n" + SECOND,
    "TE twice": POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE then identity": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SECOND,
    "TE identity": POST + b"transfer-encoding: identity\r\ncontent-length: 33\r\n\r\n" + SECOND,
    "TE two lines": POST
    + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n"
    + SECOND,
    "TE empty": POST + b"transfer-encoding:\r\n\r\n0\r\n\r\n" + SECOND,
    "TE high byte": POST + b"transfer-encoding: chunked\xa0\r\n\r\n0\r\n\r\n" + SECOND,
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    + SECOND,
    "TE named by Connection": POST
    + b"connection: transfer-encoding\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"0\r\n\r\n"
    + SECOND,
    "CL named by Connection": POST
    + b"connection: content-length\r\ncontent-length: 33\r\n\r\n"
    + SECOND,
    "host twice": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n" + SECOND,
    "host with CR": b"GET / HTTP/1.1\r\nhost: a\rb\r\n\r\n" + SECOND,
    "space at the line's end": b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n" + SECOND,
    "version twice": b"GET / HTTP/1.1 HTTP/1.1\r\nhost: a\r\n\r\n" + SECOND,
    "LF in the request line": b"GET / HTTP/1.1\nhost: a\r\n\r\n" + SECOND,
    "LF ends the head": b"GET / HTTP/1.1\r\nhost: a\r\n\n" + SECOND,
    "space line": b"GET / HTTP/1.1\r\nhost: a\r\n \r\n\r\n" + SECOND,
    "colon first": b"GET / HTTP/1.1\r\nhost: a\r\n:x\r\n\r\n" + SECOND,
}
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
SMUGGLED_IN_BODY = {
    "size with sign": b"+0\r\n\r\n",
    "size with prefix": b"0x0\r\n\r\n",
    "size wraps": b"10000000000000000\r\n\r\n",
    "size empty": b"\r\n\r\n",
    "size with space before": b" 0\r\n\r\n",
    "size LF": b"0\n\r\n",
    "size CR": b"0\r\r\n",
    "size comma": b"0,0\r\n\r\n",
    "extension with LF": b"0;a\nb\r\n\r\n",
    "extension with CR": b"0;a\rb\r\n\r\n",
    "extension with NUL": b"0;a=\0\r\n\r\n",
    "chunk too long": b"1\r\nab\r\n0\r\n\r\n",
    "chunk without end": b"1\r\na0\r\n\r\n",
    "chunk with LF": b"1\r\na\n0\r\n\r\n",
    "trailer folded": b"0\r\nx: y\r\n z\r\n\r\n",
    "trailer with LF": b"0\r\nx: y\n\r\n",
    "trailer without name": b"0\r\n: y\r\n\r\n",
    "trailer with space": b"0\r\nx : y\r\n\r\n",
}


def whole(forwarded: list[bytes]) -> list[Message]:
    """What h11 takes for whole requests, the connections one after the other."""
    return [message for data in forwarded for message in read_h11(data).messages]


def check_forwarded(forwarded: list[bytes]) -> None:
    """h11 and llhttp agree on every byte that was sent on."""
    for data in forwarded:
        ours, theirs = read_h11(data), read_httptools(data)
        assert not ours.refused, data
        if all(message.method in KNOWN for message in ours.messages):  # llhttp has a list
            assert not theirs.refused, data
            assert ours.messages == theirs.messages, data


@pytest.mark.parametrize("name", SMUGGLED)
def test_smuggling_head_is_refused(proxy: Proxy, name: str) -> None:
    outcome = proxy.give(SMUGGLED[name])
    assert len(outcome.statuses) == 1
    assert outcome.statuses[0] >= 400
    assert outcome.forwarded == []


@pytest.mark.parametrize("name", SMUGGLED_IN_BODY)
def test_smuggling_body_is_refused(proxy: Proxy, name: str) -> None:
    outcome = proxy.give(CHUNKED + SMUGGLED_IN_BODY[name] + SECOND)
    assert [status >= 400 for status in outcome.statuses] == [True]
    check_forwarded(outcome.forwarded)
    assert whole(outcome.forwarded) == []


# -- valid messages -----------------------------------------------------------------------------

TOKENS = st.text("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=12)
VALUES = st.text(
    st.characters(codec="latin-1", exclude_characters="\x7f", exclude_categories=["Cc"]),
    max_size=30,
).map(lambda text: text.strip(" \t\xa0\x85"))
TARGETS = st.text("abcXYZ019-._~!$&'()*+,;=:@/?%", max_size=30).map(lambda text: "/" + text)
METHODS = st.sampled_from(NAMES)
NOT_OURS = {"host", "connection", "content-length", "transfer-encoding", "expect", "te", "upgrade"}
EXTENSIONS = st.sampled_from(["", ";a", ";a=b", ';a="b c"', ";a;b=c", ' ; a = "\\""'])


@st.composite
def valid_requests(draw: st.DrawFn) -> tuple[bytes, Message]:
    method, target = draw(METHODS), draw(TARGETS)
    names = TOKENS.filter(lambda name: name.lower() not in NOT_OURS)
    fields = draw(st.lists(st.tuples(names, VALUES), max_size=8))
    lines = [f"{method} {target} HTTP/1.1", draw(st.sampled_from(["host: a", "Host:a:80 "]))]
    lines += [f"{name}:{draw(st.sampled_from(['', ' ', ' ']))}{value}" for name, value in fields]
    body = draw(st.binary(max_size=100)) if method in ("POST", "PUT", "PATCH") else b""
    if not body:
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), Message(
            method.encode(), target.encode(), b""
        )
    message = Message(method.encode(), target.encode(), body)
    if draw(st.booleans()):
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
        return head.encode("latin-1") + body, message
    opening = "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode("latin-1")
    cut = draw(st.integers(0, len(body)))
    extension = draw(EXTENSIONS).encode()
    chunks = [b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in (body[:cut], body[cut:]) if p]
    trailers = draw(st.sampled_from([b"", b"x-t: v\r\n", b"a:\r\nb: c\r\n"]))
    return opening + b"".join(chunks) + b"0\r\n" + trailers + b"\r\n", message


@EXAMPLES
@given(requests=st.lists(valid_requests(), min_size=1, max_size=4))
def test_valid_requests_are_taken_and_read_alike_by_all(
    proxy: Proxy, requests: list[tuple[bytes, Message]]
) -> None:
    data = b"".join(raw for raw, _ in requests)
    outcome = proxy.give(data)
    assert outcome.statuses == [200] * len(requests)
    check_forwarded(outcome.forwarded)
    assert whole(outcome.forwarded) == [message for _, message in requests]


# -- anything -----------------------------------------------------------------------------------

LINES = [
    "content-length: 0", "content-length: 3", "content-length: 33", "Content-Length:3",
    "content-length: 03", "content-length: 3,3", "content-length: ", "content-length : 3",
    "transfer-encoding: chunked", "Transfer-Encoding: Chunked", "transfer-encoding: gzip, chunked",
    "transfer-encoding: identity", "transfer-encoding: chunked,", "transfer-encoding:chunked ",
    "transfer_encoding: chunked", "host: b", "Host: a", "host:", "connection: close",
    "connection: keep-alive, x-a", "connection: content-length", "connection: transfer-encoding",
    "expect: 100-continue", "te: trailers", "trailer: x", "upgrade: h2c", "x-a: b", "x-a:\tb\t",
    "x a: b", " folded", "\tfolded", "x-a", ":", ": b", "x-a: \x80", "x-a: \x01", "x-\x80: b",
    "keep-alive: 5", "x-a: b\rc", "x-a: b\nc: d", "x-a: b\0", "GET / HTTP/1.1",
]  # fmt: skip
STARTS = [
    "GET / HTTP/1.1", "POST /p HTTP/1.1", "PUT /p?q HTTP/1.1", "HEAD / HTTP/1.1",
    "OPTIONS * HTTP/1.1", "GET http://a/x HTTP/1.1", "GET http://b HTTP/1.1", "GET / HTTP/1.0",
    "GET /#f HTTP/1.1", "GET /\x80 HTTP/1.1", "GET  / HTTP/1.1", "GET / HTTP/1.1 ",
    "GET / HTTP/1.2", "GET /", "", "POST / HTTP/1.1\r", " POST / HTTP/1.1", "CONNECT a:1 HTTP/1.1",
]  # fmt: skip
BODIES = [
    b"", b"abc", b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"3;a=b\r\nabc\r\n0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n", b"3\nabc\n0\n\n", b"03\r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabcd\r\n0\r\n\r\n",
    b"3\r\nabc0\r\n\r\n", b"ffffffffffffffff1\r\n", b"0\r\n x\r\n\r\n", SECOND,
]  # fmt: skip
ENDS = st.sampled_from([*["\r\n"] * 14, "\n", "\r", "\r\r\n"])


@st.composite
def any_requests(draw: st.DrawFn) -> bytes:
    usual = draw(st.booleans())
    lines = [draw(st.sampled_from(STARTS[:4] if usual else STARTS))]
    lines += ["host: a"] if draw(st.integers(0, 9)) else []
    lines += draw(st.lists(st.sampled_from(LINES), max_size=4))
    head = "".join(line + ("\r\n" if usual else draw(ENDS)) for line in lines) + "\r\n"
    return head.encode("latin-1") + draw(st.sampled_from(BODIES))


@settings(EXAMPLES, max_examples=500)
@given(requests=st.lists(any_requests(), min_size=1, max_size=3))
def test_nothing_is_sent_on_that_others_would_read_otherwise(
    proxy: Proxy, requests: list[bytes]
) -> None:
    data = b"".join(requests)
    outcome = proxy.give(data)
    strict = read_h11(data).messages
    check_forwarded(outcome.forwarded)
    seen = whole(outcome.forwarded)
    # A target of "*" is answered here. What went on is what a strict reader sees first, in order:
    # not one request more.
    routed = [m for m in strict if m.target != b"*"]
    wanted = [(message.method, message.body) for message in routed[: len(seen)]]
    assert [(message.method, message.body) for message in seen] == wanted
