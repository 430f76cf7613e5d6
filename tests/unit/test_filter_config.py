"""`class Config(mb.Config)`: typed configuration of filters."""

# ruff: noqa: E501 - tables with one case a line

from __future__ import annotations

import re

import msgspec
import pytest

from moebridge.errors import ConfigError
from moebridge.filter_config import Config, convert


class Limits(Config):
    per_second: int
    burst: int = 10


class Example(Config):
    keys: dict[str, str]
    header: str = "x-api-key"
    limits: Limits | None = None
    fixed: Limits = Limits(per_second=1)
    pattern: re.Pattern[str] | None = None
    patterns: list[re.Pattern[bytes]] = []


def faults(data: object) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        convert(Example, data, "filter_config.value")  # type: ignore[arg-type]
    return [
        (fault.path.removeprefix("filter_config.value"), fault.message)
        for fault in caught.value.faults
    ]


def test_plain_values_become_the_object() -> None:
    found = convert(
        Example,
        {"keys": {"a": "b"}, "limits": {"per_second": 5}, "pattern": "a+", "patterns": ["b"]},
    )
    assert found.keys == {"a": "b"}
    assert found.limits == Limits(per_second=5)
    assert found.pattern is not None
    assert found.pattern.fullmatch("aa")
    assert found.patterns[0].match(b"b")


def test_nothing_given_means_all_defaults() -> None:
    class Empty(Config):
        a: int = 1

    assert convert(Empty, None) == convert(Empty, {}) == Empty()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, [(".keys", "is required")]),
        ([], [("", "expected object, got list")]),
        ({"keys": "a"}, [(".keys", "expected object, got str")]),
        ({"keys": {"a": 1}}, [(".keys[...]", "expected str, got int")]),
        ({"keys": {}, "heder": 1}, [(".heder", "unknown field (did you mean header?)")]),
        ({"keys": {}, "limits": {"burst": 1}}, [(".limits.per_second", "is required")]),
        ({"keys": {}, "limits": {"per_second": 1, "x": 1}}, [(".limits.x", "unknown field")]),
        ({"keys": {}, "fixed": {"brst": "a"}}, [(".fixed.brst", "unknown field (did you mean burst?)"), (".fixed.per_second", "is required")]),
        ({"keys": {}, "patterns": ["("]}, [(".patterns[0]", "no regular expression: missing ), unterminated subpattern at position 0")]),
        ({"header": 5, "nope": 1}, [(".nope", "unknown field"), (".keys", "is required"), (".header", "expected str, got int")]),
    ],
)  # fmt: skip
def test_every_fault_has_its_path(data: object, expected: list[tuple[str, str]]) -> None:
    assert faults(data) == expected


def test_check_of_the_author_is_reported() -> None:
    class Positive(Config):
        n: int

        def __post_init__(self) -> None:
            if self.n < 1:
                raise ValueError("n must be positive")

    with pytest.raises(ConfigError, match="c: n must be positive"):
        convert(Positive, {"n": 0}, "c")


def test_unusable_annotation_is_a_clear_error() -> None:
    class Odd(Config):
        thing: re.Match[str]

    with pytest.raises(ConfigError, match="are not supported"):
        convert(Odd, {"thing": 1})


def test_configuration_is_immutable() -> None:
    with pytest.raises(AttributeError):
        Limits(per_second=1).per_second = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Limits(nope=1)  # type: ignore[call-arg]
    assert isinstance(Limits(per_second=1), msgspec.Struct)
