"""Format strings of access logs and header values."""

# ruff: noqa: E501 - tables with one case a line

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moebridge.config.access_log_format import (
    DEFAULT_FORMAT,
    OPERATORS,
    FormatError,
    parse_format,
    parse_json_format,
)
from moebridge.config.value_model import LiteralSegment, OperatorSegment


def text(value: str) -> LiteralSegment:
    return LiteralSegment(text=value)


@pytest.mark.parametrize(
    ("source", "segments"),
    [
        ("", []),
        ("plain", [text("plain")]),
        ("100%%", [text("100%")]),
        ("%%%%", [text("%%")]),
        ("%PROTOCOL%", [OperatorSegment(op="PROTOCOL")]),
        ("%PROTOCOL()%", [OperatorSegment(op="PROTOCOL")]),
        ("a%PROTOCOL%%%b", [text("a"), OperatorSegment(op="PROTOCOL"), text("%b")]),
        ("%REQ(X-A?:PATH):7%", [OperatorSegment(op="REQ", arg="x-a", alt_arg=":path", max_bytes=7)]),
        ("%REQ(a?)%", [OperatorSegment(op="REQ", arg="a")]),
        ("%START_TIME(%Y/%m %H:%M)%", [OperatorSegment(op="START_TIME", arg="%Y/%m %H:%M")]),
        ("%GRPC_STATUS%", [OperatorSegment(op="GRPC_STATUS")]),
        ("%GRPC_STATUS(SNAKE_STRING)%", [OperatorSegment(op="GRPC_STATUS", arg="SNAKE_STRING")]),
        ("%GRPC_STATUS(NUMBER)%", [OperatorSegment(op="GRPC_STATUS_NUMBER")]),
        ("%GRPC_STATUS_NUMBER%", [OperatorSegment(op="GRPC_STATUS_NUMBER")]),
        ("%DYNAMIC_METADATA(a.b:c d:e):3%", [OperatorSegment(op="DYNAMIC_METADATA", arg="a.b:c d:e", max_bytes=3)]),
    ],
)  # fmt: skip
def test_format_is_split(source: str, segments: list[object]) -> None:
    assert parse_format(source) == segments


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("100%", "no operator after % at character 4"),
        ("%", "no operator after %"),
        ("%REQ(a)", "no operator after %"),
        ("%REQ(a%", "no operator after %"),
        ("%req(a)%", "no operator after %"),
        ("%REQ%", "needs an argument"),
        ("%DYNAMIC_METADATA()%", "needs an argument"),
        ("%REQ(a b)%", '"a b" is no header name'),
        ("%REQ(a?b?c)%", '"b?c" is no header name'),
        ("%GRPC_STATUS(number)%", "must be one of CAMEL_STRING, SNAKE_STRING, NUMBER"),
        ("%GRPC_STATUS_NUMBER(NUMBER)%", "takes no argument"),
        ("%GRPC_STATUS%:3%", "no operator after %"),
        ("%GRPC_STATUS(NUMBER):3%", "takes no length"),
        ("%REQ(a):0%", "the length must be in 1"),
        ("%REQ(a):99999999999999%", "the length must be in 1"),
        ("%PROTOCOL(x)%", "%PROTOCOL% takes no argument"),
        ("%PROTOCOL:5%", "%PROTOCOL% takes no length"),
        ("%RESPONSE_CODE_DETAILS(X)%", "does not have it yet"),
        ("%TRACE_ID%", "operator %TRACE_ID% is Envoy's, moebridge does not have it yet"),
        ("%RESPONSE_CODES%", "unknown operator %RESPONSE_CODES% (did you mean RESPONSE_CODE?)"),
    ],
)
def test_wrong_format_is_refused(source: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_format(source)
    assert message in str(caught.value)


def test_default_format_is_envoys() -> None:
    operators = [s.op for s in parse_format(DEFAULT_FORMAT) if isinstance(s, OperatorSegment)]
    assert operators == [
        "START_TIME", "REQ", "REQ", "PROTOCOL", "RESPONSE_CODE", "RESPONSE_FLAGS", "BYTES_RECEIVED",
        "BYTES_SENT", "DURATION", "RESP", "REQ", "REQ", "REQ", "REQ", "UPSTREAM_HOST",
    ]  # fmt: skip


@given(st.text())
def test_any_literal_survives_when_its_percents_are_doubled(value: str) -> None:
    assert parse_format(value.replace("%", "%%")) == ([text(value)] if value else [])


@given(st.text("%()?:AREQ1 x", max_size=30))
def test_any_text_is_split_or_refused(value: str) -> None:
    try:
        segments = parse_format(value)
    except FormatError:
        return
    kinds = [type(s) for s in segments]
    assert all(a is OperatorSegment or b is OperatorSegment for a, b in itertools.pairwise(kinds))
    assert all(s.op in OPERATORS for s in segments if isinstance(s, OperatorSegment))


def test_environment_is_read_when_the_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MB_TEST", "a%é")
    monkeypatch.delenv("MB_NONE", raising=False)
    assert parse_format("<%ENVIRONMENT(MB_TEST)%>") == [text("<a%é>")]
    assert parse_format("%ENVIRONMENT(MB_TEST):3%") == [text("a%")], "no half character"
    assert parse_format("%ENVIRONMENT(MB_NONE)%", empty="-") == [text("-")]


def test_json_format_is_unrolled_with_sorted_keys_and_types() -> None:
    faults: list[object] = []
    source = {
        "b": "%RESPONSE_CODE%",
        "a": 'say "%REQ(x)%" 5%%',
        "n": {"l": [1, True, None], "e": {}},
    }
    segments = parse_json_format(source, report=lambda *fault: faults.append(fault))
    assert not faults
    assert segments == [
        text('{"a":"say \\"'),
        OperatorSegment(op="REQ", arg="x", encode="json_string"),
        text('\\" 5%","b":'),
        OperatorSegment(op="RESPONSE_CODE", encode="json_value"),
        text(',"n":{"e":{},"l":[1,true,null]}}\n'),
    ]


def test_json_format_reports_every_fault_with_its_place() -> None:
    faults: list[object] = []
    parse_json_format({"a": ["%NO%"], "b": "%"}, report=lambda *fault: faults.append(fault[0]))
    assert faults == [("a", 0), ("b",)]
