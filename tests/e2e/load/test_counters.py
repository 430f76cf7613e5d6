"""What the design claims about Python's cost, by the counters: crossings, GIL, copies, str."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tests.e2e.support.client import RawClient
from tests.e2e.support.upstream import Exchange, Upstream

import moebridge as mb
from moebridge import _backend

REQUESTS = 40
GROUP = 10
MIB = 1 << 20
BODY = bytes(range(251)) * (10 * MIB // 251)


class Nothing(mb.HttpFilter):
    """Hooks that touch nothing."""

    def on_request_headers(self, stream: mb.Stream) -> None:
        pass

    def on_response_headers(self, stream: mb.Stream) -> None:
        pass


class NothingOfBodies(Nothing):
    """The same with bodies."""

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        pass

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        pass


class Bodies(mb.HttpFilter):
    """Has a function look at each piece, both ways."""

    def look(self, data: mb.Buffer) -> None:
        raise NotImplementedError

    def on_load(self) -> None:
        self.bytes = 0
        self.views = 0

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:  # noqa: ARG002
        self.look(data)

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:  # noqa: ARG002
        self.look(data)


class Slices(Bodies):
    """By its slices."""

    def look(self, data: mb.Buffer) -> None:
        for view in data.slices():
            self.views += 1
            self.bytes += len(view)
            assert view[0] in range(251)


class Searches(Bodies):
    """By the core's functions."""

    def look(self, data: mb.Buffer) -> None:
        self.bytes += len(data)
        assert data.find(b"moebridge") < 0
        assert not data.count(b"moebridge")


class Copies(Bodies):
    """By a copy."""

    def look(self, data: mb.Buffer) -> None:
        self.bytes += len(bytes(data))


async def give_back(exchange: Exchange) -> None:
    await exchange.respond(200, body=await exchange.read_body())


def stats_of(
    filters: Sequence[mb.HttpFilter], body: bytes | None, requests: int = REQUESTS
) -> dict[str, int]:
    """The statistics at the end of a proxy's life, with so many requests in it."""
    with Upstream(give_back) as upstream:
        proxy = mb.Proxy(
            listen="127.0.0.1:0", upstream=upstream.address, filters=filters, timeout_s=60
        )
        proxy.start()
        with RawClient(proxy.addresses["main"]) as client:
            for _ in range(requests):
                response = client.request("GET" if body is None else "POST", body=body)
                assert (response.status, response.body) == (200, body or b"")
        proxy.stop()
    stats = proxy.stats()
    assert stats["http.ingress_http.downstream_rq_2xx"] == requests
    return stats


@pytest.mark.parametrize("count", [1, GROUP])
def test_a_group_of_filters_is_entered_once_for_the_headers_of_each_message(count: int) -> None:
    """Beside that the group is told of the end of the stream."""
    stats = stats_of([Nothing() for _ in range(count)], None)
    assert stats["bridge.crossings"] == REQUESTS * (2 + 1)


@pytest.mark.parametrize("count", [1, GROUP])
def test_a_group_of_filters_is_entered_once_for_each_piece_of_body(count: int) -> None:
    stats = stats_of([NothingOfBodies() for _ in range(count)], b"some bytes")
    assert stats["bridge.crossings"] >= REQUESTS * (4 + 1)
    # Head and body may come in two pieces, the end of a body after its last one.
    assert stats["bridge.crossings"] <= REQUESTS * (6 + 1)


def test_the_core_does_not_enter_filters_without_hooks() -> None:
    class NoHook(mb.HttpFilter):
        pass

    stats = stats_of([NoHook() for _ in range(GROUP)], b"some bytes")
    assert stats["bridge.crossings"] == stats["bridge.gil_taken"] == 0


def test_gil_is_taken_at_most_once_an_iteration_of_the_loop() -> None:
    """With cffi every call takes it: that is how cffi works."""
    stats = stats_of([NothingOfBodies() for _ in range(GROUP)], b"some bytes")
    if _backend.DISPATCH == "cython":
        assert 0 < stats["bridge.gil_taken"] <= stats["loop.iterations"]
        assert stats["bridge.gil_taken"] < stats["bridge.crossings"]
    else:
        assert stats["bridge.gil_taken"] == stats["bridge.crossings"]


def test_nothing_is_decoded_that_no_filter_touches() -> None:
    stats = stats_of([NothingOfBodies() for _ in range(GROUP)], b"some bytes")
    for name in ("str_made", "views_exported", "bytes_copied"):
        assert stats[f"bridge.{name}"] == 0, name


def test_each_str_that_a_filter_gets_is_counted() -> None:
    class Two(mb.HttpFilter):
        def on_request_headers(self, stream: mb.Stream) -> None:
            assert stream.request.path == "/"
            assert stream.request.headers.get("x-none") is None
            assert stream.request.headers.raw["x-forwarded-proto"] == b"http"
            assert stream.request.headers["x-forwarded-proto"] == "http"

    assert stats_of([Two()], None)["bridge.str_made"] == 2 * REQUESTS


@pytest.mark.parametrize("make", [Slices, Searches])
def test_a_body_of_10_mib_passes_a_filter_that_looks_at_it_without_a_copy(
    make: Callable[[], Bodies],
) -> None:
    looking = make()
    stats = stats_of([looking], BODY, requests=1)
    assert looking.bytes == 2 * len(BODY)
    assert stats["bridge.bytes_copied"] == 0
    assert stats["bridge.views_exported"] == looking.views
    assert stats["server.leases"] == 0


def test_each_byte_that_a_filter_copies_is_counted() -> None:
    copying = Copies()
    stats = stats_of([copying], BODY, requests=1)
    assert stats["bridge.bytes_copied"] == copying.bytes == 2 * len(BODY)
