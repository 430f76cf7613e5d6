"""Single values in proto3's JSON form: numbers, texts, durations, enums, bytes, free-form.

Each reader takes a value as YAML or JSON gave it and returns the converted value; what does not fit
raises `Wrong` with the reason. `check` applies protoc-gen-validate's rules.

Source: the ProtoJSON format of protobuf; protoc-gen-validate's rule names.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from moebridge.config import support
from moebridge.config.faults import describe, nearest, quoted
from moebridge.config.schema import FieldSpec, enum_values

__all__ = ["MAX_VALUE_DEPTH", "NS_PER_MS", "READERS", "Wrong", "check", "enum", "to_plain"]

NS_PER_MS = 1_000_000
#: Deepest nesting of a free-form value (Struct).
MAX_VALUE_DEPTH = 64

_RANGES = {
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
_DECIMAL = re.compile(r"-?[0-9]{1,20}\Z")
_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s\Z")
_HEADER_TEXT = re.compile(r"[^\x00\r\n]*\Z")


class Wrong(Exception):
    """A value does not fit; `str()` says why. `step` leads to it inside a free-form value."""

    def __init__(self, message: str, *steps: str | int) -> None:
        """As the class says."""
        super().__init__(message)
        self.steps: tuple[str | int, ...] = steps


def text(value: object) -> str:
    """A string that UTF-8 can carry."""
    if type(value) is not str:
        hint = " (put it in quotes)" if isinstance(value, int | float) else ""
        raise Wrong(f"expected string, got {describe(value)}{hint}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Wrong("has half a surrogate pair in it, which is no text") from None
    return value


def boolean(value: object) -> bool:
    """True or false, also as text (as Envoy's reader has it); nothing else."""
    if value is True or value is False:
        return value
    if value == "true" or value == "false":
        return value == "true"
    raise Wrong(f"expected true or false, got {describe(value)}")


def _integer(kind: str) -> Callable[[object], int]:
    low, high = _RANGES[kind]

    def read(value: object) -> int:
        number: int
        if type(value) is int:
            number = value
        elif (isinstance(value, str) and _DECIMAL.match(value)) or (
            isinstance(value, float) and value.is_integer()
        ):
            number = int(value)
        else:
            raise Wrong(f"expected integer, got {describe(value)}")
        if not low <= number <= high:
            raise Wrong(f"{describe(number)} is not in {low} .. {high}")
        return number

    return read


def double(value: object) -> float:
    """A number, or its text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise Wrong(f"expected number, got {describe(value)}")


def base64_bytes(value: object) -> bytes:
    """Base64 in either alphabet, padding optional. Bytes are taken as they are (object form)."""
    if isinstance(value, bytes):
        return value
    plain = text(value).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise Wrong(f"expected base64, got {describe(value)}") from None


def duration_ns(value: object) -> int:
    """`"1.5s"` in nanoseconds."""
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise Wrong(f'expected duration such as "0.25s", got {describe(value)}')
    sign, seconds, fraction = match.groups()
    if sign:
        raise Wrong(f"a duration cannot be negative: {quoted(str(value))}")
    if int(seconds) > 315_576_000_000:
        raise Wrong(f"{quoted(str(value))} is more than 10,000 years")
    return int(seconds) * 10**9 + int((fraction or "").ljust(9, "0"))


def enum(name: str, value: object) -> str:
    """An enum value's name, given by name or number."""
    values = enum_values(name)
    if isinstance(value, str):
        found = value if value in values else None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = next((n for n, number in values.items() if number == value), None)
    else:
        raise Wrong(f"expected one of {', '.join(values)}, got {describe(value)}")
    if found is None:
        hint = nearest(value, values) if isinstance(value, str) else ""
        raise Wrong(f"expected one of {', '.join(values)}, got {describe(value)}{hint}")
    supported = support.ENUM_VALUES.get(name)
    if supported is not None and found not in supported:
        raise Wrong(f"{found} is Envoy's, moebridge does not have it yet")
    return found


def to_plain(value: object, depth: int = 0) -> Any:
    """A copy of a free-form value: what JSON can say, integers of 64 bits."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise Wrong("the number does not fit 64 bits")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Wrong(f"{value} is no JSON number")
        return value
    if isinstance(value, str):
        return text(value)
    if depth >= MAX_VALUE_DEPTH:
        raise Wrong(f"nested more than {MAX_VALUE_DEPTH} deep")
    if isinstance(value, Mapping):
        result = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise Wrong(f"a key must be a string, not {describe(key)}")
            result[text(key)] = _at(key, item, depth)
        return result
    if isinstance(value, list | tuple):
        return [_at(i, item, depth) for i, item in enumerate(value)]
    raise Wrong(f"expected a JSON value, got {describe(value)}")


def _at(step: str | int, value: object, depth: int) -> Any:
    try:
        return to_plain(value, depth + 1)
    except Wrong as wrong:
        raise Wrong(str(wrong), step, *wrong.steps) from None


def struct(value: object) -> dict[str, Any]:
    """google.protobuf.Struct."""
    if not isinstance(value, Mapping):
        raise Wrong(f"expected object, got {describe(value)}")
    result: dict[str, Any] = to_plain(value)
    return result


READERS: dict[str, Callable[[object], Any]] = {
    "string": text,
    "bool": boolean,
    "double": double,
    "float": double,
    "bytes": base64_bytes,
    "duration": duration_ns,
    "struct": struct,
    "value": to_plain,
    **{kind: _integer(kind) for kind in _RANGES},
}


def check(field: FieldSpec, rules: Mapping[str, Any], value: Any) -> None:
    """Applies validation rules to one converted value; raises Wrong."""
    kind = field.type
    if kind == "string":
        _check_text(rules, value)
    elif kind == "bytes":
        if len(value) > rules.get("max_len", len(value)):
            raise Wrong(f"longer than {rules['max_len']} bytes")
    elif kind not in ("enum", "message", "any", "struct"):
        _check_number(rules, value, kind == "duration")


def _check_text(rules: Mapping[str, Any], value: str) -> None:
    if len(value) < rules.get("min_len", 0):
        raise Wrong("must not be empty")
    if "max_bytes" in rules and len(value.encode()) > rules["max_bytes"]:
        raise Wrong(f"longer than {rules['max_bytes']} bytes")
    if "well_known_regex" in rules and not _HEADER_TEXT.match(value):
        raise Wrong("must not contain CR, LF or NUL")
    if "pattern" in rules and not re.search(rules["pattern"], value):
        raise Wrong(f"{quoted(value)} does not match {rules['pattern']}")
    if "in" in rules and value not in rules["in"]:
        raise Wrong(f"expected one of {', '.join(rules['in'])}, got {quoted(value)}")


def _check_number(rules: Mapping[str, Any], value: float, is_duration: bool) -> None:
    def shown(number: float) -> str:
        return f"{number / 1e9:g}s" if is_duration else f"{number}"

    for rule, sign, holds in (
        ("gte", ">=", value >= rules.get("gte", value)),
        ("gt", ">", "gt" not in rules or value > rules["gt"]),
        ("lte", "<=", value <= rules.get("lte", value)),
        ("lt", "<", "lt" not in rules or value < rules["lt"]),
    ):
        if not holds:
            raise Wrong(f"must be {sign} {shown(rules[rule])}, got {shown(value)}")
