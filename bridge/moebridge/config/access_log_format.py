"""Envoy's `%OPERATOR(argument):max_bytes%` strings, split into segments for the core.

The same language serves access logs and the values of headers to add. JSON formats are unrolled
into one list of segments too, so that the core knows only one kind of format.

Source: Envoy's documentation, "Access logging" (command operators) and "Custom request/response
headers".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from moebridge.config.faults import nearest, quoted
from moebridge.config.value_model import LiteralSegment, OperatorSegment, Segment

__all__ = ["DEFAULT_FORMAT", "FormatError", "OPERATORS", "parse_format", "parse_json_format"]

#: What an access log without a format writes; Envoy's.
DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" '
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'
)

Encode = Literal["text", "json_value", "json_string"]
#: How an operator is written. bare: %X%. time: %X% or %X(format)%. header: %X(name?other):n%.
#: argument: %X(argument):n%. word: %X% or %X(word)%, one of _WORDS.
_Form = Literal["bare", "time", "header", "argument", "word"]

_ADDRESSES = [
    f"{side}_{what}"
    for side in (
        "DOWNSTREAM_REMOTE",
        "DOWNSTREAM_LOCAL",
        "DOWNSTREAM_DIRECT_REMOTE",
        "DOWNSTREAM_DIRECT_LOCAL",
        "UPSTREAM_REMOTE",
        "UPSTREAM_LOCAL",
    )
    for what in ("ADDRESS", "ADDRESS_WITHOUT_PORT", "PORT")
]
_BARE = """
    PROTOCOL RESPONSE_CODE RESPONSE_CODE_DETAILS RESPONSE_FLAGS RESPONSE_FLAGS_LONG
    CONNECTION_TERMINATION_DETAILS BYTES_RECEIVED BYTES_SENT
    DURATION REQUEST_DURATION REQUEST_TX_DURATION RESPONSE_DURATION RESPONSE_TX_DURATION
    UPSTREAM_HOST UPSTREAM_CLUSTER UPSTREAM_REQUEST_ATTEMPT_COUNT
    UPSTREAM_PROTOCOL UPSTREAM_TRANSPORT_FAILURE_REASON CONNECTION_ID STREAM_ID ROUTE_NAME HOSTNAME
    GRPC_STATUS_NUMBER
    REQUESTED_SERVER_NAME DOWNSTREAM_TLS_VERSION DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_SESSION_ID
    DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_SERIAL
    DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_PEER_DNS_SAN
    DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_EMAIL_SAN DOWNSTREAM_PEER_CERT
    DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_LOCAL_DNS_SAN
