"""Single values in proto3's JSON form."""

# ruff: noqa: E501 - tables with one case a line

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moebridge.config.scalars import READERS, Wrong, enum, to_plain

LB = "envoy.config.cluster.v3.Cluster.LbPolicy"


@pytest.mark.parametrize(
    ("text", "ns"),
    [("0s", 0), ("1s", 10**9), ("0.25s", 250_000_000), ("1.000000001s", 1_000_000_001), ("00.10s", 100_000_000)],
)  # fmt: skip
def test_duration_is_read(text: str, ns: int) -> None:
    assert READERS["duration"](text) == ns


@pytest.mark.parametrize(
    "value", ["", "s", "1", "1m", "1.s", ".5s", "1e3s", "-1s", "1 s", "1.0000000001s", 1, None, "999999999999s", "\u0661s"]
)  # fmt: skip
def test_wrong_duration_is_refused(value: object) -> None:
    with pytest.raises(Wrong):
        READERS["duration"](value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_int64_is_the_same_as_number_and_text(number: int) -> None:
    assert READERS["int64"](number) == READERS["int64"](str(number)) == number


@pytest.mark.parametrize(
    "value",
    [
        True,
        1.5,
        "1.0",
        "0x1",
        "",
        "1 ",
        None,
        [],
        2**32,
        -1,
        "4294967296",
        float("nan"),
        float("inf"),
        "9" * 5000,
    ],
)
def test_wrong_uint32_is_refused(value: object) -> None:  # fmt: skip
    with pytest.raises(Wrong):
        READERS["uint32"](value)


@given(st.binary())
def test_base64_in_both_alphabets_padded_or_not(data: bytes) -> None:
    standard = base64.b64encode(data).decode()
    url_safe = base64.urlsafe_b64encode(data).decode()
    for text in (standard, url_safe, standard.rstrip("="), url_safe.rstrip("=")):
        assert READERS["bytes"](text) == data


@pytest.mark.parametrize("value", ["a", "a b=", "é", "====a", 5])
def test_wrong_base64_is_refused(value: object) -> None:
    with pytest.raises(Wrong):
        READERS["bytes"](value)


@pytest.mark.parametrize("value", ["ROUND_ROBIN", 0, 0.0])
def test_enum_by_name_and_number(value: object) -> None:
    assert enum(LB, value) == "ROUND_ROBIN"


@pytest.mark.parametrize("value", ["round_robin", 99, True, None, [], "", "MAGLEV", 5])
def test_wrong_enum_is_refused(value: object) -> None:
    with pytest.raises(Wrong):
        enum(LB, value)


@pytest.mark.parametrize(
    ("value", "steps"),
    [
        ({"a": {"b": [1, object()]}}, ("a", "b", 1)),
        ({1: 2}, ()),
        ({"a": 2**64}, ("a",)),
        ([b"bytes"], (0,)),
    ],
)
def test_free_form_value_tells_where_it_is_wrong(value: object, steps: tuple[object, ...]) -> None:
    with pytest.raises(Wrong) as caught:
        to_plain(value)
    assert caught.value.steps == steps


def test_free_form_value_is_a_copy() -> None:
    value = {"a": [1, {"b": ()}]}
    assert to_plain(value) == {"a": [1, {"b": []}]}
    assert to_plain(value)["a"] is not value["a"]
