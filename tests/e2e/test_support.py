"""The helpers of the end-to-end tests, tried against each other without a proxy."""

from __future__ import annotations

import json

import pytest

from .support.client import ClosedEarly, RawClient, fetch
from .support.upstream import Exchange, Upstream, pieces


def test_echo_gives_the_request_back() -> None:
    with Upstream() as upstream, RawClient(upstream.address) as client:
        first = client.request("POST", "/a?b", [("x-id", "1")], b"text")
        second = client.request("PUT", "/c", [("x-id", "2")], [b"te", b"", b"xt"])
        assert (first.status, first.get("x-id")) == (200, "1")
        assert json.loads(first.body)["body"] == json.loads(second.body)["body"] == "text"
        assert upstream.ids == {"1": 1, "2": 1}
        assert upstream.connections == 1


def test_pieces_come_as_chunks_with_trailers() -> None:
    with Upstream(pieces([b"a", b"", b"bc"], trailers=[("x-t", "1")])) as upstream:
        response = fetch(upstream.address)
    assert (response.body, response.chunks, response.trailers) == (b"abc", [1, 2], [("x-t", "1")])


def test_cut_response_is_seen() -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(exchange.head(200, [("content-length", "5")]) + b"ab")
        exchange.close()

    with Upstream(cut) as upstream, pytest.raises(ClosedEarly):
        fetch(upstream.address)
