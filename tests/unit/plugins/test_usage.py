"""Token counts in JSON and events."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moebridge_plugins._budget import OTHERS, Budgets
from moebridge_plugins._usage import EventMeter, JsonMeter, Tokens
from moebridge_plugins.llm_usage import with_usage

USAGE = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}


def feed(meter: JsonMeter | EventMeter, text: bytes, size: int) -> Tokens | None:
    for at in range(0, len(text), size):
        meter.feed(text[at : at + size])
    return meter.tokens()


@pytest.mark.parametrize("size", [1, 5, 100_000])
@pytest.mark.parametrize(
    ("document", "tokens"),
    [
        ({"usage": USAGE}, Tokens(7, 9)),
        ({"response": {"usage": {"input_tokens": 1, "output_tokens": 2}}}, Tokens(1, 2)),
        ({"usage": {"prompt_tokens": 3}}, Tokens(3, 0)),
        ({"usage": None}, None),
        ({"usage": {"prompt_tokens": -1}}, None),
        ({"usage": {"prompt_tokens": True}}, None),
        ({"usage": {"prompt_tokens": "7"}}, None),
        ({"text": '"usage":{"prompt_tokens":1}'}, None),
        ([USAGE], None),
    ],
)
def test_tokens_of_a_document(document: object, tokens: Tokens | None, size: int) -> None:
    assert feed(JsonMeter(10_000), json.dumps(document).encode(), size) == tokens


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_no_document_has_no_tokens(text: bytes) -> None:
    assert feed(JsonMeter(1000_000), text, 4096) is None


@pytest.mark.parametrize("size", [1, 1000])
def test_end_of_a_long_document_is_enough(size: int) -> None:
    long = {"text": 'x"usage": {' * 5000, "usage": USAGE}
    meter = JsonMeter(1000)
    assert feed(meter, json.dumps(long).encode(), size) == Tokens(7, 9)
    assert meter.oversized


@pytest.mark.parametrize("size", [1, 13, 100_000])
def test_last_usage_of_events_counts(size: int) -> None:
    chunks = [{"choices": [], "usage": None}, {"usage": {"prompt_tokens": 1}}, {"usage": USAGE}]
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    text = "".join([*lines, 'data: {"usage": broken\n\n', "data: [DONE]\n\n"]).encode()
    assert feed(EventMeter(1000), text, size) == Tokens(7, 9)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b' {"stream":true}', b' {"stream_options":{"include_usage":true},"stream":true}'),
        (
            b'{"stream": true, "stream_options": {"a": 1}}',
            b'{"stream":true,"stream_options":{"a":1,"include_usage":true}}',
        ),
        (
            b'{"stream": true, "stream_options": null}',
            b'{"stream":true,"stream_options":{"include_usage":true}}',
        ),
        (b'{"stream": false}', b'{"stream": false}'),
        (b'{"stream": 1}', b'{"stream": 1}'),
        (b'{"stream": true, "stream_options": 3}', b'{"stream": true, "stream_options": 3}'),
        (b"no json", b"no json"),
        (b"[]", b"[]"),
        (b"", b""),
    ],
)
def test_request_for_usage(body: bytes, expected: bytes) -> None:
    assert with_usage(body) == expected


def test_budget_is_per_tenant_and_window() -> None:
    budgets = Budgets(limit=10, limits={"big": 20, "free": 0}, window_s=60, max_tenants=2)
    budgets.spend("a", 10, now_s=1)
    budgets.spend("big", 10, now_s=1)
    budgets.spend("free", 10**9, now_s=1)
    assert budgets.wait_s("a", now_s=1) == 59
    assert budgets.wait_s("a", now_s=59.5) == 1
    assert [budgets.wait_s(name, now_s=2) for name in ("b", "big", "free")] == [0, 0, 0]
    assert budgets.wait_s("a", now_s=60) == 0


def test_tenants_beyond_the_bound_share_an_account() -> None:
    budgets = Budgets(limit=10, limits={"known": 5}, window_s=60, max_tenants=2)
    for name in ("a", "b"):
        budgets.spend(budgets.account(name, 1), 1, now_s=1)
    assert [budgets.account(n, 1) for n in ("a", "b", "c", "known")] == ["a", "b", OTHERS, "known"]


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data: bytes) -> None:
    meters: list[JsonMeter | EventMeter] = [JsonMeter(50), EventMeter(50)]
    for meter in meters:
        feed(meter, b"data: " + data + b"\n\n", 7)
