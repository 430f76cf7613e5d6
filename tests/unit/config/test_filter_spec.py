"""Filters by objects and on the command line."""

from __future__ import annotations

import pytest

from moebridge.config.filter_model import HeaderMutation, Mutation
from moebridge.config.filter_spec import (
    native_filter,
    parse_filter_spec,
    python_filter,
    unique_names,
)
from moebridge.errors import ConfigError


def test_python_spec() -> None:
    found = parse_filter_spec('f.py:Name={"a": 1, "@moebridge": {"on_error": "fail_open"}}')
    assert (found.module, found.filter, found.config) == ("python", "f.py:Name", {"a": 1})
    assert found.options.on_error == "fail_open"
    assert parse_filter_spec("entry").filter == "entry"


def test_native_spec() -> None:
    found = parse_filter_spec(
        'native:header_mutation={"mutations": {"request_mutations": [{"remove": "A"}]}}'
    )
    assert found.module == "native"
    assert found.config == HeaderMutation(request=[Mutation(kind="remove", name="a")])


@pytest.mark.parametrize("spec", ["native:grpc_web", "native:grpc_web={}"])
def test_native_filter_without_configuration(spec: str) -> None:
    found = parse_filter_spec(spec)
    assert (found.module, found.filter, found.config) == ("native", "grpc_web", None)
    assert native_filter("grpc_web").config is None


def test_library() -> None:
    found = native_filter("counter", {"a": 1}, library="./libx.so")
    assert (found.module, found.filter, found.config) == ("./libx.so", "counter", {"a": 1})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "expected MODULE:CLASS"),
        ("a:", "expected MODULE:CLASS"),
        (":b", "expected MODULE:CLASS"),
        ("a:B=", "after = must stand JSON"),
        ("a:B=[1]", "expected a JSON object, got list"),
        ("a:B={'a': 1}", "after = must stand JSON"),
        ("native:nope", 'no built-in filter "nope"'),
        ('native:grpc_web={"user": 1}', "user: unknown field"),
        ('native:basic_auth={"user": 1}', "unknown field (did you mean users?)"),
        ('a:B={"@moebridge": {"on_error": "x"}}', "expected fail_closed or fail_open"),
    ],
)
def test_wrong_spec_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_filter_spec(spec)
    assert message in str(caught.value)


def test_value_that_is_no_json_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"config\.a\[0\]: expected a JSON value"):
        python_filter("a:B", {"a": [object()]})


def test_names_become_unique() -> None:
    names = [f.name for f in unique_names([python_filter("a:B", {}), python_filter("a:B", {})])]
    assert names == ["a:B", "a:B_2"]
