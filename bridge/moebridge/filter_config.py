"""The typed configuration of a filter: `class Config(mb.Config)`.

Fields are annotated as in a dataclass; msgspec checks and converts. Beside msgspec's types a field
may be a compiled regular expression (`re.Pattern[str]`, `re.Pattern[bytes]`), given as its text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar, dataclass_transform, get_args, get_origin

import msgspec

from moebridge.config.faults import describe, nearest
from moebridge.errors import ConfigError, Fault

__all__ = ["Config", "convert"]


@dataclass_transform(frozen_default=True)
class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of filters' configurations: immutable, unknown fields refused.

    Example:
        class Config(mb.Config):
            keys: dict[str, str]
            header: str = "x-api-key"
    """


T = TypeVar("T", bound=msgspec.Struct)

_AT = re.compile(r" - at `(key in )?\$(.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")


def convert(config_type: type[T], data: Mapping[str, Any] | None, path: str = "") -> T:
    """Makes a configuration object from plain values.

    Args:
        config_type: the filter's Config class.
        data: the values; None = nothing was given.
        path: where they stand, for errors: "filter_config.value".

    Returns:
        The object.

    Raises:
        ConfigError: with each field that is wrong, missing or unknown.
    """
    if data is not None and not isinstance(data, Mapping):
        raise ConfigError([(path, f"expected object, got {describe(data)}")])
    try:
        faults = _faults(config_type, data or {}, path)
        if not faults:
            return msgspec.convert(dict(data or {}), config_type, dec_hook=_hook)
    except msgspec.ValidationError as error:
        faults = [_fault(error, path)]
    except TypeError as error:
        faults = [Fault(path, f"{config_type.__qualname__} cannot be a configuration: {error}")]
    raise ConfigError(faults)


def _faults(config_type: type[msgspec.Struct], data: Mapping[str, Any], path: str) -> list[Fault]:
    """Converts field by field, since msgspec stops at its first fault."""
    found: list[Fault] = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(config_type)}
    forbids = config_type.__struct_config__.forbid_unknown_fields
    for key in data:
        if key not in fields and forbids:
            found.append(Fault(_join(path, str(key)), f"unknown field{nearest(str(key), fields)}"))
    for name, field in fields.items():
        at = _join(path, name)
        if name not in data:
            if field.required:
                found.append(Fault(at, "is required"))
            continue
        value = data[name]
        if _is_plain_struct(field.type) and isinstance(value, Mapping):
            found.extend(_faults(field.type, value, at))
            continue
        try:
            msgspec.convert(value, field.type, dec_hook=_hook)
        except msgspec.ValidationError as error:
            found.append(_fault(error, at))
    return found


def _is_plain_struct(kind: Any) -> bool:
    is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    return is_struct and not kind.__struct_config__.tag


def _fault(error: msgspec.ValidationError, path: str) -> Fault:
    text = str(error)
    match = _AT.search(text)
    if match is not None:
        text = text[: match.start()]
        path = f"{path}{match[2]}" if path else match[2].removeprefix(".")
    missing, unknown = _MISSING.match(text), _UNKNOWN.match(text)
    if missing is not None:
        return Fault(_join(path, missing[1]), "is required")
    if unknown is not None:
        return Fault(_join(path, unknown[1]), "unknown field")
    text = text.replace("`", "").replace("\n", " ")
    return Fault(path, (text[:1].lower() + text[1:]) + (" (a key)" if match and match[1] else ""))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _hook(wanted: Any, value: object) -> object:
    """Types that msgspec leaves to us: compiled regular expressions."""
    if wanted is re.Pattern or get_origin(wanted) is re.Pattern:
        if not isinstance(value, str):
            raise ValueError(f"Expected a regular expression, got {describe(value)}")
        try:
            return re.compile(value.encode() if get_args(wanted) == (bytes,) else value)
        except re.error as error:
            raise ValueError(f"No regular expression: {error}") from None
    raise TypeError(f"fields of type {wanted!r} are not supported")
