"""The "@moebridge" options that stand beside a Python filter's own configuration."""

from __future__ import annotations

import math
from typing import Any

from moebridge.config.faults import Faults, Path, describe, nearest, quoted
from moebridge.config.model import FilterOptions

__all__ = ["OPTIONS_KEY", "read_options", "take_options"]

OPTIONS_KEY = "@moebridge"

_NAMES = ("on_error", "hook_timeout_s", "name")
_ON_ERROR = ("fail_closed", "fail_open")
_MAX_TIMEOUT_S = 86_400 * 365


def take_options(
    faults: Faults, path: Path, value: dict[str, Any], name: str
) -> tuple[dict[str, Any], FilterOptions]:
    """Splits a filter's value into its own configuration and the options.

    Args:
        faults: what is wrong is added here.
        path: where the options stand.
        value: the configuration with the options in it.
        name: the filter's name in the chain, the default of the option `name`.
    """
    rest = {key: item for key, item in value.items() if key != OPTIONS_KEY}
    return rest, read_options(faults, path, value[OPTIONS_KEY], name)


def read_options(faults: Faults, path: Path, value: object, name: str) -> FilterOptions:
    """Checks an options object, from a file or from `mb.options`."""
    if not isinstance(value, dict):
        faults.add(path, f"expected object, got {describe(value)}")
        return FilterOptions(name=name)
    for key in value:
        if key not in _NAMES:
            faults.add((path, str(key)), f"unknown option{nearest(str(key), _NAMES)}")
    on_error = value.get("on_error", "fail_closed")
    if on_error not in _ON_ERROR:
        faults.add(
            (path, "on_error"), f"expected fail_closed or fail_open, got {describe(on_error)}"
        )
        on_error = "fail_closed"
    shown = value.get("name", name)
    if not isinstance(shown, str) or not shown.isprintable() or (not shown and "name" in value):
        what = quoted(shown) if isinstance(shown, str) else describe(shown)
        faults.add((path, "name"), f"expected a printable name, got {what}")
        shown = name
    timeout_ms = _timeout_ms(faults, (path, "hook_timeout_s"), value.get("hook_timeout_s"))
    return FilterOptions(on_error=on_error, hook_timeout_ms=timeout_ms, name=shown)


def _timeout_ms(faults: Faults, path: Path, value: object) -> int:
    if value is None:
        return 0
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= _MAX_TIMEOUT_S:  # type: ignore[operator]
        faults.add(path, f"expected seconds > 0, got {describe(value)}")
        return 0
    return math.ceil(value * 1000)  # type: ignore[operator]
