"""Envoy's messages as the reader needs them, from the generated table and support.py."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from moebridge.config import support
from moebridge.config._envoy_fields import TABLE

__all__ = ["FieldSpec", "MessageSpec", "all_types", "enum_values", "message_spec"]


class FieldSpec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One field of one of Envoy's messages."""

    #: Envoy's name, snake_case, and the other spelling of proto3 JSON.
    name: str
    camel: str
    #: "string", "bool", "uint32", ..., "enum", "message", "duration", "struct", "value", "any".
    type: str
    #: Enum or message name, "" for others.
    of: str
    repeated: bool
    is_map: bool
    #: A wrapper (UInt32Value ...): unset and zero differ.
    wrapper: bool
    #: Name of the oneof it belongs to, "" = none.
    oneof: str
    #: protoc-gen-validate's rules, durations in nanoseconds.
    rules: dict[str, Any]
    #: moebridge carries it out.
    supported: bool
    #: Must be given: by rule, or because the empty value breaks one.
    required: bool
    #: Messages that an Any may hold here.
    any_types: frozenset[str]


class MessageSpec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One of Envoy's messages."""

    name: str
    #: Both spellings -> field.
    keys: dict[str, FieldSpec]
    fields: dict[str, FieldSpec]
    required: tuple[str, ...]
    #: Oneof of which one must be given -> its fields.
    required_oneofs: dict[str, tuple[str, ...]]


@cache
def message_spec(name: str) -> MessageSpec:
    """What is known of a message.

    Raises:
        KeyError: support.py does not name it.
    """
    message = TABLE["messages"][name]
    fields = {key: _field(name, key, spec) for key, spec in message["fields"].items()}
    oneofs = {
        oneof: tuple(f.name for f in fields.values() if f.oneof == oneof)
        for oneof in message["required_oneofs"]
    }
    return MessageSpec(
        name=name,
        keys={f.camel: f for f in fields.values()} | fields,
        fields=fields,
        required=tuple(f.name for f in fields.values() if f.required),
        required_oneofs=oneofs,
    )


def _field(message: str, name: str, spec: dict[str, Any]) -> FieldSpec:
    rules = spec.get("rules", {})
    first, *rest = name.split("_")
    supported = name in support.FIELDS[message]
    return FieldSpec(
        name=name,
        camel=first + "".join(part.capitalize() for part in rest),
        type=spec["type"],
        of=spec.get("of", ""),
        repeated=spec.get("repeated", False),
        is_map=spec.get("map", False),
        wrapper=spec.get("wrapper", False),
        oneof=spec.get("oneof", ""),
        rules=rules,
        supported=supported,
        required=supported and not spec.get("oneof") and _is_required(spec, rules),
        any_types=support.ANY_TYPES.get((message, name), frozenset()),
    )


def _is_required(spec: dict[str, Any], rules: dict[str, Any]) -> bool:
    if rules.get("required"):
        return True
    if spec.get("repeated"):
        return bool(rules.get("min_items", 0) > 0)
    if spec.get("wrapper") or spec["type"] == "duration":
        return False
    if spec["type"] == "string":
        return bool(rules.get("min_len", 0) > 0)
    return bool(rules.get("gte", 0) > 0 or rules.get("gt", -1) >= 0)


def enum_values(name: str) -> dict[str, int]:
    """Name -> number of an enum's values."""
    values: dict[str, int] = TABLE["enums"][name]
    return values


@cache
def all_types() -> frozenset[str]:
    """Full names of all of Envoy's messages that an Any might hold."""
    return frozenset(
        f"{package}.{name}" for package, names in TABLE["types"].items() for name in names
    )
