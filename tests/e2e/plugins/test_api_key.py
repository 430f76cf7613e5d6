"""api_key in front of an upstream."""

from __future__ import annotations

import json

from moebridge_plugins.api_key import ApiKey

from ..conftest import ProxyMaker
from ..support.client import RawClient, fetch
from ..support.upstream import Upstream

KEYS = {"k1": "ann", "k2": {"tenant": "bob", "methods": ["GET"], "paths": ["/v1/*"]}}


def test_known_key_passes_and_is_taken_off(make_proxy: ProxyMaker, upstream: Upstream) -> None:
    address = make_proxy(ApiKey(keys=KEYS)).addresses["main"]
    response = fetch(address, fields=[("x-api-key", "k1"), ("x-tenant", "root"), ("x-tenant", "r")])
    assert response.status == 200
    assert upstream.requests[0].getall("x-tenant") == ["ann"]
    assert not upstream.requests[0].has("x-api-key")


def test_missing_and_unknown_keys_are_401_with_json(
    make_proxy: ProxyMaker, upstream: Upstream
) -> None:
    proxy = make_proxy(ApiKey(keys=KEYS))
    with RawClient(proxy.addresses["main"]) as client:
        for fields, code in (
            ([], "missing_key"),
            ([("x-api-key", "")], "missing_key"),
            ([("x-api-key", "k")], "unknown_key"),
            ([("x-api-key", "k1x")], "unknown_key"),
            ([("x-api-key", "\xe9")], "unknown_key"),
        ):
            response = client.request("GET", "/", fields)
            assert (response.status, response.get("content-type")) == (401, "application/json")
            assert response.has("www-authenticate")
            assert json.loads(response.body)["error"]["code"] == code
    assert upstream.requests == []
    stats = proxy.stats()
    assert stats["py.ApiKey.refused{why=missing_key}"] == 2
    assert stats["py.ApiKey.refused{why=unknown_key}"] == 3


def test_limits_of_a_key_are_403(make_proxy: ProxyMaker) -> None:
    address = make_proxy(ApiKey(keys=KEYS)).addresses["main"]
    with RawClient(address) as client:
        key = [("x-api-key", "k2")]
        assert client.request("GET", "/v1/a?/x", key).status == 200
        assert client.request("GET", "/v2", key).status == 403
        assert client.request("POST", "/v1/a", key, b"").status == 403


def test_bearer_and_query(make_proxy: ProxyMaker, upstream: Upstream) -> None:
    address = make_proxy(ApiKey(keys=KEYS, bearer=True, query="key")).addresses["main"]
    with RawClient(address) as client:
        assert client.request("GET", "/v1", [("authorization", "bearer k1")]).status == 200
        assert client.request("GET", "/v1?a=1&key=k1&b").status == 200
        assert client.request("GET", "/v1?key=no").status == 401
    assert [request.target for request in upstream.requests] == ["/v1", "/v1?a=1&b"]
    assert not upstream.requests[0].has("authorization")
