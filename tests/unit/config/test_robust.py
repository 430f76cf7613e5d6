"""Whatever a file holds, the answer is a model or a ConfigError, never another exception."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.config.conftest import DATA

from moebridge.config import yaml_reader
from moebridge.config.load import load
from moebridge.config.model import decode, encode
from moebridge.errors import ConfigError

FILES = [*sorted((DATA / "envoy").iterdir()), *sorted((DATA / "moebridge").iterdir())]
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 2**70, "", "x", "%", "1s", "a b", "*", "::1", "\ud800", [], {}, [None],
    [{}], {"": 1}, {"@type": 5}, {"@type": "a/b"}, {1: 2}, float("nan"), b"\xff", object(), ["x"],
    {"@type": "type.googleapis.com/google.protobuf.Struct"}, {"prefix": "/"}, {"cluster": "x"},
]  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each (container, key) inside a document."""
    keys = value if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys]
    for container, key in list(found):
        if isinstance(container[key], dict | list):
            found += places(container[key])
    return found


def put_odd_values(name: str, step: int) -> None:
    """Every place of a file gets every `step`-th odd value, from another one on each."""
    source = yaml_reader.read_file(next(path for path in FILES if path.name == name))
    untouched = copy.deepcopy(source)
    for index, (container, key) in enumerate(places(source)):
        kept = container[key]
        for value in VALUES[index % step :: step]:
            container[key] = copy.copy(value)
            with contextlib.suppress(ConfigError):
                encode(load(source))
        container[key] = kept
    assert source == untouched


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_every_place_with_odd_values(name: str) -> None:
    put_odd_values(name, 4)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_every_place_with_every_odd_value(name: str) -> None:
    put_odd_values(name, 1)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_several_changes_at_once(data: st.DataObject) -> None:
    source = copy.deepcopy(yaml_reader.read_file(DATA / "envoy" / "routing.yaml"))
    for _ in range(data.draw(st.integers(1, 6))):
        found = places(source)
        if not found:
            break
        container, key = found[data.draw(st.integers(0, len(found) - 1))]
        if data.draw(st.booleans()):
            container[key] = copy.deepcopy(VALUES[data.draw(st.integers(0, len(VALUES) - 1))])
        elif isinstance(container, dict):
            container.pop(key, None)
    try:
        config = load(source)
    except ConfigError:
        return
    assert decode(encode(config)) == config
