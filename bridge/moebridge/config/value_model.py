"""Small typed values that several parts of the model share: formats, matchers, header changes.

Everything here is part of the one document that the C core reads (see `model.py`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "AppendAction",
    "CidrRange",
    "FilterOptions",
    "HeaderAdd",
    "HeaderChanges",
    "LiteralSegment",
    "OperatorSegment",
    "RegexRewrite",
    "Segment",
    "StringMatch",
    "StringMatchKind",
    "Value",
]

AppendAction = Literal[
    "append_if_exists_or_add",  # append: a further field line
    "add_if_absent",
    "overwrite_if_exists_or_add",
    "overwrite_if_exists",
]
StringMatchKind = Literal["exact", "prefix", "suffix", "contains", "safe_regex"]


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every struct of the model: immutable data, unknown keys refused when decoded."""


class LiteralSegment(Value, frozen=True, kw_only=True, tag_field="kind", tag="literal"):
    """Text that a format copies as it stands."""

    # UTF-8 text, never empty. `%%` of the format is one `%` here.
    text: str


class OperatorSegment(Value, frozen=True, kw_only=True, tag_field="kind", tag="operator"):
    """One `%OP(arg):max_bytes%` of a format, already split."""

    # Operator name as Envoy writes it, upper case: "REQ", "RESPONSE_CODE", "START_TIME" ...
    op: str
    # Text inside the brackets; "" when there are none. REQ/RESP/TRAILER: the header name, lower
    # case. DYNAMIC_METADATA: "ns:key:key". START_TIME: the strftime format.
    arg: str = ""
    # REQ, RESP, TRAILER and their kin: the second name of `?`, used when the first is absent; "" =
    # none.
    alt_arg: str = ""
    # Cut the output to so many bytes, Envoy's `:Z`. 0 = no limit.
    max_bytes: int = 0
    # How the value is written. "text": as it is, unset = `empty`. "json_value": the operator is the
    # whole JSON value: number, bool, object, quoted string, or null when unset. "json_string":
    # inside a JSON string that also has other text: escaped, without quotes, unset = `empty`.
    encode: Literal["text", "json_value", "json_string"] = "text"
    # What an unset value prints (encode text and json_string): "-", or "" with omit_empty_values.
    empty: str = "-"


Segment = LiteralSegment | OperatorSegment


class StringMatch(Value, frozen=True, kw_only=True):
    """Envoy's type.matcher.v3.StringMatcher."""

    kind: StringMatchKind
    # Text to compare with, or for safe_regex the RE2 expression (it must match the whole value).
    value: str
    # Envoy's ignore_case; never true with safe_regex. Default false.
    ignore_case: bool = False


class RegexRewrite(Value, frozen=True, kw_only=True):
    """Envoy's type.matcher.v3.RegexMatchAndSubstitute: replace every match."""

    # RE2 expression.
    pattern: str
    # Replacement; \0 is the match, \1 .. \9 its groups.
    substitution: str


class HeaderAdd(Value, frozen=True, kw_only=True):
    """Envoy's config.core.v3.HeaderValueOption."""

    # Header name, lower case.
    name: str
    # The value, joined from these; operators here have empty = "", so an unset one adds nothing.
    value: list[Segment]
    # Envoy's append_action, default append_if_exists_or_add.
    append_action: AppendAction = "append_if_exists_or_add"
    # Envoy's keep_empty_value: false = a value that comes out empty adds nothing.
    keep_empty_value: bool = False


class HeaderChanges(Value, frozen=True, kw_only=True):
    """Envoy's *_headers_to_add and _to_remove of one level: first remove, then add."""

    request_add: list[HeaderAdd] = []
    # Names, lower case; never a pseudo-header or host.
    request_remove: list[str] = []
    response_add: list[HeaderAdd] = []
    response_remove: list[str] = []


class FilterOptions(Value, frozen=True, kw_only=True):
    """The "@moebridge" options of a filter, with their defaults."""

    # What an exception in a hook does. fail_closed (default): 500 or reset. fail_open: skip the
    # filter.
    on_error: Literal["fail_closed", "fail_open"] = "fail_closed"
    # Longest time an async hook may stay suspended. ms, 0 = no bound (default).
    hook_timeout_ms: int = 0
    # Name in logs and statistics; already HttpFilter.name when not given.
    name: str = ""


class CidrRange(Value, frozen=True, kw_only=True):
    """An address range."""

    # IPv4 or IPv6 address text.
    address: str
    # Bits, 0 .. 32 or 128.
    prefix_len: int
