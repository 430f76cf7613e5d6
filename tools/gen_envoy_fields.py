#!/usr/bin/env python3
"""Writes the table of Envoy's field names from the `xds-protos` descriptors.

For each message of moebridge.config.support it notes all of Envoy's fields with type, oneof and
validation rules (protoc-gen-validate), so that an unknown field, one that moebridge does not have,
and a wrong value are told apart without protobuf at run time. Run after a change of support.py or
of the version of xds-protos:

    python tools/gen_envoy_fields.py          # writes bridge/moebridge/config/_envoy_fields.py
    python tools/gen_envoy_fields.py --check  # exits 1 when that file is out of date
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "bridge" / "moebridge" / "config" / "_envoy_fields.py"
SCALARS = {
    "TYPE_STRING": "string",
    "TYPE_BYTES": "bytes",
    "TYPE_BOOL": "bool",
    "TYPE_UINT32": "uint32",
    "TYPE_UINT64": "uint64",
    "TYPE_INT32": "int32",
    "TYPE_INT64": "int64",
    "TYPE_DOUBLE": "double",
    "TYPE_FLOAT": "float",
}
WRAPPERS = {
    "google.protobuf.BoolValue": "bool",
    "google.protobuf.UInt32Value": "uint32",
    "google.protobuf.UInt64Value": "uint64",
    "google.protobuf.Int32Value": "int32",
    "google.protobuf.Int64Value": "int64",
    "google.protobuf.DoubleValue": "double",
    "google.protobuf.FloatValue": "float",
    "google.protobuf.StringValue": "string",
    "google.protobuf.BytesValue": "bytes",
}
WELL_KNOWN = {
    "google.protobuf.Duration": "duration",
    "google.protobuf.Struct": "struct",
    "google.protobuf.Value": "value",
    "google.protobuf.ListValue": "list_value",
    "google.protobuf.Any": "any",
}


def import_all() -> None:
    """Imports every generated module, so that the pool knows every message."""
    for package in ("envoy", "xds", "udpa"):
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}.", onerror=lambda _: None):
            if module.name.endswith("_pb2"):
                importlib.import_module(module.name)


def rules_of(options: Any, extensions: Any) -> dict[str, Any]:
    """The validation rules of a field as plain values, or {}."""
    if not options.HasExtension(extensions.rules):
        return {}
    return plain_rules(options.Extensions[extensions.rules])


def plain_rules(message: Any) -> dict[str, Any]:
    """A FieldRules message, its kind folded away: {"gte": 1} for uint32 {gte: 1}."""
    result: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name in ("items", "keys", "values"):
            result[field.name] = plain_rules(value)
        elif field.message_type is None:
            result[field.name] = enum_or_list(field, value)
        elif field.message_type.full_name == "google.protobuf.Duration":
            result[field.name] = value.seconds * 10**9 + value.nanos
        else:
            result.update(plain_rules(value))
    return result


def enum_or_list(field: Any, value: Any) -> Any:
    """A rule's value for JSON."""
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return list(value) if field.is_repeated else value


def field_spec(field: Any, extensions: Any) -> dict[str, Any]:
    """What the reader must know of one field."""
    spec: dict[str, Any] = {}
    value = field
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        spec["map"] = True
        value = field.message_type.fields_by_name["value"]
    elif field.is_repeated:
        spec["repeated"] = True
    spec.update(value_type(value))
    oneof = field.containing_oneof
    if oneof is not None and not oneof.name.startswith("_"):
        spec["oneof"] = oneof.name
    rules = rules_of(field.GetOptions(), extensions)
    if rules:
        spec["rules"] = rules
    if field.GetOptions().deprecated:
        spec["deprecated"] = True
    return spec


def value_type(field: Any) -> dict[str, Any]:
    """The type of a field's values."""
    if field.enum_type is not None:
        return {"type": "enum", "of": field.enum_type.full_name}
    if field.message_type is None:
        names = {getattr(type(field), name): kind for name, kind in SCALARS.items()}
        return {"type": names[field.type]}
    name = field.message_type.full_name
    if name in WRAPPERS:
        return {"type": WRAPPERS[name], "wrapper": True}
    if name in WELL_KNOWN:
        return {"type": WELL_KNOWN[name]}
    return {"type": "message", "of": name}


