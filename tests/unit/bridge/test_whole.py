"""on_request and on_response: whole messages."""

# ruff: noqa: ARG001, ARG002  (a hook has the arguments that it has)

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import moebridge as mb

from .conftest import BenchMaker
from .harness import Message

PIECES: list[list[bytes]] = [
    [b"hello"],
    [bytes([byte]) for byte in b"hello world"],
    [b"one", b"two", b""],
    [b"x" * 3000, b"y" * 40_000, b"z"],
    [],
]


class Upper(mb.HttpFilter):
    """Turns both bodies to upper case, and makes them longer."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    def on_request(self, stream: mb.Stream) -> None:
        self.change(stream.request.body)

    def on_response(self, stream: mb.Stream) -> None:
        self.change(stream.response.body)

    def change(self, body: mb.Buffer) -> None:
        self.bodies.append(bytes(body))
        body.replace(bytes(body).upper() + b"!")


class AsyncUpper(Upper):
    async def on_request(self, stream: mb.Stream) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.change(stream.request.body)
        await asyncio.sleep(0)

    async def on_response(self, stream: mb.Stream) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.change(stream.response.body)


@pytest.mark.parametrize("kind", [Upper, AsyncUpper])
@pytest.mark.parametrize("pieces", PIECES, ids=range(len(PIECES)))
def test_whole_body_is_seen_once_and_may_change(
    make_bench: BenchMaker, pieces: list[bytes], kind: type[Upper]
) -> None:
    whole = b"".join(pieces)
    item = kind()
    bench = make_bench(item, per_connection_buffer_limit_bytes=1 << 20)
    answer = bench.ask_pieces(*pieces)
    assert answer.body == whole.upper() + b"!!"
    assert answer.get("content-length") == str(len(whole) + 2)
    assert item.bodies == [whole, whole.upper() + b"!"]


@pytest.mark.parametrize("kind", [Upper, AsyncUpper])
def test_content_length_follows(make_bench: BenchMaker, kind: type[Upper]) -> None:
    bench = make_bench(kind())
    answer = bench.ask("POST", body=b"abc")
    assert answer.body == b"ABC!!"
    assert bench.requests[0].get("content-length") == "4"
    assert answer.get("content-length") == "5"


@pytest.mark.parametrize("kind", [Upper, AsyncUpper])
def test_a_message_without_a_body_may_get_one(make_bench: BenchMaker, kind: type[Upper]) -> None:
    bench = make_bench(kind())
    answer = bench.ask("GET")
    assert bench.requests[0].body == b"!"
    assert bench.requests[0].get("content-length") == "1"
    assert answer.body == b"!!"


class Look(mb.HttpFilter):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_request(self, stream: mb.Stream) -> None:
        self.seen.append((stream.request.ended, bytes(stream.request.body)))

    def on_response(self, stream: mb.Stream) -> None:
        self.seen.append((stream.response.ended, bytes(stream.response.body)))


def test_unchanged_messages_keep_their_framing(make_bench: BenchMaker) -> None:
    item = Look()
    bench = make_bench(item)
    assert bench.ask("POST", body=b"abc").get("content-length") == "3"
    assert item.seen == [(True, b"abc")] * 2


def test_head_keeps_its_content_length(make_bench: BenchMaker) -> None:
    def handler(request: Message) -> Message:
        return Message("HTTP/1.1 200 OK", [("content-length", "77")])

    item = Look()
    answer = make_bench(item, handler=handler).ask("HEAD")
    assert answer.get("content-length") == "77"
    assert item.seen == [(True, b""), (True, b"")]


def test_request_over_the_limit_is_413_response_500(make_bench: BenchMaker) -> None:
    bench = make_bench(Look(), per_connection_buffer_limit_bytes=1000)
    assert bench.ask("POST", body=b"x" * 50_000).status == 413

    def big(request: Message) -> Message:
        return Message("HTTP/1.1 200 OK", [], b"x" * 50_000)

    bench = make_bench(Look(), handler=big, per_connection_buffer_limit_bytes=1000)
    assert bench.ask().status == 500


def test_whole_hooks_go_together_with_the_others(make_bench: BenchMaker) -> None:
    class Both(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            stream.request.headers["x-first"] = "1"

        def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
            data.append(b".")

        def on_request(self, stream: mb.Stream) -> None:
            stream.request.headers["x-body"] = bytes(stream.request.body).decode()

    answer = make_bench(Both()).ask_pieces(b"a", b"b")
    assert answer.get("x-echo-x-first") == "1"
    assert answer.get("x-echo-x-body") == answer.body.decode()
    assert answer.body.replace(b".", b"") == b"ab"


def test_bytes_that_were_taken_are_not_part_of_the_whole(make_bench: BenchMaker) -> None:
    class Take(mb.HttpFilter):
        def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> mb.Status:
            return mb.Status.STOP_NO_BUFFER

        def on_request(self, stream: mb.Stream) -> None:
            stream.request.body.append(b"%d" % len(stream.request.body))

    assert make_bench(Take()).ask_pieces(b"a", b"b").body == b"0"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_respond_from_the_whole_request(make_bench: BenchMaker, method: str) -> None:
    class Deny(mb.HttpFilter):
        def on_request(self, stream: mb.Stream) -> mb.Status:
            return stream.respond(400, body=b"bad: " + bytes(stream.request.body))

    bench = make_bench(Deny())
    answer = bench.ask(method, body=b"q" if method == "POST" else b"")
    assert (answer.status, answer.body) == (400, b"bad: q" if method == "POST" else b"bad: ")
    assert bench.requests == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_stopped_whole_request_waits_for_resume(make_bench: BenchMaker, method: str) -> None:
    class Wait(mb.HttpFilter):
        def on_request(self, stream: mb.Stream) -> mb.Status:
            bench.loop.call_later(0.001, stream.resume)
            return mb.Status.STOP_ITERATION

    bench = make_bench(Wait())
    body = b"q" if method == "POST" else b""
    assert bench.ask(method, body=body).body == body


def test_headers_hook_may_not_stop_all_before_on_request(
    make_bench: BenchMaker, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> mb.Status:
            return mb.Status.STOP_ALL_AND_BUFFER

        def on_request(self, stream: mb.Stream) -> None: ...

    assert make_bench(Wrong()).ask().status == 500
    assert "on_request needs the body" in caplog.text


def test_two_whole_filters_see_each_others_work(make_bench: BenchMaker) -> None:
    one, two = Upper(), AsyncUpper()
    answer = make_bench(one, two).ask("POST", body=b"a")
    assert answer.body == b"A!!!!"
    assert (one.bodies[0], two.bodies[0]) == (b"a", b"A!")
