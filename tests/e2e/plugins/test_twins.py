"""The Python twins give what the built-in filters give, on random messages."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import moebridge as mb
from moebridge_plugins.basic_auth import BasicAuth
from moebridge_plugins.body_scan import BodyScan
from moebridge_plugins.header_mutation import HeaderMutation

from ..support.client import RawClient
from ..support.messages import Fields, Response
from ..support.upstream import Exchange, Upstream

PAIR_SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CHANGING = ("date", "x-request-id", "x-envoy-upstream-service-time")


class Pair:
    """A native filter and its twin, each in a proxy of its own in front of the same upstream."""

    def __init__(self, native: mb.NativeFilter, twin: mb.HttpFilter) -> None:
        self.response_pieces: list[bytes] = []
        self.response_fields: Fields = []
        self.upstream = Upstream(self._answer)
        self.upstream.__enter__()
        self.proxies = [
            mb.Proxy(listen="127.0.0.1:0", upstream=self.upstream.address, filters=[item])
            for item in (native, twin)
        ]
        for proxy in self.proxies:
            proxy.start()
        self.clients = [RawClient(proxy.addresses["main"]) for proxy in self.proxies]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for proxy in self.proxies:
            proxy.stop()
        self.upstream.stop()

    async def _answer(self, exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.start_chunked(200, self.response_fields)
        for piece in self.response_pieces:
            await exchange.chunk(piece)
        await exchange.end_chunks()

    def ask(self, *args: Any, **kwargs: Any) -> list[tuple[Response, Any]]:
        """Sends the same request to both; returns responses and what the upstream saw."""
        results = []
        for client in self.clients:
            before = len(self.upstream.requests)
            # One authority: it shows in answers.
            kwargs["fields"] = [("host", "twin.test"), *kwargs.get("fields", [])]
            response = client.request(*args, **kwargs)
            kwargs["fields"] = kwargs["fields"][1:]
            response.fields = [f for f in response.fields if f[0] not in CHANGING]
            seen = self.upstream.requests[before:]
            for request in seen:
                request.fields = [f for f in request.fields if f[0] not in CHANGING]
            results.append((response, seen))
        return results


def split(text: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(cut for cut in cuts if cut <= len(text))
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


# -- body_scan -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["needle", "aba", "a", "aa", "ab"])
def scans(request: pytest.FixtureRequest) -> Iterator[tuple[str, Pair]]:
    config = {"pattern": request.param}
    pair = Pair(mb.NativeFilter("body_scan", config), BodyScan(**config))
    yield request.param, pair
    pair.close()


def counted(pair: Pair) -> tuple[int, int]:
    native, twin = (proxy.stats() for proxy in pair.proxies)
    return native["body_scan.matches{filter=body_scan}"], twin["py.BodyScan.matches"]


CUTS = st.lists(st.integers(0, 50), max_size=50)


@PAIR_SETTINGS
@given(text=st.text("abnedl", max_size=50).map(str.encode), cuts=CUTS, is_response=st.booleans())
@example(text=b"needleneedle", cuts=list(range(12)), is_response=True)
@example(text=b"ababaabaaa", cuts=list(range(10)), is_response=False)
def test_body_scan_counts_alike(
    scans: tuple[str, Pair], text: bytes, cuts: list[int], is_response: bool
) -> None:
    pattern, pair = scans
    before = counted(pair)
    pair.response_pieces = split(text, cuts) if is_response else []
    body = [] if is_response else split(text, cuts)
    for response, _ in pair.ask("POST", "/", body=body):
        assert response.body == (text if is_response else b"")
    expected = text.count(pattern.encode())
    assert [a - b for a, b in zip(counted(pair), before, strict=True)] == [expected, expected]


# -- basic_auth ------------------------------------------------------------------------------------

SECRET = base64.b64encode(hashlib.sha1(b"pass:word").digest()).decode()


@pytest.fixture(scope="module")
def auths() -> Iterator[Pair]:
    config = {
        "users": {"inline_string": f"# people\nann:{{SHA}}{SECRET}\n\nbob:{{SHA}}{SECRET}\n"},
        "forward_username_header": "x-user",
    }
    pair = Pair(mb.NativeFilter("basic_auth", config), BasicAuth(**config))
    yield pair
    pair.close()


def encoded(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode("latin-1")).decode()


FIELD_TEXT = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30)
CREDENTIALS = st.one_of(
    st.just(encoded("ann:pass:word")),
    st.just(encoded("ann:pass:word").rstrip("=")),
    st.tuples(st.sampled_from(["ann", "bob", "eve", ""]), FIELD_TEXT).map(
        lambda pair: encoded(":".join(pair))
    ),
    FIELD_TEXT.map(encoded),
    FIELD_TEXT.map(lambda text: "Basic " + text.strip()),
    st.text("QUJDRE=+/-_ ", max_size=12).map(lambda text: "Basic " + text),
    FIELD_TEXT.map(str.strip),
)


@settings(PAIR_SETTINGS, max_examples=200)
@given(value=st.none() | CREDENTIALS, path=st.sampled_from(["/", "/a?b=c", "/" + "x" * 400]))
@example(value="Basic QUI=", path="/")
@example(value="Basic YW5uOnBhc3M6d29yZB==", path="/")  # the right password, stray bits
@example(value="", path='/"quoted"')
def test_basic_auth_answers_alike(auths: Pair, value: str | None, path: str) -> None:
    fields = [] if value is None else [("authorization", value)]
    native, twin = auths.ask("GET", path, fields=fields)
    assert native == twin
    assert (native[0].status == 200) == (len(native[1]) == 1)


def test_basic_auth_lets_the_right_one_in(auths: Pair) -> None:
    for response, seen in auths.ask(fields=[("authorization", encoded("bob:pass:word"))]):
        assert response.status == 200
        assert seen[0].getall("x-user") == ["bob"]


@pytest.mark.parametrize(
    "users",
    [
        {"inline_string": ""},
        {"inline_string": "ann:plain"},
        {"inline_string": "ann:{SHA}AAAA"},
        {"inline_string": f":{{SHA}}{SECRET}"},
        {"inline_string": f"ann:{{SHA}}{SECRET}\nann:{{SHA}}{SECRET}"},
        {"filename": "/nonexistent/users"},
        {"environment_variable": "MOEBRIDGE_NO_SUCH_VARIABLE"},
        {},
    ],
)
def test_basic_auth_refuses_the_same_users(users: dict[str, str]) -> None:
    for make in (
        lambda: mb.NativeFilter("basic_auth", {"users": users}),
        lambda: BasicAuth(users=users),
    ):
        with pytest.raises(mb.ConfigError, match="users"):
            make()


# -- header_mutation -------------------------------------------------------------------------------

ACTIONS = [
    "APPEND_IF_EXISTS_OR_ADD",
    "ADD_IF_ABSENT",
    "OVERWRITE_IF_EXISTS_OR_ADD",
    "OVERWRITE_IF_EXISTS",
]
VALUES = ["v", "", "%%", "%REQ(x-a)%", "a-%REQ(x-none?x-b):2%-z", "%PROTOCOL%", "%REQ(:path)%"]


def append(name: str, value: str, action: str, keep: bool) -> dict[str, Any]:
    header = {"key": name, "value": value}
    return {"append": {"header": header, "append_action": action, "keep_empty_value": keep}}


MUTATIONS: list[dict[str, Any]] = [
    *[append("x-a", value, action, keep=True) for value in VALUES[:2] for action in ACTIONS],
    *[append("x-new", value, "ADD_IF_ABSENT", keep=False) for value in VALUES],
    append("X-B", "mixed", "OVERWRITE_IF_EXISTS", keep=False),
    append("x-many", "%REQ(x-many)%", "APPEND_IF_EXISTS_OR_ADD", keep=False),
    {"remove": "X-A"},
    {"remove": "x-none"},
    {"remove_on_match": {"key_matcher": {"prefix": "x-m"}}},
    {"remove_on_match": {"key_matcher": {"exact": "X-B", "ignore_case": True}}},
    {"remove_on_match": {"key_matcher": {"contains": "an"}}},
    {"remove_on_match": {"key_matcher": {"suffix": "-c"}}},
    {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": "x-[ab]"}}}},
]
NAMES = ["x-a", "x-b", "x-c", "x-many"]
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["1", "", "two words"])))


@settings(PAIR_SETTINGS, max_examples=25)
@given(
    request_steps=st.lists(st.sampled_from(MUTATIONS), max_size=6),
    response_steps=st.lists(st.sampled_from(MUTATIONS), max_size=6),
    messages=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=6),
)
def test_header_mutation_changes_alike(
    request_steps: list[dict[str, Any]],
    response_steps: list[dict[str, Any]],
    messages: list[tuple[Fields, Fields]],
) -> None:
    steps = {"request_mutations": request_steps, "response_mutations": response_steps}
    config = json.loads(json.dumps({"mutations": steps}))
    pair = Pair(mb.NativeFilter("header_mutation", config), HeaderMutation(**config))
    try:
        for request_fields, response_fields in messages:
            pair.response_fields = response_fields
            native, twin = pair.ask("GET", "/p?q", fields=request_fields)
            assert native == twin
    finally:
        pair.close()
