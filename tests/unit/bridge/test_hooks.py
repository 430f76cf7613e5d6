"""Hooks: which are called, in which order, and what each status does."""

# ruff: noqa: ARG001, ARG002  (a hook has the arguments that it has)

from __future__ import annotations

import pytest

import moebridge as mb
from moebridge._core_api import ffi, lib
from moebridge.status import CODES, HOOK_NAMES

from .conftest import BenchMaker
from .harness import Message


class Log(mb.HttpFilter):
    """Notes every hook in a list that the test gives."""

    def __init__(self, name: str, seen: list[str]) -> None:
        super().__init__()
        self.own = name
        self.seen = seen

    def on_request_headers(self, stream: mb.Stream) -> None:
        self.seen.append(f"{self.own} request headers")

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        end = " end" if stream.request.ended else ""
        self.seen.append(f"{self.own} request body {bytes(data)!r}{end}")

    def on_response_headers(self, stream: mb.Stream) -> None:
        self.seen.append(f"{self.own} response headers {stream.response.status}")

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        self.seen.append(f"{self.own} response body {stream.response.ended}")

    def on_complete(self, stream: mb.Stream) -> None:
        self.seen.append(f"{self.own} complete")


def test_hooks_run_in_order_and_responses_in_reverse(make_bench: BenchMaker) -> None:
    seen: list[str] = []
    bench = make_bench(Log("a", seen), Log("b", seen))
    assert bench.ask("POST", body=b"xy").body == b"xy"
    assert seen == [
        "a request headers",
        "b request headers",
        "a request body b'xy' end",
        "b request body b'xy' end",
        "b response headers 200",
        "a response headers 200",
        "b response body True",
        "a response body True",
        "a complete",
        "b complete",
    ]


def with_trailers(request: Message) -> Message:
    chunked = b"2\r\nok\r\n0\r\nx-r: 2\r\n\r\n"
    return Message("HTTP/1.1 200 OK", [("transfer-encoding", "chunked")], chunked)


def test_trailers_have_hooks_and_end_the_message(make_bench: BenchMaker) -> None:
    seen: list[str] = []

    class Trailers(mb.HttpFilter):
        def on_request_trailers(self, stream: mb.Stream) -> None:
            seen.append(stream.request.trailers["x-t"])

        def on_response_trailers(self, stream: mb.Stream) -> None:
            seen.append(stream.response.trailers["x-r"])

    bench = make_bench(Trailers(), handler=with_trailers)
    answer = bench.ask_pieces(b"q", trailers="x-t: 1\r\n")
    assert answer.body == b"ok"
    assert answer.trailers == [("x-r", "2")]
    assert seen == ["1", "2"]


def test_hooks_that_are_not_overridden_are_not_called(make_bench: BenchMaker) -> None:
    class Nothing(mb.HttpFilter):
        pass

    bench = make_bench(Nothing(), Nothing())
    assert bench.ask("POST", body=b"x" * 10).status == 200
    assert bench.stats()["bridge.crossings"] == 0
    assert bench.stats()["bridge.gil_taken"] == 0


def test_hooks_assigned_to_the_object_are_called(make_bench: BenchMaker) -> None:
    seen: list[object] = []
    item = mb.HttpFilter()
    setattr(item, "on_request_headers", seen.append)  # noqa: B010  (as a mock would)
    bench = make_bench(item)
    assert bench.ask().status == 200
    assert len(seen) == 1


class Header(mb.HttpFilter):
    def on_request_headers(self, stream: mb.Stream) -> None:
        stream.request.headers.add("x-order", self.name)


def test_consecutive_filters_take_one_crossing_a_phase(make_bench: BenchMaker) -> None:
    bench = make_bench(Header(), Header(), Header())
    before = bench.stats()["bridge.crossings"]
    assert bench.ask().getall("x-echo-x-order") == ["f0", "f1", "f2"]
    # One for the group's request headers, one for the end of the stream.
    assert bench.stats()["bridge.crossings"] - before == 1 + 1


