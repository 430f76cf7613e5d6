"""The exception barrier: what a hook raises stays inside its stream."""

# ruff: noqa: ARG001, ARG002  (a hook has the arguments that it has)

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest

import moebridge as mb
from moebridge import _barrier
from moebridge.status import HOOK_NAMES, WHOLE_NAMES

from .conftest import BenchMaker
from .harness import Message

HOOKS = [*HOOK_NAMES[:6], *WHOLE_NAMES]


def chunked(request: Message) -> Message:
    wire = b"2\r\nok\r\n0\r\nx-r: 1\r\n\r\n"
    return Message("HTTP/1.1 200 OK", [("transfer-encoding", "chunked")], wire)


class Raises(mb.HttpFilter):
    """Raises in one hook, for paths that begin with /bad."""

    def __init__(self, hook: str, error: Any) -> None:
        super().__init__()
        self.error = error

        def run(stream: mb.Stream, *_: object) -> None:
            if stream.request.path.startswith("/bad"):
                raise self.error

        setattr(self, hook, run)


def recurse() -> None:
    recurse()


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


ERRORS = [
    ZeroDivisionError("x"), SystemExit(3), KeyboardInterrupt(), MemoryError(), RecursionError(),
    GeneratorExit(), StopIteration(1), StopAsyncIteration(), BaseException("base"), Unprintable(),
    ExceptionGroup("many", [ValueError(), KeyError()]), UnicodeError(), OSError(5, "io"),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("hook", HOOKS)
def test_exactly_the_raising_stream_fails(
    make_bench: BenchMaker, hook: str, error: BaseException
) -> None:
    bench = make_bench(Raises(hook, error), handler=chunked)
    for _ in range(2):
        assert bench.ask_pieces(b"a", path="/good", trailers="x-t: 1\r\n").body == b"ok"
        try:
            answer = bench.ask_pieces(b"a", path="/bad", trailers="x-t: 1\r\n")
            assert (answer.status, answer.body) == (500, b"")
        except (EOFError, ConnectionError):
            assert hook in ("on_response_body", "on_response_trailers")
    assert bench.stats()["py.f0.errors"] == 2


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_raising_in_complete_harms_nobody(make_bench: BenchMaker, error: BaseException) -> None:
    bench = make_bench(Raises("on_complete", error))
    assert bench.ask(path="/bad").status == 200
    assert bench.stats()["py.f0.errors"] == 1


@pytest.mark.parametrize("hook", HOOKS)
def test_fail_open_skips_the_filter(make_bench: BenchMaker, hook: str) -> None:
    later: list[str] = []
    item = Raises(hook, ValueError())
    item.on_response_headers = (  # type: ignore[method-assign]
        item.on_response_headers
        if hook == "on_response_headers"
        else lambda stream: later.append(stream.request.path)
    )
    bench = make_bench(item, handler=chunked, fail_open=True)
    answer = bench.ask_pieces(b"a", path="/bad", trailers="x-t: 1\r\n")
    assert (answer.status, answer.body) == (200, b"ok")
    assert bench.stats()["py.f0.errors"] == 1
    if "request" in hook:
        assert later == []  # skipped for the rest of the stream
        bench.ask_pieces(b"a", path="/good")
        assert later == ["/good"]


def test_deep_recursion_is_contained(make_bench: BenchMaker) -> None:
    class Deep(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            recurse()

    bench = make_bench(Deep())
    assert [bench.ask().status for _ in range(3)] == [500] * 3


def test_raising_after_respond_is_500(make_bench: BenchMaker) -> None:
    class Both(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            stream.respond(200, body=b"half")
            raise ValueError

    answer = make_bench(Both()).ask()
    assert (answer.status, answer.body) == (500, b"")


def test_log_has_filter_hook_and_stack(
    make_bench: BenchMaker, caplog: pytest.LogCaptureFixture
) -> None:
    make_bench(Raises("on_request_headers", ZeroDivisionError("why"))).ask(path="/bad")
    record = next(r for r in caplog.records if r.name == "moebridge.filter")
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "filter f0: on_request_headers raised ZeroDivisionError"
    assert record.exc_info is not None
    assert "in run" in caplog.text
    assert (record.mb_filter, record.mb_hook) == ("f0", "on_request_headers")  # type: ignore[attr-defined]


def test_log_is_limited_and_says_what_it_left_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    for _ in range(100):
        _barrier.report("f", "hook", ValueError())
    _barrier.report("g", "hook", ValueError())
    assert len(caplog.records) == _barrier.BURST + 1
    now = _barrier.WINDOW_S
    _barrier.report("f", "hook", ValueError())
    assert f"({100 - _barrier.BURST} more were not logged)" in caplog.records[-1].getMessage()


def test_a_broken_log_handler_is_contained(make_bench: BenchMaker) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit("handler")

    handler = Broken()
    logger = logging.getLogger("moebridge.filter")
    logger.addHandler(handler)
    try:
        assert make_bench(Raises("on_request_headers", ValueError())).ask(path="/bad").status == 500
    finally:
        logger.removeHandler(handler)


def test_errors_leave_nothing_behind(make_bench: BenchMaker) -> None:
    bench = make_bench(Raises("on_request_headers", ValueError))

    def count() -> int:
        gc.collect()
        return len(gc.get_objects())

    for _ in range(20):
        bench.ask(path="/bad")
    before = count()
    for _ in range(200):
        bench.ask(path="/bad")
    assert count() - before < 50
