"""What a filter asks of its stream: replies, resets, posts, state, metadata, information."""

# ruff: noqa: ARG002, ARG005  (a hook has the arguments that it has)

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import moebridge as mb

from .conftest import BenchMaker
from .harness import Bench, turns


class Do(mb.HttpFilter):
    """Runs a function in on_request_headers; its answer is the hook's."""

    def __init__(self, body: Callable[[mb.Stream], Any]) -> None:
        super().__init__()
        self.body = body

    def on_request_headers(self, stream: mb.Stream) -> Any:
        return self.body(stream)


def test_respond_with_headers_of_all_forms(make_bench: BenchMaker) -> None:
    def body(stream: mb.Stream) -> mb.Status:
        if stream.request.path == "/map":
            return stream.respond(
                201, headers={"X-A": "1", "x-b": ["2", "3"]}, body=bytearray(b"q")
            )
        if stream.request.path == "/pairs":
            return stream.respond(202, headers=[("x-a", "caf\xe9"), (b"x-b", b"\xff")])
        return stream.respond(204)

    bench = make_bench(Do(body))
    answer = bench.ask(path="/map")
    assert (answer.status, answer.get("x-a"), answer.getall("x-b"), answer.body) == (
        201, "1", ["2", "3"], b"q",
    )  # fmt: skip
    answer = bench.ask(path="/pairs")
    assert (answer.status, answer.get("x-a"), answer.get("x-b")) == (202, "caf\xe9", "\xff")


WRONG_REPLIES: list[tuple[Any, Any, Any, Any]] = [
    *[(number, None, b"", "") for number in (0, 99, 100, 101, 199, 600, 1000, -1, 2**40, "200",
                                             None, 200.0, True, b"200", [], object())],
    *[(200, headers, b"", "") for headers in (
        "x: y", b"x", 5, True, object(), ["x"], [("x",)], [("x", "y", "z")], [("a\r\n", "b")], [5],
        [("", "b")], [("a b", "c")], [(":status", "200")], [("x", "a\r\nb: c")], [("x", "\0")],
        [("x", "\u20ac")], [("\u20ac", "x")], [("x", 5)], [(5, "x")], [("x", None)], {"x": None},
        {"x": {"a": 1}}, {5: "x"}, {"x": [1]}, {"a:b": "c"}, [("caf\xe9", "x")], [("x", ["a\n"])],
        {"x": b"\n"})],
    *[(200, None, body, "") for body in ("str", 5, None, 1.5, [], {}, object(), True)],
    *[(200, None, b"", text) for text in (5, None, b"x", "\n", "caf\xe9", "\0", [()], "a\r\nb")],
]  # fmt: skip


def test_wrong_replies_are_refused_and_nothing_is_sent(make_bench: BenchMaker) -> None:
    refused: list[int] = []

    def body(stream: mb.Stream) -> None:
        for number, (status, headers, data, details) in enumerate(WRONG_REPLIES):
            with pytest.raises((TypeError, ValueError), match=r"respond|details|status"):
                stream.respond(status, headers=headers, body=data, details=details)
            refused.append(number)

    assert make_bench(Do(body)).ask("POST", body=b"fine").body == b"fine"
    assert len(refused) == len(WRONG_REPLIES)


def test_respond_after_the_response_began_is_refused(make_bench: BenchMaker) -> None:
    raised: list[BaseException] = []

    class Late(mb.HttpFilter):
        def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
            try:
                stream.respond(500)
            except mb.FilterError as error:
                raised.append(error)

    assert make_bench(Late()).ask("POST", body=b"x").body == b"x"
    assert "was started already" in str(raised[0])


def test_reset_breaks_the_response(make_bench: BenchMaker) -> None:
    bench = make_bench(Do(lambda stream: stream.reset("why not")))
    with pytest.raises((EOFError, ConnectionError)):
        bench.ask()
    wrongs: list[Any] = [5, None, b"x", "\n", []]
    for wrong in wrongs:
        bench = make_bench(Do(functools.partial(mb.Stream.reset, details=wrong)))
        assert bench.ask().status == 500


