"""From Envoy's configuration, as a file or as plain values, to the model."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping
from typing import Any

from moebridge.config.faults import ROOT, Faults
from moebridge.config.lower_listener import bootstrap
from moebridge.config.model import Config
from moebridge.config.proto_json import read_message
from moebridge.config.yaml_reader import parse, read_file
from moebridge.errors import ConfigError

__all__ = ["collector_paused", "load", "load_text"]

_BOOTSTRAP = "envoy.config.bootstrap.v3.Bootstrap"


def load(source: str | os.PathLike[str] | Mapping[str, Any]) -> Config:
    """Reads and checks a whole configuration, Envoy's v3 Bootstrap.

    Args:
        source: a file (`.json` is JSON, all else YAML), or the same content as plain values.

    Returns:
        The model, with every default filled in.

    Raises:
        ConfigError: with all faults that could be found.
    """
    with collector_paused():
        if isinstance(source, Mapping):
            return _lower(source, "")
        return _lower(read_file(source), os.fspath(source))


def load_text(text: str, *, is_json: bool = False, file: str = "") -> Config:
    """As `load`, from the text of a file.

    Args:
        text: YAML or JSON.
        is_json: which of the two.
        file: name for errors.
    """
    with collector_paused():
        return _lower(parse(text, is_json=is_json, file=file), file)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """For reading: that makes no cycles, and ten thousand routes would set it off all the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _lower(value: Any, file: str) -> Config:
    if value is None:
        raise ConfigError("empty: expected an object with static_resources", file=file)
    faults = Faults()
    config = bootstrap(faults, read_message(faults, _BOOTSTRAP, value, ROOT))
    if faults.count:
        raise ConfigError(faults.list(), file=file)
    return config
