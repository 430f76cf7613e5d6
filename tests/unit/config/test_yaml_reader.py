"""YAML by the 1.2 core schema, and texts that must not hurt."""

# ruff: noqa: E501 - tables with one case a line

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moebridge.config.yaml_reader import MAX_DEPTH, parse, read_file
from moebridge.errors import ConfigError

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029\ufeff\ufffe\uffff")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=4),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("true", True), ("True", True), ("FALSE", False), ("tRue", "tRue"),
        ("~", None), ("null", None), ("Null", None), ("nuLL", "nuLL"), ("", None),
        ("10", 10), ("010", 10), ("0o10", 8), ("0x1F", 31), ("-7", -7), ("+7", 7), ("0b1", "0b1"),
        ("1_000", "1_000"), ("12:30", "12:30"), ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0),
        (".inf", math.inf), ("-.INF", -math.inf), ("2001-01-01", "2001-01-01"), ("=", "="),
        ("'5'", "5"), ('"\\u00e9"', "é"), ("!!str 5", "5"), ("!!int '5'", 5), ("!!float 5", 5.0),
        ("! 5", "5"), ("0.0.0.0", "0.0.0.0"), ("-", None), ("1.5.6", "1.5.6"), ("|\n  a\n  b", "a\nb\n"),
    ],
)  # fmt: skip
def test_scalar_by_the_core_schema(text: str, value: Any) -> None:
    if text == "-":
        assert parse("- ") == [None]
        return
    result = parse(f"key: {text}\n")["key"]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", 'line 3: duplicate key "a"'),
        ("a: {b: 1, b: 2}", 'line 1: duplicate key "b"'),
        ("a: &x [*x]", "line 1: alias *x contains itself"),
        ("a: &x {b: *x}", "alias *x contains itself"),
        ("a: *x", "alias *x has no anchor before it"),
        ("a: !!python/object:os.system x", "is not one of YAML's core schema"),
        ("a: !!binary aGk=", "is not one of YAML's core schema"),
        ("a: !!set {b}", "is not one of YAML's core schema"),
        ("a: !!int x", '"x" is no int'),
        ("a: 1\n---\nb: 2", "a second document begins"),
        ("? [a]\n: b", "a key must be text"),
        ("? {a: b}\n: b", "a key must be text"),
        ("a: [", "not YAML"),
        ("a: b: c", "not YAML"),
        ("\ta: b", "not YAML"),
        ("a: \x01", "not YAML"),
        ("[" * (MAX_DEPTH + 1), f"nested more than {MAX_DEPTH} deep"),
        ("a: " + "9" * 5000, "too many digits"),
    ],
)
def test_bad_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', 'duplicate key "a"'),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1,}', "line 1, column"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "too many digits"),
        ("", "not JSON"),
    ],
)
def test_bad_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, is_json=True)
    assert message in str(caught.value)


def test_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    with pytest.raises(ConfigError, match="each alias counted as what it stands for"):
        parse("\n".join(lines))


def test_alias_stands_for_its_anchor() -> None:
    assert parse("a: &x {b: [1]}\nc: *x\nd: [*x]") == {
        "a": {"b": [1]}, "c": {"b": [1]}, "d": [{"b": [1]}],
    }  # fmt: skip


def test_ignored_value_is_left_out_but_keeps_its_anchor() -> None:
    assert parse("base: !ignore &x {b: 1}\nc: *x\nd: [!ignore 1, 2]") == {"c": {"b": 1}, "d": [2]}


@given(JSON_VALUES)
def test_json_read_as_yaml_is_the_same(value: Any) -> None:
    assert parse(json.dumps({"key": value}, ensure_ascii=False)) == {"key": value}


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_gives_a_value_or_one_clear_line(text: str) -> None:
    message = ""
    try:
        parse(text)
    except ConfigError as error:
        message = str(error)
    assert "\n" not in message


def test_unreadable_files_give_one_line(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: 1\nb: \xff\xfe")
    cases = {
        str(tmp_path): "cannot be read: Is a directory",
        str(tmp_path / "none.yaml"): "cannot be read: No such file or directory",
        str(binary): "line 2: not UTF-8 text",
        str(tmp_path / "n\0ul"): "the name has a NUL in it",
        f"{binary}/x": "cannot be read: Not a directory",
    }
    for name, message in cases.items():
        with pytest.raises(ConfigError) as caught:
            read_file(name)
        assert message in str(caught.value)


def test_pipe_without_writer_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_file(tmp_path / "pipe") is None


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_file(tmp_path / "a.yaml") == {"a": 1}
