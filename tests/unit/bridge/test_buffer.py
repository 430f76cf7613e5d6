"""Buffer: bytes of bodies in the core's own memory, and the views that outlive it."""

# ruff: noqa: ARG001, ARG005  (a hook has the arguments that it has)

from __future__ import annotations

import gc
import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import moebridge as mb

from .conftest import BenchMaker
from .harness import Bench

Body = Callable[[mb.Stream, mb.Buffer], Any]


class OnBody(mb.HttpFilter):
    """Runs a function on each piece of the request's body."""

    def __init__(self, body: Body, *, hold: bool = False) -> None:
        super().__init__()
        self.body = body
        self.hold = hold
        self.results: list[Any] = []

    def on_request_headers(self, stream: mb.Stream) -> None:
        stream.request.headers.remove("content-length")

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> mb.Status | None:
        try:
            self.results.append(self.body(stream, data))
        except Exception as error:  # noqa: BLE001  (the test looks at it)
            self.results.append(error)
        hold = self.hold and not stream.request.ended
        return mb.Status.STOP_AND_BUFFER if hold else None


BIG = bytes(range(256)) * 1200  # several slabs
SPLITS: list[list[bytes]] = [
    [b"hello world"],
    [bytes([byte]) for byte in b"hello"],
    [b"hel", b"lo wo", b"rld"],
    [BIG[:100_000], BIG[100_000:]],
    [b"whole", b""],
]


@pytest.mark.parametrize("pieces", SPLITS, ids=range(len(SPLITS)))
def test_pieces_arrive_whole_and_in_order(make_bench: BenchMaker, pieces: list[bytes]) -> None:
    item = OnBody(lambda stream, data: (bytes(data), stream.request.ended))
    answer = make_bench(item).ask_pieces(*pieces)
    assert answer.body == b"".join(pieces) == b"".join(data for data, _ in item.results)
    assert [ended for _, ended in item.results] == [False] * (len(item.results) - 1) + [True]


@pytest.mark.parametrize("pieces", SPLITS, ids=range(len(SPLITS)))
def test_held_body_and_reading_are_the_same_as_bytes(
    make_bench: BenchMaker, pieces: list[bytes]
) -> None:
    whole = b"".join(pieces)

    def body(stream: mb.Stream, data: mb.Buffer) -> object:
        if not stream.request.ended:
            return None
        held = stream.request.body
        held.append(data)
        data.drain(len(data))
        same(held, whole)
        return True

    item = OnBody(body, hold=True)
    bench = make_bench(item, per_connection_buffer_limit_bytes=1 << 20)
    assert bench.ask_pieces(*pieces).body == whole
    assert item.results[-1] is True


def same(buffer: mb.Buffer, whole: bytes) -> None:
    assert len(buffer) == len(whole)
    assert bool(buffer) is bool(whole)
    assert bytes(buffer) == whole == buffer
    assert buffer == memoryview(whole)
    assert buffer != whole + b"x"
    assert b"".join(buffer.slices()) == whole
    assert memoryview(buffer) == whole
    for pattern in (b"l", b"lo w", b"\xff\x00\x01", b"nope", b"o", whole[-3:], b""):
        assert buffer.find(pattern) == whole.find(pattern)
        assert buffer.find(pattern, 3) == whole.find(pattern, 3)
        assert buffer.find(pattern, -2) == whole.find(pattern, -2)
        assert buffer.find(pattern, len(whole) + 1) == -1
        assert buffer.count(pattern) == whole.count(pattern)
        assert (pattern in buffer) is (pattern in whole)
        assert buffer.startswith(pattern) is whole.startswith(pattern)
        if pattern:
            assert buffer.split(pattern) == whole.split(pattern)
    assert buffer.startswith(whole)
    assert not buffer.startswith(whole + b"x")


Step = st.tuples(st.sampled_from(["append", "prepend", "drain", "replace"]), st.binary(max_size=40))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(start=st.binary(max_size=30), steps=st.lists(Step, max_size=8))
def test_changes_are_those_of_bytes(
    shared_bench: tuple[Bench, OnBody], start: bytes, steps: list[tuple[str, bytes]]
) -> None:
    bench, item = shared_bench
    model = start

    def body(stream: mb.Stream, data: mb.Buffer) -> None:
        nonlocal model
        for name, value in steps:
            if name == "drain":
                count = min(len(value), len(data))
                data.drain(count)
                model = model[count:]
            else:
                getattr(data, name)(value)
                model = {
                    "append": model + value,
                    "prepend": value + model,
                    "replace": value,
                }[name]
            assert bytes(data) == model

    item.body = body
    item.results.clear()
    assert bench.ask("POST", body=start).body == model
    assert item.results == [None] * len(item.results)


@pytest.fixture(scope="module")
def shared_bench() -> Any:
    item = OnBody(lambda stream, data: None)
    bench = Bench(item)
    yield bench, item
    bench.close()


NO_BYTES = [None, 0, 1, -1, True, 1.5, [], {}, (), object(), bytes, ["x"]]


