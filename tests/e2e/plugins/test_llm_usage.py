"""llm_usage between a client and something that answers as OpenAI's services do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

import moebridge as mb
from moebridge_plugins.llm_usage import LlmUsage

from ..conftest import ProxyMaker, UpstreamMaker
from ..support.client import ClosedEarly, RawClient, fetch
from ..support.upstream import Exchange, Handler, fixed, pieces

USAGE = {"prompt_tokens": 7, "completion_tokens": 9}
CHUNKS = [
    {"choices": [{"delta": {"content": "hi"}}], "usage": None},
    {"choices": [{"delta": {"content": " there"}}], "usage": None},
    {"choices": [], "usage": USAGE},
]
EVENTS = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in CHUNKS)
STREAM = [("content-type", "text/event-stream")]
JSON = [("content-type", "application/json")]
ANN = [("x-tenant", "ann")]


def spent(proxy: mb.Proxy, tenant: str = "ann") -> tuple[int, int]:
    stats = proxy.stats()
    names = ("prompt_tokens", "completion_tokens")
    prompt, completion = (stats.get(f"py.LlmUsage.{n}{{tenant={tenant}}}", 0) for n in names)
    return prompt, completion


@pytest.fixture
def start(make_proxy: ProxyMaker, make_upstream: UpstreamMaker) -> Callable[..., mb.Proxy]:
    def make(handler: Handler, **config: object) -> mb.Proxy:
        return make_proxy(LlmUsage(**config), upstream=make_upstream(handler).address)

    return make


def test_tokens_of_a_json_answer_are_counted(start: Callable[..., mb.Proxy]) -> None:
    proxy = start(fixed(json.dumps({"usage": USAGE}).encode(), fields=JSON))
    for _ in range(2):
        response = fetch(proxy.addresses["main"], fields=ANN)
        assert json.loads(response.body) == {"usage": USAGE}
        assert response.has("content-length")
    assert spent(proxy) == (14, 18)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_tokens_of_events_are_counted(start: Callable[..., mb.Proxy], size: int) -> None:
    parts = [EVENTS[at : at + size] for at in range(0, len(EVENTS), size)]
    proxy = start(pieces([*parts, b""], fields=STREAM))
    assert fetch(proxy.addresses["main"], fields=ANN).body == EVENTS
    assert spent(proxy) == (7, 9)


def test_stream_is_not_held_by_a_byte(start: Callable[..., mb.Proxy]) -> None:
    gate = threading.Event()
    first, rest = EVENTS[:5], EVENTS[5:]  # cut inside a line
    proxy = start(pieces([first, rest], fields=STREAM, gate=gate))
    with RawClient(proxy.addresses["main"]) as client:
        client.start("GET", "/", ANN)
        body = client.body_pieces(client.read_head())
        assert next(body) == first  # the rest is sent only after this has come
        gate.set()
        assert b"".join(body) == rest


def test_cut_stream_counts_what_it_said(start: Callable[..., mb.Proxy]) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.start_chunked(200, STREAM)
        await exchange.chunk(EVENTS)
        exchange.abort()

    proxy = start(cut)
    with pytest.raises(ClosedEarly), RawClient(proxy.addresses["main"]) as client:
        client.request("GET", "/", ANN)
    proxy.stop()
    assert spent(proxy) == (7, 9)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"no json", JSON),
        (b"", JSON),
        (b'{"usage": 3}', JSON),
        (EVENTS[:60], STREAM),
        (b"\x1f\x8b", [*JSON, ("content-encoding", "gzip")]),
        (b"text", [("content-type", "text/plain")]),
    ],
)
def test_answer_without_usage_passes(
    start: Callable[..., mb.Proxy], body: bytes, fields: list[tuple[str, str]]
) -> None:
    proxy = start(pieces([body[:3], body[3:]], fields=fields))
    assert fetch(proxy.addresses["main"], fields=ANN).body == body
    assert proxy.stats()["py.LlmUsage.unmetered"] == 1
    assert proxy.stats()["py.LlmUsage.errors"] == 0


def test_spent_budget_is_429_until_the_window_ends(start: Callable[..., mb.Proxy]) -> None:
    body = json.dumps({"usage": USAGE}).encode()
    proxy = start(fixed(body, fields=JSON), budget_tokens=20, window_s=10**9)
    with RawClient(proxy.addresses["main"]) as client:
        assert [client.request("GET", "/", ANN).status for _ in range(3)] == [200, 200, 429]
        refused = client.request("GET", "/", ANN)
        assert int(refused.get("retry-after")) > 0
        assert json.loads(refused.body)["error"]["code"] == "rate_limit_exceeded"
        assert client.request("GET", "/", [("x-tenant", "bob")]).status == 200
        assert client.request("GET", "/").status == 200
    assert proxy.stats()["py.LlmUsage.over_budget"] == 2
    assert spent(proxy, "anonymous") == (7, 9)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [1, 1000])
def test_usage_is_asked_for(
    make_proxy: ProxyMaker, make_upstream: UpstreamMaker, chunked: bool, size: int
) -> None:
    upstream = make_upstream()
    proxy = make_proxy(LlmUsage(include_usage=True), upstream=upstream.address)
    text = b'{"stream": true, "n": 1.0}'
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    body = parts if chunked else text
    with RawClient(proxy.addresses["main"]) as client:
        for _ in range(3):  # on a connection that is there, a head goes on at once
            assert client.request("POST", "/", JSON, body).status == 200
    assert upstream.connections == 1
    for request in upstream.requests:
        assert request.body == b'{"stream_options":{"include_usage":true},"stream": true, "n": 1.0}'
        assert request.has("content-length") is not chunked


@pytest.mark.parametrize("body", [b"x" * 5000, b'{"stream": false}', b"{", b""])
def test_other_requests_go_on_unchanged(
    make_proxy: ProxyMaker, make_upstream: UpstreamMaker, body: bytes
) -> None:
    upstream = make_upstream()
    proxy = make_proxy(
        LlmUsage(include_usage=True, max_request_bytes=1000), upstream=upstream.address
    )
    address = proxy.addresses["main"]
    fetch(address, method="POST", fields=JSON, body=body)
    fetch(address, method="POST", fields=JSON, body=[body[:2000], body[2000:]])
    assert [request.body for request in upstream.requests] == [body, body]