def build() -> dict[str, Any]:
    """The whole table."""
    sys.path.insert(0, str(ROOT / "bridge"))
    from moebridge.config import support

    import_all()
    descriptor_pool = importlib.import_module("google.protobuf.descriptor_pool")
    validate_pb2 = importlib.import_module("validate.validate_pb2")
    pool = descriptor_pool.Default()
    messages: dict[str, Any] = {}
    enums: dict[str, Any] = {}
    for name, supported in support.FIELDS.items():
        if name in support.NEWER:
            messages[name] = {"fields": support.NEWER[name]}
            continue
        descriptor = pool.FindMessageTypeByName(name)
        missing = supported - set(descriptor.fields_by_name)
        if missing:
            raise SystemExit(
                f"support.py names fields that {name} does not have: {sorted(missing)}"
            )
        fields = {f.name: field_spec(f, validate_pb2) for f in descriptor.fields}
        required = [
            oneof.name
            for oneof in descriptor.oneofs
            if oneof.GetOptions().Extensions[validate_pb2.required]
        ]
        messages[name] = {"fields": fields, **({"required_oneofs": required} if required else {})}
        for field in fields.values():
            if field["type"] == "enum":
                values = pool.FindEnumTypeByName(field["of"]).values
                enums[field["of"]] = {v.name: v.number for v in values}
    return {
        "xds_protos": importlib.metadata.version("xds-protos"),
        "messages": messages,
        "enums": enums,
        "types": extension_types(support.NEWER),
    }


def extension_types(newer: Iterable[str]) -> dict[str, list[str]]:
    """Package -> messages that can stand in an Any: tells Envoy's types from misspelt ones."""
    symbol_database = importlib.import_module("google.protobuf.symbol_database")
    found: dict[str, list[str]] = {}
    for message in symbol_database.Default()._classes:
        package = message.file.package
        outer = message.containing_type is None
        if outer and package.startswith(("envoy.extensions.", "envoy.config.", "xds.type.")):
            found.setdefault(package, []).append(message.name)
    for name in newer:
        package, _, message_name = name.rpartition(".")
        if message_name not in found.setdefault(package, []):
            found[package].append(message_name)
    return {package: sorted(names) for package, names in sorted(found.items())}


def render(table: dict[str, Any]) -> str:
    """A Python module with one line per field or package: readable in a diff."""
    lines = [
        '"""Envoy\'s field names, enums and types: see tools/gen_envoy_fields.py."""',
        "",
        "# ruff: noqa: E501, RUF100",
        "# fmt: off",
        "from typing import Any",
        "",
        "TABLE: dict[str, Any] = {",
        f'"xds_protos": {table["xds_protos"]!r},',
        '"messages": {',
    ]
    for name, message in table["messages"].items():
        lines.append(f'{name!r}: {{"fields": {{')
        lines.extend(f"{field!r}: {spec!r}," for field, spec in message["fields"].items())
        lines.append(f'}}, "required_oneofs": {message.get("required_oneofs", [])!r}}},')
    lines.append("},")
    for section in ("enums", "types"):
        lines.append(f'"{section}": {{')
        lines.extend(f"{name!r}: {values!r}," for name, values in table[section].items())
        lines.append("},")
    lines.append("}")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if out of date")
    arguments = parser.parse_args()
    text = render(build())
    if arguments.check:
        old = TARGET.read_text()
        version = importlib.metadata.version("xds-protos")
        if f"'xds_protos': {version!r}" not in old.replace('"', "'"):
            # build() has shown that every field of support.py is still Envoy's.
            print(f"written with another version than the installed {version}: not compared")
            return 0
        same = old == text
        print("up to date" if same else f"out of date: {TARGET.relative_to(ROOT)}")
        return 0 if same else 1
    TARGET.write_text(text)
    print(f"{TARGET.relative_to(ROOT)}: {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
