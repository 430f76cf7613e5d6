"""redact on responses and requests that stream."""

from __future__ import annotations

import pytest

from moebridge_plugins.redact import Redact

from ..conftest import ProxyMaker, UpstreamMaker
from ..support.client import fetch
from ..support.messages import Fields
from ..support.upstream import fixed, pieces

CARD = [{"pattern": r"\b(?:\d{4}-){3}(\d{4})\b", "replacement": r"****-\1"}]
TEXT = b"pay 1234-5678-9012-3456 or 1111-2222-3333-4444."
CLEAN = b"pay ****-3456 or ****-4444."
PLAIN: Fields = [("content-type", "text/plain; charset=utf-8")]


@pytest.mark.parametrize("size", [1, 2, 9, 1000])
@pytest.mark.parametrize("empty_last", [False, True])
def test_matches_across_pieces_are_replaced(
    make_proxy: ProxyMaker, make_upstream: UpstreamMaker, size: int, empty_last: bool
) -> None:
    parts = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    upstream = make_upstream(pieces(parts + [b""] * empty_last, fields=PLAIN))
    proxy = make_proxy(Redact(rules=CARD), upstream=upstream.address)
    assert fetch(proxy.addresses["main"]).body == CLEAN
    assert proxy.stats()["py.Redact.matches"] == 2


def test_length_and_digests_are_taken_off(
    make_proxy: ProxyMaker, make_upstream: UpstreamMaker
) -> None:
    upstream = make_upstream(fixed(TEXT, fields=[*PLAIN, ("etag", '"1"')]))
    proxy = make_proxy(Redact(rules=CARD), upstream=upstream.address)
    response = fetch(proxy.addresses["main"], fields=[("range", "bytes=0-9")])
    assert response.body == CLEAN
    assert not response.has("content-length")
    assert not response.has("etag")
    assert not upstream.requests[0].has("range")
    assert upstream.requests[0].getall("accept-encoding") == ["identity"]


def test_trailers_stay(make_proxy: ProxyMaker, make_upstream: UpstreamMaker) -> None:
    upstream = make_upstream(pieces([TEXT], fields=PLAIN, trailers=[("x-sum", "1")]))
    proxy = make_proxy(Redact(rules=CARD), upstream=upstream.address)
    response = fetch(proxy.addresses["main"], fields=[("te", "trailers")])
    assert response.body == CLEAN


def test_other_types_and_empty_bodies_are_left_alone(
    make_proxy: ProxyMaker, make_upstream: UpstreamMaker
) -> None:
    upstream = make_upstream(fixed(TEXT, fields=[("content-type", "image/png")]))
    proxy = make_proxy(Redact(rules=CARD), upstream=upstream.address)
    response = fetch(proxy.addresses["main"])
    assert (response.body, response.get("content-length")) == (TEXT, str(len(TEXT)))
    upstream.handler = fixed(b"", status=204, fields=PLAIN)
    assert fetch(proxy.addresses["main"]).status == 204
    upstream.handler = fixed(TEXT, fields=PLAIN)
    assert fetch(proxy.addresses["main"], method="HEAD").status == 200


@pytest.mark.parametrize(("action", "status"), [("pass", 200), ("block", 502)])
def test_encoded_response_is_passed_or_blocked(
    make_proxy: ProxyMaker, make_upstream: UpstreamMaker, action: str, status: int
) -> None:
    upstream = make_upstream(fixed(TEXT, fields=[*PLAIN, ("content-encoding", "gzip")]))
    proxy = make_proxy(Redact(rules=CARD, encoded=action), upstream=upstream.address)
    response = fetch(proxy.addresses["main"])
    assert response.status == status
    assert (TEXT in response.body) == (action == "pass")
    assert proxy.stats()["py.Redact.encoded"] == 1


@pytest.mark.parametrize("size", [1, 1000])
def test_request_is_changed_too_when_asked(
    make_proxy: ProxyMaker, make_upstream: UpstreamMaker, size: int
) -> None:
    upstream = make_upstream()
    proxy = make_proxy(Redact(rules=CARD, request=True), upstream=upstream.address)
    parts = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    fetch(proxy.addresses["main"], method="POST", fields=PLAIN, body=parts)
    fetch(proxy.addresses["main"], method="POST", fields=PLAIN, body=TEXT)
    assert [request.body for request in upstream.requests] == [CLEAN, CLEAN]
