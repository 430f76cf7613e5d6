"""Browsers' gRPC: requests of gRPC-Web over HTTP/1 to a real server of gRPC."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.e2e.grpc.conftest import GrpcProxyMaker, python_filter
from tests.e2e.grpc.service import Calls, Service
from tests.e2e.support.client import RawClient
from tests.e2e.support.messages import Response

import moebridge as mb

WEB = {
    "name": "web",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"
    },
}
BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text"
TRAILERS = 0x80


class Frame(NamedTuple):
    """A frame of a body."""

    flags: int
    data: bytes


def frame(data: bytes, flags: int = 0) -> bytes:
    """Writes a frame."""
    return bytes([flags]) + len(data).to_bytes(4, "big") + data


def frames(body: bytes) -> Iterator[Frame]:
    """Reads a body that is whole."""
    while body:
        end = 5 + int.from_bytes(body[1:5], "big")
        assert len(body) >= end
        yield Frame(body[0], body[5:end])
        body = body[end:]


def decoded(text: bytes) -> bytes:
    """Base64 that may be padded after any group."""
    groups = [text[at : at + 4] for at in range(0, len(text), 4)]
    return b"".join(base64.b64decode(group, validate=True) for group in groups)


def trailers_of(data: bytes) -> dict[str, str]:
    """The content of the last frame."""
    assert data.endswith(b"\r\n")
    return dict(line.split(":", 1) for line in data.decode().removesuffix("\r\n").split("\r\n"))


@pytest.fixture
def web(service: Service, start_proxy: GrpcProxyMaker) -> mb.Proxy:
    """A proxy with grpc_web, and a Python filter on each side of it."""
    filters = (python_filter("Mark"), WEB, python_filter("CountBytes"))
    return start_proxy(service.address, filters=filters)


def call(
    proxy: mb.Proxy,
    method: str,
    body: bytes,
    *fields: tuple[str, str],
    kind: str = BINARY,
    accept: str = BINARY,
    piece: int = 0,
) -> Response:
    """One request; `piece`: chunks of that many bytes."""
    lines = [("content-type", kind), ("accept", accept), ("x-grpc-web", "1"), *fields]
    parts = [body[at : at + piece] for at in range(0, len(body), piece)] if piece else body
    with RawClient(proxy.addresses["main"]) as client:
        return client.request("POST", f"/test.Service/{method}", lines, parts)


def test_binary_call(web: mb.Proxy, service: Service) -> None:
    answer = call(web, "Unary", frame(b"hello"), ("x-id", "w"))
    assert (answer.status, answer.get("content-type")) == (200, BINARY)
    assert answer.get("x-initial") == "1"
    assert answer.trailers == []
    message, last = frames(answer.body)
    assert message == Frame(0, b"hello")
    assert last.flags == TRAILERS
    trailers = trailers_of(last.data)
    assert trailers["grpc-status"] == "0"
    assert trailers["x-trailing"] == "2"
    # Set by the filter behind grpc_web, which has trailers to see.
    assert trailers["x-counted"] == "10 10"
    assert service.seen["w"].metadata["x-grpc-web"] == "1"


@pytest.mark.parametrize("piece", [0, 1, 3, 5, 1000])
def test_text_call_whatever_its_pieces(web: mb.Proxy, piece: int) -> None:
    message = bytes(range(256)) * 3
    body = base64.b64encode(frame(message))
    answer = call(web, "Unary", body, kind=TEXT, accept=TEXT, piece=piece)
    assert (answer.status, answer.get("content-type")) == (200, TEXT + "+proto")
    said, last = frames(decoded(answer.body))
    assert said == Frame(0, message)
    assert trailers_of(last.data)["grpc-status"] == "0"


@pytest.mark.parametrize("accept", [BINARY, TEXT])
def test_large_message_both_ways(web: mb.Proxy, accept: str) -> None:
    message = bytes(range(251)) * 4178
    body = base64.b64encode(frame(message))
    answer = call(web, "Unary", body, kind=TEXT, accept=accept)
    said, last = frames(decoded(answer.body) if accept == TEXT else answer.body)
    assert said.data == message
    assert trailers_of(last.data)["grpc-status"] == "0"


@pytest.mark.parametrize("accept", [BINARY, TEXT])
def test_stream_comes_message_by_message(web: mb.Proxy, service: Service, accept: str) -> None:
    """The first message is whole before the server says anything else."""
    fields = [("content-type", BINARY), ("accept", accept), ("x-id", "s")]
    with RawClient(web.addresses["main"]) as client:
        client.start("POST", "/test.Service/Trickle", fields, frame(b"first!!"))
        answer = client.read_head()
        got = b""
        for piece in client.body_pieces(answer):
            got += piece
            if len(decoded(got) if accept == TEXT else got) == 12:
                break
        assert list(frames(decoded(got) if accept == TEXT else got)) == [Frame(0, b"first!!")]
        assert not service.seen["s"].over.is_set()
        client.abort()
    assert service.seen["s"].over.wait(20)


def test_many_messages(web: mb.Proxy) -> None:
    fields = ("x-count", "300")
    answer = call(web, "Repeat", base64.b64encode(frame(b"ab")), fields, kind=TEXT, accept=TEXT)
    *messages, last = frames(decoded(answer.body))
    assert messages == [Frame(0, b"ab")] * 300
    assert last.flags == TRAILERS


def test_call_by_http2_ends_with_its_body(web: mb.Proxy, tmp_path: Path) -> None:
    """No trailers are left: the last DATA frame ends the stream."""
    body = tmp_path / "body"
    body.write_bytes(frame(b"hello"))
    url = f"http://{web.addresses['main']}/test.Service/Unary"
    how = ["-sS", "--http2-prior-knowledge", "--max-time", "20", "--data-binary", f"@{body}"]
    show = ["-H", f"content-type: {BINARY}", "-w", "%{http_version} %{http_code}"]
    said = subprocess.run(["curl", *how, *show, url], check=True, capture_output=True).stdout
    assert said.endswith(b"2 200")
    message, last = frames(said.removesuffix(b"2 200"))
    assert message == Frame(0, b"hello")
    assert trailers_of(last.data)["grpc-status"] == "0"


def test_error_of_the_server(web: mb.Proxy) -> None:
    answer = call(web, "Fail", frame(b""))
    (last,) = frames(answer.body)
    trailers = trailers_of(last.data)
    assert trailers["grpc-status"] == "5"
    assert trailers["grpc-message"] == "nichts %C3%BCber 100%25%0A"


def test_method_that_is_not_there(web: mb.Proxy) -> None:
    answer = call(web, "Nothing", frame(b""))
    said = (
        answer.get("grpc-status") or trailers_of(list(frames(answer.body))[-1].data)["grpc-status"]
    )
    assert said == "12"


def test_broken_base64(web: mb.Proxy) -> None:
    answer = call(web, "Unary", b"AAAA!AAA", kind=TEXT)
    assert (answer.status, answer.get("grpc-status"), answer.body) == (400, "13", b"")
    assert answer.get("grpc-message") == "Bad gRPC-web request, invalid base64 data."


def test_upstream_that_is_not_there(start_proxy: GrpcProxyMaker) -> None:
    with Service() as gone:
        address = gone.address
    web = start_proxy(address, filters=(WEB,))
    answer = call(web, "Unary", frame(b""))
    assert (answer.status, answer.get("grpc-status"), answer.body) == (503, "14", b"")
    assert answer.get("grpc-message").startswith("upstream connect error")
    assert answer.get("content-type") == BINARY


def test_other_requests_pass(service: Service, start_proxy: GrpcProxyMaker) -> None:
    with Calls(start_proxy(service.address, filters=(WEB,)).addresses["main"]) as calls:
        assert calls.unary(b"x", timeout=20) == b"x"