def test_body_that_a_filter_of_a_group_adds_reaches_the_next_and_the_upstream(
    make_bench: BenchMaker,
) -> None:
    class Add(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            stream.request.headers["content-length"] = "5"
            stream.request.body.append(b"added")

    seen: list[str] = []
    bench = make_bench(Add(), Log("next", seen))
    assert bench.ask("POST").body == b"added"
    assert "next request body b'added' end" in seen


def test_group_ends_at_the_first_that_does_not_continue(make_bench: BenchMaker) -> None:
    class Stop(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> mb.Status:
            return stream.respond(403, body=b"stop")

    seen: list[str] = []
    bench = make_bench(Header(), Stop(), Log("late", seen))
    answer = bench.ask()
    assert (answer.status, answer.body) == (403, b"stop")
    assert bench.requests == []
    assert "late request headers" not in seen
    assert "late response headers 403" in seen


def test_the_hook_slot_is_true_inside_a_group(make_bench: BenchMaker) -> None:
    seen: list[tuple[str, int]] = []

    class Slot(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            slot = lib.mb_server_hook_slot(bench.server._c)
            seen.append((ffi.string(slot.filter).decode(), slot.sequence))

    bench = make_bench(Slot(), Slot(), Slot())
    bench.ask()
    assert [name for name, _ in seen] == ["f0", "f1", "f2"]
    assert seen[0][1] < seen[1][1] < seen[2][1]


def test_a_routes_own_object_is_called_instead(make_bench: BenchMaker) -> None:
    class Name(mb.HttpFilter):
        class Config(mb.Config):
            value: str

        config: Config

        def on_request_headers(self, stream: mb.Stream) -> None:
            stream.state["seen"] = self.config.value
            stream.request.headers["x-name"] = self.config.value

        def on_response_headers(self, stream: mb.Stream) -> None:
            stream.response.headers["x-name"] = self.config.value + stream.state["seen"]

    bench = make_bench(Name(value="chain"), override=("/own", Name(value="route")))
    answer = bench.ask(path="/other")
    assert (answer.get("x-echo-x-name"), answer.get("x-name")) == ("chain", "chainchain")
    answer = bench.ask(path="/own")
    assert (answer.get("x-echo-x-name"), answer.get("x-name")) == ("route", "routeroute")


def answers(hook: str, status: mb.Status | None) -> mb.HttpFilter:
    """A filter whose hook answers so, once."""

    class Answers(mb.HttpFilter):
        pass

    def headers(self: mb.HttpFilter, stream: mb.Stream) -> mb.Status | None:
        return status

    def body(self: mb.HttpFilter, stream: mb.Stream, data: mb.Buffer) -> mb.Status | None:
        return status

    setattr(Answers, hook, body if hook.endswith("body") else headers)
    return Answers()


@pytest.mark.parametrize("hook", HOOK_NAMES[:6])
@pytest.mark.parametrize("status", list(mb.Status))
def test_status_of_another_phase_is_a_filter_error(
    make_bench: BenchMaker, hook: str, status: mb.Status, caplog: pytest.LogCaptureFixture
) -> None:
    phase = HOOK_NAMES.index(hook) % 3
    if status in CODES[phase] and status is not mb.Status.LOCAL_REPLY:
        return
    bench = make_bench(answers(hook, status), handler=with_trailers)
    if hook in ("on_response_body", "on_response_trailers"):
        with pytest.raises((EOFError, ConnectionError)):
            bench.ask_pieces(b"x", trailers="x-t: 1\r\n")
    else:
        assert bench.ask_pieces(b"x", trailers="x-t: 1\r\n").status == 500
    assert hook in caplog.text
    assert status.name in caplog.text
    assert bench.stats()["py.f0.errors"] == 1


@pytest.mark.parametrize("value", [0, 1, True, "CONTINUE", b"", [], object(), 3.5, mb.Status])
def test_rubbish_as_status_is_a_filter_error(
    make_bench: BenchMaker, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench(answers("on_request_headers", value))  # type: ignore[arg-type]
    assert bench.ask().status == 500
    assert "return None or a Status" in caplog.text


@pytest.mark.parametrize("status", [None, mb.Status.CONTINUE])
@pytest.mark.parametrize("hook", HOOK_NAMES[:6])
def test_continue_goes_on(make_bench: BenchMaker, hook: str, status: mb.Status | None) -> None:
    bench = make_bench(answers(hook, status))
    assert bench.ask("POST", body=b"x" * 5000).body == b"x" * 5000


def test_stopped_headers_wait_for_the_body_hook(make_bench: BenchMaker) -> None:
    seen: list[str] = []

    class Stop(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> mb.Status:
            return mb.Status.STOP_ITERATION

        def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> mb.Status | None:
            if not stream.request.ended:
                return mb.Status.STOP_AND_BUFFER
            stream.request.headers["x-length"] = str(len(stream.request.body) + len(data))
            return mb.Status.CONTINUE

    bench = make_bench(Stop(), Log("b", seen))
    answer = bench.ask_pieces(b"one", b"two", b"three")
    assert answer.body == b"onetwothree"
    assert answer.get("x-echo-x-length") == "11"
    assert seen[0] == "b request headers"


@pytest.mark.parametrize(
    "status", [mb.Status.STOP_ALL_AND_BUFFER, mb.Status.STOP_ALL_AND_WATERMARK]
)
def test_resume_lets_a_stopped_request_go_on(make_bench: BenchMaker, status: mb.Status) -> None:
    class Stop(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> mb.Status:
            stream.info  # noqa: B018
            bench.loop.call_later(0.001, stream.resume)
            return status

    bench = make_bench(Stop())
    assert bench.ask("POST", body=b"abc").body == b"abc"


def test_stop_no_buffer_takes_the_bytes(make_bench: BenchMaker) -> None:
    taken: list[bytes] = []

    class Take(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            stream.request.headers.remove("content-length")

        def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> mb.Status | None:
            taken.append(bytes(data))
            if not stream.request.ended:
                return mb.Status.STOP_NO_BUFFER
            data.replace(b"".join(taken).upper())
            return None

    bench = make_bench(Take())
    assert bench.ask_pieces(b"ab", b"cd", b"ef").body == b"ABCDEF"


def test_buffer_over_the_limit_is_413(make_bench: BenchMaker) -> None:
    class Hold(mb.HttpFilter):
        def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> mb.Status | None:
            return None if stream.request.ended else mb.Status.STOP_AND_BUFFER

    bench = make_bench(Hold(), per_connection_buffer_limit_bytes=1000)
    assert bench.ask("POST", body=b"x" * 100_000).status == 413
