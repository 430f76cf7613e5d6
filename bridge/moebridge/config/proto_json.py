"""Reads plain values as one of Envoy's messages, in proto3's JSON form.

The result is a `Node`: a dict with Envoy's snake_case names, values converted (durations in
milliseconds, enums by name, wrappers unwrapped), and the path for later faults. What is wrong is
added to `Faults` and left out of the node, so that reading goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moebridge.config import scalars, schema
from moebridge.config.faults import Faults, Path, describe, nearest, quoted
from moebridge.config.schema import FieldSpec, MessageSpec
from moebridge.config.support import FIELDS, SECRETS

__all__ = ["NOT_YET", "Node", "read_message"]

NOT_YET = "is Envoy's, moebridge does not have it yet"

_BAD: Any = object()
_VALUE_TYPES = {
    "google.protobuf.Struct": "struct",
    "google.protobuf.StringValue": "string",
    "google.protobuf.BytesValue": "bytes",
}


class Node(dict[str, Any]):
    """A message that was read: its known fields.

    Attributes:
        path: where it stands.
        type: full name of the message.
        bad: fields that were given but are wrong; they are absent here and were already reported.
    """

    __slots__ = ("bad", "path", "type")

    def __init__(self, path: Path, type_name: str) -> None:
        """An empty message at `path`."""
        super().__init__()
        self.path = path
        self.type = type_name
        self.bad: set[str] = set()

    def node(self, name: str) -> Node:
        """The sub-message, an empty one where it is not given."""
        found = self.get(name)
        return found if found is not None else Node((self.path, name), "")

    def nodes(self, name: str) -> list[Node]:
        """The sub-messages of a repeated field."""
        found: list[Node] = self.get(name, [])
        return found

    def at(self, name: str) -> Path:
        """The path of a field."""
        return (self.path, name)


def read_message(faults: Faults, name: str, value: object, path: Path) -> Node:
    """Reads one message.

    Args:
        faults: what is wrong is added here.
        name: full name of Envoy's message; support.py must know it.
        value: dict of plain values.
        path: where the value stands.

    Returns:
        The node; empty when `value` is no dict.
    """
    spec = schema.message_spec(name)
    node = Node(path, name)
    if type(value) is not dict and not isinstance(value, Mapping):
        faults.add(path, f"expected object, got {describe(value)}")
        node.bad.update(spec.fields)
        return node
    oneofs: dict[str, str] = {}
    for key, item in value.items():
        field = spec.keys.get(key)
        if field is None:
            if key != "@type":
                _unknown(faults, spec, key, path)
            continue
        if item is None:
            continue
        name_ = field.name
        field_path = (path, name_)
        if name_ in node or name_ in node.bad:
            faults.add(field_path, f"given twice, as {field.name} and {field.camel}")
            continue
        if field.oneof:
            other = oneofs.setdefault(field.oneof, name_)
            if other != name_:
                faults.add(path, f"only one of {other} and {name_} can be given")
        if (spec.name, name_) in SECRETS:
            with faults.secret():
                result = _field(faults, field, item, field_path)
        else:
            result = _field(faults, field, item, field_path)
        if result is _BAD:
            node.bad.add(name_)
        else:
            node[name_] = result
    for required in spec.required:
        if required not in node and required not in node.bad:
            faults.add((path, required), "is required")
    for oneof, members in spec.required_oneofs.items():
        if oneof not in oneofs:
            ours = [m for m in members if spec.fields[m].supported] or members
            faults.add(path, f"{'one of ' if len(ours) > 1 else ''}{', '.join(ours)} is required")
    return node


def _unknown(faults: Faults, spec: MessageSpec, key: object, path: Path) -> None:
    if not isinstance(key, str):
        faults.add(path, f"a key must be a string, not {describe(key)}")
        return
    faults.add((path, key), f"unknown field{nearest(key, spec.fields)}")


def _field(faults: Faults, field: FieldSpec, value: Any, path: Path) -> Any:
    if not field.supported:
        if not _says_nothing(field, value):
            faults.add(path, NOT_YET)
        return _BAD
    if field.repeated:
        return _list(faults, field, value, path)
    if field.is_map:
        return _map(faults, field, value, path)
    return _value(faults, field, field.rules, value, path)


def _says_nothing(field: FieldSpec, value: Any) -> bool:
    """True when the field is set to what its absence means, as `transparent: false`."""
    if field.wrapper or field.oneof:
        return False
    if field.repeated or field.is_map:
        return isinstance(value, list | tuple | dict) and not value
    if field.type == "enum":
        return value == 0 or schema.enum_values(field.of).get(str(value)) == 0
    if field.type in ("message", "any", "duration", "struct", "value"):
        return False
    return value in (False, 0, "")


def _list(faults: Faults, field: FieldSpec, value: Any, path: Path) -> Any:
    if not isinstance(value, list | tuple):
        faults.add(path, f"expected list, got {describe(value)}")
        return _BAD
    rules = field.rules
    if len(value) < rules.get("min_items", 0):
        faults.add(path, "must not be empty")
        return _BAD
    if len(value) > rules.get("max_items", len(value)):
        faults.add(path, f"more than {rules['max_items']} entries")
    items = rules.get("items", {})
    read = [_value(faults, field, items, item, (path, i)) for i, item in enumerate(value)]
    return [item for item in read if item is not _BAD]


def _map(faults: Faults, field: FieldSpec, value: Any, path: Path) -> Any:
    if not isinstance(value, Mapping):
        faults.add(path, f"expected object, got {describe(value)}")
        return _BAD
    result: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str) or (not key and "keys" in field.rules):
            faults.add(path, f"a key must be a string that is not empty, not {describe(key)}")
            continue
        read = _value(faults, field, field.rules.get("values", {}), item, (path, key))
        if read is not _BAD:
            result[key] = read
    return result


def _value(
    faults: Faults, field: FieldSpec, rules: Mapping[str, Any], value: Any, path: Path
) -> Any:
    kind = field.type
    if kind == "message":
        return read_message(faults, field.of, value, path)
    if kind == "any":
        return _any(faults, field, value, path)
    try:
        if kind == "enum":
            return scalars.enum(field.of, value)
        read: Callable[[object], Any] = scalars.READERS[kind]
        result = read(value)
        if rules:
            scalars.check(field, rules, result)
    except scalars.Wrong as wrong:
        for step in wrong.steps:
            path = (path, step)
        faults.add(path, str(wrong))
        return _BAD
    # Rounded up: a duration that is not zero must not become "off".
    return -(-result // scalars.NS_PER_MS) if kind == "duration" else result


def _any(faults: Faults, field: FieldSpec, value: Any, path: Path) -> Any:
    if not isinstance(value, Mapping):
        faults.add(path, f"expected object, got {describe(value)}")
        return _BAD
    if not value and field.name == "config":
        return Node(path, "")  # FilterConfig {config: {}}: switched on, nothing overridden
    url = value.get("@type")
    if url is None:
        faults.add((path, "@type"), "is required")
        return _BAD
    name = _type_name(faults, field, url, (path, "@type"))
    if not name:
        return _BAD
    if name not in _VALUE_TYPES:
        return read_message(faults, name, value, path)
    node = Node(path, name)
    for key in value:
        if key not in ("@type", "value"):
            faults.add((path, key), "unknown field; the content of this type stands in value")
    try:
        if value.get("value") is not None:
            node["value"] = scalars.READERS[_VALUE_TYPES[name]](value["value"])
        elif name == "google.protobuf.Struct":
            faults.add((path, "value"), "is required")
    except scalars.Wrong as wrong:
        at: Path = (path, "value")
        for step in wrong.steps:
            at = (at, step)
        faults.add(at, str(wrong))
        return _BAD
    return node


def _type_name(faults: Faults, field: FieldSpec, url: object, path: Path) -> str:
    if not isinstance(url, str) or "/" not in url:
        faults.add(path, f"expected type.googleapis.com/NAME, got {describe(url)}")
        return ""
    name = url.rpartition("/")[2]
    if name in field.any_types:
        return name
    ours = field.any_types
    if name in FIELDS or name in _VALUE_TYPES:
        faults.add(path, f"{name} cannot stand here; expected {' or '.join(sorted(ours))}")
    elif name in schema.all_types() or name in ("udpa.type.v1.TypedStruct",):
        faults.add(path, f"{name} {NOT_YET}")
    else:
        hint = nearest(name, ours) or nearest(name, schema.all_types())
        faults.add(path, f"unknown type {quoted(name, 120)}{hint}")
    return ""