def test_wrong_values_are_refused_and_change_nothing(make_bench: BenchMaker) -> None:
    def body(stream: mb.Stream, data: mb.Buffer) -> object:
        calls = (
            data.append,
            data.prepend,
            data.replace,
            data.find,
            data.count,
            data.startswith,
            data.split,
        )
        for call in calls:
            with pytest.raises(TypeError, match="encode it first"):
                call("str")  # type: ignore[arg-type]
            for thing in NO_BYTES:
                with pytest.raises(TypeError, match="takes bytes, not"):
                    call(thing)  # type: ignore[arg-type]
        for number in (-1, 4, 2**70, -(2**70)):
            with pytest.raises(ValueError, match="the buffer has 3 bytes"):
                data.drain(number)
        for thing in (None, 1.5, "1", b"1", [], True, object()):
            with pytest.raises(TypeError, match="a number of bytes"):
                data.drain(thing)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="separator is empty"):
            data.split(b"")
        with pytest.raises(TypeError):
            hash(data)
        for start in (None, "1", 1.5):
            with pytest.raises(TypeError):
                data.find(b"a", start)  # type: ignore[arg-type]
        return data == b"abc" and data != "abc" and data != 5

    item = OnBody(body)
    assert make_bench(item).ask("POST", body=b"abc").body == b"abc"
    assert item.results[0] is True


def test_views_are_read_only(make_bench: BenchMaker) -> None:
    def body(stream: mb.Stream, data: mb.Buffer) -> object:
        view = memoryview(data)
        with pytest.raises(TypeError):
            view[0] = 1
        with pytest.raises((TypeError, BufferError)):
            io.BytesIO(b"zzz").readinto(data)
        return view.readonly and all(part.readonly for part in data.slices())

    item = OnBody(body)
    make_bench(item).ask("POST", body=b"abc")
    assert item.results[0] is True


def test_views_stay_unchanged_after_changes_hook_and_stream(make_bench: BenchMaker) -> None:
    kept: list[tuple[bytes, memoryview, list[memoryview]]] = []

    def body(stream: mb.Stream, data: mb.Buffer) -> None:
        kept.append((bytes(data), memoryview(data), data.slices()))
        data.drain(len(data) // 2)
        data.prepend(b"new")
        data.replace(b"other")

    item = OnBody(body)
    bench = make_bench(item)
    for number in range(20):
        bench.ask("POST", body=b"%d-" % number * 50)
    whole = [entry for entry in kept if entry[0]]
    assert len(whole) == 20
    for data, view, slices in whole:
        assert view == data == b"".join(slices)


def test_views_outlive_the_server_and_die_on_another_thread() -> None:
    kept: list[tuple[bytes, memoryview]] = []

    def body(stream: mb.Stream, data: mb.Buffer) -> None:
        kept.append((bytes(data), memoryview(data)))

    bench = Bench(OnBody(body))
    for number in range(200):
        bench.ask("POST", body=b"%d." % number * 30)
        if number % 3 == 0:  # some die on a thread that is not the worker's
            thread = threading.Thread(target=kept.clear)
            thread.start()
            thread.join()
    bench.close()
    for data, view in kept:
        assert view == data
    thread = threading.Thread(target=kept.clear)
    thread.start()
    thread.join()
    gc.collect()


def test_a_buffer_kept_after_its_hook_is_gone(make_bench: BenchMaker) -> None:
    kept: list[mb.Buffer] = []
    later: list[str] = []

    def body(stream: mb.Stream, data: mb.Buffer) -> None:
        for old in kept:
            for use in (lambda: bytes(old), lambda: len(old), lambda: memoryview(old),  # noqa: B023
                        lambda: old.append(b"x"), lambda: old.find(b"x")):  # noqa: B023  # fmt: skip
                with pytest.raises(mb.StreamGone, match="after the hook"):
                    use()
            later.append(repr(old))
        kept.append(data)

    item = OnBody(body)
    answer = make_bench(item).ask_pieces(b"one", b"two", b"three")
    assert answer.body == b"onetwothree"
    assert item.results == [None] * len(item.results)
    assert later
    assert all("gone" in text for text in later)


def test_own_bytes_may_be_added(make_bench: BenchMaker) -> None:
    def body(stream: mb.Stream, data: mb.Buffer) -> None:
        data.append(data)
        data.prepend(memoryview(data)[1:3])

    item = OnBody(body)
    answer = make_bench(item).ask("POST", body=b"abcd")
    assert answer.body == b"bcabcdabcd"


def test_exports_and_joins_are_counted(make_bench: BenchMaker) -> None:
    def body(stream: mb.Stream, data: mb.Buffer) -> None:
        if stream.request.ended:
            memoryview(data)
            data.slices()

    item = OnBody(body)
    bench = make_bench(item)
    before = bench.stats()
    bench.ask("POST", body=b"abc")
    after = bench.stats()
    assert after["bridge.views_exported"] - before["bridge.views_exported"] == 2
    assert after["bridge.bytes_copied"] == before["bridge.bytes_copied"]