""".split()

#: Operators that the core has, with the form each is written in.
OPERATORS: dict[str, _Form] = {
    **dict.fromkeys([*_BARE, *_ADDRESSES], "bare"),
    **dict.fromkeys(
        (
            "START_TIME",
            "EMIT_TIME",
            "DOWNSTREAM_PEER_CERT_V_START",
            "DOWNSTREAM_PEER_CERT_V_END",
        ),
        "time",
    ),
    **dict.fromkeys(("REQ", "RESP", "TRAILER"), "header"),
    **dict.fromkeys(("DYNAMIC_METADATA", "QUERY_PARAM", "ENVIRONMENT"), "argument"),
    "GRPC_STATUS": "word",
}
_WORDS = {"GRPC_STATUS": ("CAMEL_STRING", "SNAKE_STRING", "NUMBER")}

#: Envoy's other operators: known, not there yet.
_ENVOY_ONLY = frozenset(
    """
    ACCESS_LOG_TYPE BYTES_RETRANSMITTED PACKETS_RETRANSMITTED CLUSTER_METADATA COALESCE
    COMMON_DURATION CUSTOM_FLAGS EMIT_TIME_LOCAL START_TIME_LOCAL FILTER_CHAIN_NAME FILTER_STATE
    LOCAL_REPLY_BODY METADATA PATH PER_REQUEST_STATE QUERY_PARAMS
    REQUEST_HEADER REQUEST_HEADERS_BYTES RESPONSE_HEADER RESPONSE_HEADERS_BYTES RESPONSE_TRAILER
    RESPONSE_TRAILERS_BYTES ROUNDTRIP_DURATION SPAN_ID TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT
    TRACE_ID UNIQUE_ID VIRTUAL_CLUSTER_NAME DOWNSTREAM_CX_RTT
    DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_TLS_GROUP
    DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT DOWNSTREAM_DETECTED_CLOSE_TYPE
    DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_HANDSHAKE_DURATION
    DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT
    DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_LOCAL_EMAIL_SAN
    DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1
    DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_SERIALS
    DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_OTHERNAME_SAN DOWNSTREAM_TRANSPORT_FAILURE_REASON
    DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT UPSTREAM_CLUSTER_RAW
    UPSTREAM_CONNECTION_ID UPSTREAM_CONNECTION_POOL_READY_DURATION
    UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT
    UPSTREAM_DETECTED_CLOSE_TYPE UPSTREAM_FILTER_STATE UPSTREAM_HEADER_BYTES_RECEIVED
    UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOSTS_ATTEMPTED UPSTREAM_HOST_NAME
    UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_LOCAL_CLOSE_REASON UPSTREAM_METADATA UPSTREAM_PEER_CERT
    UPSTREAM_PEER_CERT_V_END UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_ISSUER UPSTREAM_PEER_SUBJECT
    UPSTREAM_TLS_CIPHER UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION UPSTREAM_WIRE_BYTES_RECEIVED
    UPSTREAM_WIRE_BYTES_SENT
    """.split()
)

_OPERATOR = re.compile(r"%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::([0-9]+))?%")
_HEADER_NAME = re.compile(r":?[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_MAX_LENGTH = 1_000_000


class FormatError(ValueError):
    """A format string is wrong; the message says what and where."""


def parse_format(text: str, *, empty: str = "-", encode: Encode = "text") -> list[Segment]:
    """Splits a format string.

    Args:
        text: the format; `%%` stands for `%`.
        empty: what an operator without a value prints.
        encode: how the operators' values are written, see OperatorSegment.

    Returns:
        The segments; literals are never empty and never two in a row.

    Raises:
        FormatError: unknown operator, missing or extra argument, stray `%`.
    """
    segments: list[Segment] = []
    position = 0
    while position < len(text):
        percent = text.find("%", position)
        if percent < 0:
            percent = len(text)
        if percent > position:
            _literal(segments, text[position:percent])
        if percent == len(text):
            break
        if text.startswith("%%", percent):
            _literal(segments, "%")
            position = percent + 2
            continue
        match = _OPERATOR.match(text, percent)
        if match is None:
            raise FormatError(
                f"no operator after % at character {percent + 1}: "
                f"{quoted(text[percent : percent + 30])} (%% stands for one %)"
            )
        segment = _operator(match, empty, encode)
        if isinstance(segment, LiteralSegment):
            _literal(segments, segment.text)
        else:
            segments.append(segment)
        position = match.end()
    return segments


def _literal(segments: list[Segment], text: str) -> None:
    if segments and isinstance(segments[-1], LiteralSegment):
        text = segments.pop().text + text  # type: ignore[union-attr]
    if text:
        segments.append(LiteralSegment(text=text))


def _operator(match: re.Match[str], empty: str, encode: Encode) -> Segment:
    name, argument, length = match.groups()
    form = OPERATORS.get(name)
    if form is None:
        if name in _ENVOY_ONLY:
            raise FormatError(f"operator %{name}% is Envoy's, moebridge does not have it yet")
        raise FormatError(f"unknown operator %{name}%{nearest(name, [*OPERATORS, *_ENVOY_ONLY])}")
    if argument is None and form in ("header", "argument"):
        raise FormatError(f"%{name}% needs an argument in brackets")
    if argument and form == "bare":
        if name == "RESPONSE_CODE_DETAILS" or name.endswith("_WITHOUT_PORT"):
            raise FormatError(
                f"%{name}% with an argument is Envoy's, moebridge does not have it yet"
            )
        raise FormatError(f"%{name}% takes no argument")
    if form == "word" and argument and argument not in _WORDS[name]:
        words = ", ".join(_WORDS[name])
        raise FormatError(f"%{name}({argument})%: the argument must be one of {words}")
    if length is not None and form in ("bare", "time", "word"):
        raise FormatError(f"%{name}% takes no length")
    max_bytes = int(length) if length is not None and len(length) < 10 else 0
    if length is not None and not 0 < max_bytes <= _MAX_LENGTH:
        raise FormatError(f"%{name}%: the length must be in 1 .. {_MAX_LENGTH}")
    arg, alternative = argument or "", ""
    if form == "header":
        arg, alternative = _header_names(name, arg)
    elif form == "argument" and not arg:
        raise FormatError(f"%{name}()% needs an argument in brackets")
    if (name, arg) == ("GRPC_STATUS", "NUMBER"):
        name, arg = "GRPC_STATUS_NUMBER", ""
    if name == "ENVIRONMENT":
        value = os.environ.get(arg, empty)
        value = value.encode()[: max_bytes or None].decode(errors="ignore")
        return LiteralSegment(text=value)
    return OperatorSegment(
        op=name, arg=arg, alt_arg=alternative, max_bytes=max_bytes, encode=encode, empty=empty
    )


def _header_names(operator: str, argument: str) -> tuple[str, str]:
    first, _, second = argument.partition("?")
    for name in [first, second] if second else [first]:
        if not _HEADER_NAME.match(name):
            raise FormatError(f"%{operator}({argument})%: {quoted(name)} is no header name")
    return first.lower(), second.lower()


def _escaped(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def parse_json_format(
    value: Mapping[str, Any],
    *,
    empty: str = "-",
    report: Callable[[tuple[str | int, ...], str], None],
) -> list[Segment]:
    """Unrolls a JSON format into segments that print one line.

    A string that is one operator becomes a typed JSON value, one that has more becomes a JSON
    string. Keys are sorted, as Envoy does.

    Args:
        value: the json_format.
        empty: what an operator without a value prints inside a longer string.
        report: called with the steps to a wrong string, and what is wrong.

    Returns:
        The segments, with the newline.
    """
    segments: list[Segment] = []

    def walk(item: Any, steps: tuple[str | int, ...]) -> None:
        if isinstance(item, dict):
            for i, key in enumerate(sorted(item)):
                _literal(segments, ("," if i else "{") + json.dumps(key, ensure_ascii=False) + ":")
                walk(item[key], (*steps, key))
            _literal(segments, "}" if item else "{}")
        elif isinstance(item, list):
            for i, element in enumerate(item):
                _literal(segments, "," if i else "[")
                walk(element, (*steps, i))
            _literal(segments, "]" if item else "[]")
        elif isinstance(item, str):
            try:
                _json_string(segments, item, empty)
            except FormatError as error:
                report(steps, str(error))
        else:
            _literal(segments, json.dumps(item))

    walk(dict(value), ())
    _literal(segments, "\n")
    return segments


def _json_string(segments: list[Segment], text: str, empty: str) -> None:
    parts = parse_format(text, empty=empty, encode="json_value")
    if len(parts) == 1 and isinstance(parts[0], OperatorSegment):
        segments.append(parts[0])
        return
    _literal(segments, '"')
    for part in parse_format(text, empty=empty, encode="json_string"):
        if isinstance(part, LiteralSegment):
            _literal(segments, _escaped(part.text))
        else:
            segments.append(part)
    _literal(segments, '"')