def test_resume_without_a_stop_outside_hooks_is_refused(make_bench: BenchMaker) -> None:
    kept: list[mb.Stream] = []
    raised: list[BaseException] = []

    class Hold(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> mb.Status:
            kept.append(stream)
            return mb.Status.STOP_ALL_AND_BUFFER

    bench = make_bench(Hold())

    def twice() -> None:
        kept[0].resume()
        bench.loop.call_later(0.005, again)

    def again() -> None:
        try:
            kept[0].resume()
        except mb.Error as error:
            raised.append(error)

    bench.loop.call_later(0.005, twice)
    bench.ask()
    bench.run(turns(3))


def test_post_from_another_thread_runs_on_the_worker(make_bench: BenchMaker) -> None:
    ran: list[int] = []

    def body(stream: mb.Stream) -> mb.Status:
        def done() -> None:
            ran.append(threading.get_ident())
            stream.request.headers["x-posted"] = "1"
            stream.resume()

        thread = threading.Thread(target=lambda: stream.post(done))
        thread.start()
        threads.append(thread)
        return mb.Status.STOP_ALL_AND_WATERMARK

    threads: list[threading.Thread] = []
    bench = make_bench(Do(body))
    answer = bench.ask()
    assert answer.get("x-echo-x-posted") == "1"
    assert ran == [threading.get_ident()]
    threads[0].join()


def test_post_to_a_gone_stream_is_dropped(make_bench: BenchMaker) -> None:
    kept: list[mb.Stream] = []
    ran: list[int] = []

    class Keep(mb.HttpFilter):
        def on_complete(self, stream: mb.Stream) -> None:
            kept.append(stream)
            stream.post(lambda: ran.append(1))  # the stream goes before it is due

    bench = make_bench(Keep())
    bench.ask()
    assert kept[0].post(lambda: ran.append(2)) is False
    bench.run(turns(5))
    assert ran == []
    for wrong in (None, 5, "x"):
        with pytest.raises(TypeError, match="takes a function"):
            kept[0].post(wrong)  # type: ignore[arg-type]


def test_raising_in_a_posted_function_is_contained(make_bench: BenchMaker) -> None:
    def body(stream: mb.Stream) -> mb.Status:
        stream.post(lambda: 1 / 0)
        return mb.Status.STOP_ALL_AND_WATERMARK

    bench = make_bench(Do(body))
    assert bench.ask().status == 500
    assert bench.stats()["py.f0.errors"] == 1


def test_posts_of_many_threads_arrive_once(make_bench: BenchMaker) -> None:
    count = 200
    seen: list[tuple[int, int]] = []

    def body(stream: mb.Stream) -> mb.Status:
        def note(thread: int, number: int) -> None:
            seen.append((thread, number))
            if len(seen) == 4 * count:
                stream.resume()

        def work(thread: int) -> None:
            for number in range(count):
                assert stream.post(functools.partial(note, thread, number))

        threads.extend(threading.Thread(target=work, args=(number,)) for number in range(4))
        for thread in threads:
            thread.start()
        return mb.Status.STOP_ALL_AND_WATERMARK

    threads: list[threading.Thread] = []
    assert make_bench(Do(body)).ask().status == 200
    for thread in threads:
        thread.join()
    for number in range(4):
        assert [n for t, n in seen if t == number] == list(range(count))


def test_state_is_the_filters_own_in_each_stream(make_bench: BenchMaker) -> None:
    made: list[object] = []

    class Own:
        def __init__(self) -> None:
            made.append(self)
            self.count = 0

    class Counts(mb.HttpFilter):
        State = Own

        def on_request_headers(self, stream: mb.Stream) -> None:
            if stream.request.path == "/touch":
                stream.state.count += 1

        def on_response_headers(self, stream: mb.Stream) -> None:
            if stream.request.path == "/touch":
                stream.state.count += 1
                stream.response.headers.add("x-count", str(stream.state.count))

    bench = make_bench(Counts(), Counts())
    bench.ask()
    assert made == []
    assert bench.ask(path="/touch").getall("x-count") == ["2", "2"]
    assert len(made) == 2
    assert bench.ask(path="/touch").getall("x-count") == ["2", "2"]


def test_state_is_freed_with_the_stream(make_bench: BenchMaker) -> None:
    refs: list[weakref.ref[object]] = []

    class Own:
        stream: mb.Stream

    class Cycle(mb.HttpFilter):
        State = Own

        def on_request_headers(self, stream: mb.Stream) -> None:
            stream.state.stream = stream
            refs.append(weakref.ref(stream.state))

    bench = make_bench(Cycle())
    for _ in range(3):
        bench.ask()
    gc.collect()
    assert [ref() for ref in refs] == [None] * 3


def test_streams_are_used_again_and_leave_nothing(make_bench: BenchMaker) -> None:
    def body(stream: mb.Stream) -> None:
        stream.request.headers["x"] = stream.request.path
        stream.state["x"] = stream.info.id
        stream.metadata.set("a", "b", 1)

    bench = make_bench(Do(body), Do(body))

    def count() -> int:
        gc.collect()
        bench.requests.clear()
        return len(gc.get_objects())

    for _ in range(20):
        bench.ask()
    before = count()
    for _ in range(300):
        bench.ask()
    assert count() - before < 50


def test_metadata_is_shared_and_typed(make_bench: BenchMaker) -> None:
    values = [None, True, 1, -1, 2**63, 1.5, "text", b"bytes", [1, [2]], {"a": {"b": [None]}}, ""]

    def write(stream: mb.Stream) -> None:
        for number, value in enumerate(values):
            stream.metadata.set("space", f"k{number}", value)
        assert stream.metadata.get("other") is None
        assert stream.metadata.get("other", "key", 7) == 7
        assert "other" not in stream.metadata
        with pytest.raises(KeyError):
            stream.metadata["other"]

    def read(stream: mb.Stream) -> None:
        assert [stream.metadata.get("space", f"k{n}") for n in range(len(values))] == values
        assert stream.metadata["space"] == {f"k{n}": value for n, value in enumerate(values)}
        assert "space" in stream.metadata
        stream.metadata.set("space", "k0", "new")
        assert stream.metadata.get("space", "k0") == "new"

    def refuse(stream: mb.Stream) -> None:
        deep: list[Any] = []
        deep.append(deep)
        for wrong in (object(), {1, 2}, 2**70, deep, print, mb.Status):
            with pytest.raises((TypeError, ValueError, OverflowError), match="metadata"):
                stream.metadata.set("space", "bad", wrong)
        for name in (None, 5, b"x", ""):
            with pytest.raises((TypeError, ValueError), match="metadata"):
                stream.metadata.set(name, "key", 1)  # type: ignore[arg-type]
            with pytest.raises((TypeError, ValueError), match="metadata"):
                stream.metadata.set("space", name, 1)  # type: ignore[arg-type]
            with pytest.raises((TypeError, ValueError), match="metadata"):
                stream.metadata.get(name, "key")  # type: ignore[arg-type]
        assert stream.metadata.get("space", "bad") is None

    bench = make_bench(Do(write), Do(read), Do(refuse))
    assert bench.ask().status == 200
    assert all(bench.stats()[f"py.f{n}.errors"] == 0 for n in range(3))


def test_info_knows_the_stream(make_bench: BenchMaker) -> None:
    seen: dict[str, Any] = {}

    class Info(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            info = stream.info
            seen["early"] = (info.response_code, info.upstream_address, info.upstream_service_us)
            seen["spoken early"] = info.upstream_protocol
            seen["remote"], seen["local"] = info.remote_address, info.local_address
            seen["id"], seen["protocol"] = info.id, info.protocol
            seen["route"] = stream.route
            stream.clear_route_cache()

        def on_complete(self, stream: mb.Stream) -> None:
            info = stream.info
            seen["late"] = (info.response_code, info.bytes_received, info.bytes_sent)
            seen["upstream"], seen["cluster"] = info.upstream_address, info.cluster
            seen["spoken"] = info.upstream_protocol
            seen["times"] = (
                info.duration_us >= (info.upstream_service_us or 0) >= 0,
                info.start_us,
            )
            seen["all"] = [getattr(info, n) for n in dir(info) if not n.startswith("_")]

    bench = make_bench(Info())
    bench.ask("POST", body=b"abc")
    assert seen["early"] == (0, None, None)
    assert seen["remote"].startswith("127.0.0.1:")
    assert seen["local"] == "{}:{}".format(*bench.address)
    assert seen["id"] > 0
    assert seen["protocol"] == "HTTP/1.1"
    assert seen["late"] == (200, 3, 3)
    assert seen["upstream"].startswith("127.0.0.1:")
    assert seen["cluster"] == "upstream"
    assert (seen["spoken early"], seen["spoken"]) == (None, "HTTP/1.1")
    assert seen["times"][0]


def test_two_servers_live_in_one_process() -> None:
    one, two = Bench(Do(lambda stream: None)), Bench(Do(lambda stream: stream.respond(403)))
    try:
        assert (one.ask().status, two.ask().status, one.ask().status) == (200, 403, 200)
    finally:
        one.close()
        two.close()
