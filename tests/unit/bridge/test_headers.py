"""Headers: the mutable multi-mapping over the core's own map."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import moebridge as mb

from .conftest import BenchMaker

Body = Callable[[mb.Stream], Any]


class Do(mb.HttpFilter):
    """Runs a function in the headers hook and keeps what it gives or raises."""

    def __init__(self, body: Body, hook: str = "on_request_headers") -> None:
        super().__init__()
        self.body = body
        self.result: Any = None
        setattr(self, hook, self.run)

    def run(self, stream: mb.Stream, *_: object) -> None:
        try:
            self.result = self.body(stream)
        except Exception as error:  # noqa: BLE001  (the test looks at it)
            self.result = error


@pytest.fixture
def in_hook(make_bench: BenchMaker) -> Callable[..., Any]:
    """Runs a function in on_request_headers of one request, gives its result."""

    def call(body: Body, *, headers: list[tuple[str, str]] | None = None) -> Any:
        item = Do(body)
        call.answer = make_bench(item).ask(headers=headers)  # type: ignore[attr-defined]
        return item.result

    return call


FIELDS = [("X-One", "1"), ("x-two", "2"), ("x-One", "again")]


def test_a_name_is_found_in_any_case(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        h = stream.request.headers
        return h["x-one"], h["X-ONE"], h.get("X-Two"), "X-TWO" in h, h.getall("X-one")

    assert in_hook(body, headers=FIELDS) == ("1", "1", "2", True, ["1", "again"])


def test_an_absent_name(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        h = stream.request.headers
        with pytest.raises(KeyError, match="x-none"):
            h["x-none"]
        with pytest.raises(KeyError):
            del h["x-none"]
        return h.get("x-none"), h.get("x-none", 7), "x-none" in h, h.getall("x-none"), h.remove("q")

    assert in_hook(body) == (None, 7, False, [], 0)


def test_listing_keeps_order_and_repeats(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        h = stream.request.headers
        own = [pair for pair in h.items() if pair[0].startswith("x-") and len(pair[0]) == 5]
        assert list(h) == h.keys() == [name for name, _ in h.items()]
        assert h.values() == [value for _, value in h.items()]
        assert len(h) == len(h.items())
        assert not any(name.startswith(":") or name == "host" for name in h)
        return own

    assert in_hook(body, headers=FIELDS) == [("x-one", "1"), ("x-two", "2"), ("x-one", "again")]


def test_changes_reach_the_upstream(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> None:
        h = stream.request.headers
        h["X-One"] = "new"
        h.add("x-two", "more")
        h.set("x-three", "3")
        del h["x-gone"]
        assert h.remove("x-both") == 2

    fields = [*FIELDS, ("x-gone", "1"), ("x-both", "1"), ("x-both", "2")]
    assert in_hook(body, headers=fields) is None
    answer = in_hook.answer  # type: ignore[attr-defined]
    assert answer.getall("x-echo-x-one") == ["new"]
    assert answer.getall("x-echo-x-two") == ["2", "more"]
    assert answer.getall("x-echo-x-three") == ["3"]
    assert answer.get("x-echo-x-gone") is answer.get("x-echo-x-both") is None


def test_latin1_both_ways(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        h = stream.request.headers
        h["x-out"] = "caf\xe9"
        return h["x-in"], h.raw["x-in"], h.raw.get(b"X-OUT")

    result = in_hook(body, headers=[("x-in", "na\xefve")])
    assert result == ("na\xefve", b"na\xefve", b"caf\xe9")
    assert in_hook.answer.get("x-echo-x-out") == "caf\xe9"  # type: ignore[attr-defined]


def test_host_is_authority(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        h = stream.request.headers
        before = h["Host"], stream.request.authority, "host" in h, h.getall("host")
        h["host"] = "b.test"
        with pytest.raises(ValueError, match="authority"):
            h.remove("host")
        return before, stream.request.authority, h.raw["host"]

    assert in_hook(body) == (("a.test", "a.test", True, ["a.test"]), "b.test", b"b.test")
    assert in_hook.answer.get("x-echo-host") == "b.test"  # type: ignore[attr-defined]


def test_pseudo_headers_are_attributes_only(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        request = stream.request
        h = request.headers
        assert ":path" not in h
        assert h.get(":path") is None
        with pytest.raises(KeyError):
            h[":path"]
        with pytest.raises(ValueError, match="attribute"):
            h[":path"] = "/x"
        before = request.method, request.path, request.scheme
        request.method, request.path = "PUT", "/new?q"
        return before

    assert in_hook(body) == ("GET", "/", "http")
    assert in_hook.answer.get("x-echo-start") == "PUT /new?q HTTP/1.1"  # type: ignore[attr-defined]


def test_response_status_can_be_set(make_bench: BenchMaker) -> None:
    def body(stream: mb.Stream) -> object:
        before = stream.response.status
        stream.response.status = 418
        return before

    item = Do(body, "on_response_headers")
    assert make_bench(item).ask().status == 418
    assert item.result == 200


BAD_NAMES = [
    "", " ", "a b", "a:b", "x\r", "x\n", "x\0", "a\r\nb: c", "\xe9", "\u20ac", "\U0001f600", "a,b",
    "(x)", "x\x7f", "a" * 300 + " ", ":method", ":", "{", "\t", "a/b", "a@b", '"', "\ud800",
]  # fmt: skip
BAD_VALUES = ["\r", "\n", "\0", "a\r\nb: c", "x\n y", "\u20ac", "\U0001f600", "\ud800", "ok\0"]
NO_STR = [None, 0, 1, -1, True, 1.5, b"x", bytearray(b"x"), [], {}, (), object(), str, ["x"]]


@pytest.mark.parametrize("how", ["[]", "set", "add"])
def test_bad_names_and_values_are_refused_and_change_nothing(
    in_hook: Callable[..., Any], how: str
) -> None:
    def put(h: mb.Headers, name: Any, value: Any) -> None:
        if how == "[]":
            h[name] = value
        elif how == "set":
            h.set(name, value)
        else:
            h.add(name, value)

    def body(stream: mb.Stream) -> object:
        h = stream.request.headers
        before = h.items()
        for name in BAD_NAMES:
            with pytest.raises(ValueError, match=r"header|Latin-1|attribute"):
                put(h, name, "v")
        for value in BAD_VALUES:
            with pytest.raises(ValueError, match=r"CR, LF or NUL|Latin-1"):
                put(h, "x-bad", value)
        for thing in NO_STR:
            with pytest.raises(TypeError, match="is str, not"):
                put(h, "x-bad", thing)
            with pytest.raises(TypeError, match="is str, not"):
                put(h, thing, "v")
        return h.items() == before

    assert in_hook(body) is True


def test_bad_names_are_not_found(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        h = stream.request.headers
        for name in BAD_NAMES:
            assert h.get(name, "no") == "no"
            assert h.getall(name) == []
            assert name not in h
            with pytest.raises(KeyError):
                h[name]
        for thing in NO_STR:
            assert thing not in h
            calls: tuple[Callable[[Any], Any], ...] = (h.get, h.getall, h.remove)
            for call in calls:
                with pytest.raises(TypeError, match="is str, not"):
                    call(thing)
            with pytest.raises(TypeError, match="is str, not"):
                h[thing]  # type: ignore[index]
        return True

    assert in_hook(body) is True


@pytest.mark.parametrize("name", ["method", "path", "authority", "scheme"])
def test_bad_pseudo_values_are_refused(in_hook: Callable[..., Any], name: str) -> None:
    def body(stream: mb.Stream) -> object:
        before = getattr(stream.request, name)
        for value in [*BAD_VALUES, "/a b\r\nx"]:
            with pytest.raises(ValueError, match=name):
                setattr(stream.request, name, value)
        for thing in NO_STR:
            with pytest.raises(TypeError, match=name):
                setattr(stream.request, name, thing)
        return getattr(stream.request, name) == before

    assert in_hook(body) is True


@pytest.mark.parametrize(
    "value", [0, 99, 100, 199, 600, -200, 2**70, "200", 200.0, None, True, b""]
)
def test_bad_status_is_refused(make_bench: BenchMaker, value: Any) -> None:
    def body(stream: mb.Stream) -> None:
        stream.response.status = value

    item = Do(body, "on_response_headers")
    assert make_bench(item).ask().status == 200
    assert isinstance(item.result, ValueError | TypeError)


def test_raw_is_the_same_map_in_bytes(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        h, raw = stream.request.headers, stream.request.headers.raw
        raw[b"X-Raw"] = b"\xff\x80"
        raw.add("x-raw", bytearray(b"2"))
        raw.set(b"x-view", memoryview(b"v"))
        assert raw.getall(b"x-raw") == [b"\xff\x80", b"2"]
        assert h.getall("x-raw") == ["\xff\x80", "2"]
        assert (b"x-raw" in raw, "x-raw" in raw, b"x-no" in raw, 5 in raw) == (
            True,
            True,
            False,
            False,
        )
        assert len(raw) == len(h)
        assert [name.decode() for name in raw] == list(h)
        assert raw.keys() == list(raw)
        assert [(n.decode("latin-1"), v.decode("latin-1")) for n, v in raw.items()] == h.items()
        assert raw.values() == [value for _, value in raw.items()]
        del raw["x-view"]
        assert raw.remove(b"x-raw") == 2
        with pytest.raises(KeyError):
            raw[b"x-raw"]
        for value in (b"a\r\n", b"\0"):
            with pytest.raises(ValueError, match="CR, LF or NUL"):
                raw[b"x"] = value
        for thing in (None, 5, 1.5, [], object(), "str"):
            with pytest.raises(TypeError):
                raw[b"x"] = thing  # type: ignore[assignment]
        for thing in (None, 5, []):
            with pytest.raises(TypeError):
                raw.get(thing)  # type: ignore[call-overload]
        return True

    assert in_hook(body) is True


def test_trailers_that_are_not_there_read_as_empty(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        for absent in (stream.request.trailers, stream.response.headers, stream.response.trailers):
            assert absent.get("x") is None
            assert (len(absent), list(absent), absent.items()) == (0, [], [])
            with pytest.raises(mb.FilterError, match="has no"):
                absent["x"] = "1"
        assert stream.response.status == 0
        with pytest.raises(mb.FilterError):
            stream.response.status = 200
        return True

    assert in_hook(body) is True


def test_headers_are_gone_with_the_stream(make_bench: BenchMaker) -> None:
    kept: list[Any] = []
    item = Do(lambda stream: kept.extend([stream, stream.request, stream.request.headers,
                                          stream.request.headers.raw]))  # fmt: skip
    bench = make_bench(item)
    for _ in range(3):  # the objects of the first stream are not used for the next ones
        bench.ask()
    stream, request, headers, raw = kept[:4]
    uses: list[Callable[[], Any]] = [
        lambda: headers["x"], lambda: headers.get("x"), lambda: headers.items(),
        lambda: len(headers),
        lambda: headers.add("x", "1"), lambda: "x" in headers, lambda: raw.items(),
        lambda: raw.get(b"x"), lambda: request.path, lambda: request.ended, lambda: stream.info,
        lambda: stream.request.headers["x"], lambda: stream.respond(200), lambda: stream.resume(),
        lambda: stream.reset(), lambda: stream.metadata, lambda: stream.route, lambda: stream.state,
        lambda: stream.request.body.append(b"x"), lambda: stream.clear_route_cache(),
        lambda: setattr(request, "path", "/"), lambda: headers.remove("x"), lambda: list(headers),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(mb.StreamGone, match="has ended"):
            use()
    assert stream.post(print) is False
    assert repr(stream) == "<Stream, gone>"
    assert "gone" in repr(headers)


def test_another_thread_is_refused(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        headers, held = stream.request.headers, stream.request.body
        uses: list[Callable[[], Any]] = [
            lambda: headers["x"], lambda: headers.add("x", "1"), lambda: stream.request.path,
            lambda: stream.respond(200), lambda: stream.info, lambda: stream.state,
            lambda: len(held),
            lambda: stream.resume(), lambda: stream.reset(), lambda: held.append(b"x"),
            lambda: stream.metadata, lambda: memoryview(held),
        ]  # fmt: skip
        raised: list[type] = []

        def other() -> None:
            for use in uses:
                try:
                    use()
                except mb.Error as error:
                    raised.append(type(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return raised == [mb.WrongThread] * len(uses)

    assert in_hook(body) is True


def test_complete_may_read_not_change(make_bench: BenchMaker) -> None:
    def body(stream: mb.Stream) -> object:
        assert stream.request.path == "/"
        assert stream.response.headers["content-length"] == "0"
        for use in (
            lambda: stream.request.headers.add("x", "1"),
            lambda: setattr(stream.request, "path", "/"),
            lambda: stream.respond(200),
            lambda: stream.resume(),
            lambda: stream.response.body.append(b"x"),
            lambda: stream.metadata.set("a", "b", 1),
            lambda: stream.clear_route_cache(),
            lambda: stream.reset(),
        ):
            with pytest.raises(mb.FilterError, match="read the stream, not change"):
                use()
        return True

    item = Do(body, "on_complete")
    make_bench(item).ask()
    assert item.result is True


def test_names_that_were_seen_share_their_str(in_hook: Callable[..., Any]) -> None:
    def body(stream: mb.Stream) -> object:
        one, two = list(stream.request.headers), list(stream.request.headers)
        return all(a == b for a, b in zip(one, two, strict=True))

    assert in_hook(body) is True
