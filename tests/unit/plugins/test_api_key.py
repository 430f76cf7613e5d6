"""What api_key takes as keys, and how it takes them out of queries."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import moebridge as mb
from moebridge_plugins.api_key import ApiKey, Key, digest_of, split_query


@pytest.mark.parametrize(
    ("path", "values", "rest"),
    [
        ("/a?key=1", ["1"], "/a"),
        ("/a?b=2&key=1&c", ["1"], "/a?b=2&c"),
        ("/a?k%65y=a%20b+c", ["a b c"], "/a"),
        ("/a?key=1&key=2", ["1", "2"], "/a"),
        ("/a?keys=1&Key=2", [], "/a?keys=1&Key=2"),
        ("/a?key", [""], "/a"),
        ("/key=1", [], "/key=1"),
        ("/a?b=%zz&&x", [], "/a?b=%zz&&x"),
    ],
)
def test_query_parameter_is_taken_out(path: str, values: list[str], rest: str) -> None:
    assert split_query(path, "key") == (values, rest)


def test_plain_key_and_its_digest_are_the_same() -> None:
    digest = hashlib.sha256(b"s3cret").hexdigest()
    assert digest_of("s3cret") == digest_of(f"sha256:{digest}") == bytes.fromhex(digest)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/x", True),
        ("POST", "/v1/x", False),
        ("GET", "/v1", False),
        ("GET", "/health", True),
        ("GET", "/healthy", False),
    ],
)
def test_limits_of_a_key(method: str, path: str, expected: bool) -> None:
    key = Key(tenant="ann", methods=["GET"], paths=["/v1/*", "/health"])
    assert key.allows(method, path) is expected


def fault_of(**config: object) -> str:
    with pytest.raises(mb.ConfigError) as caught:
        ApiKey(**config)
    assert len(caught.value.faults) == 1
    return str(caught.value)


def test_wrong_configurations_say_where(tmp_path: Path) -> None:
    assert "there is no key" in fault_of()
    assert fault_of(keys={"a": {"tenants": "x"}}).startswith("keys")
    assert "nowhere" in fault_of(keys={"a": "x"}, header="")
    missing = tmp_path / "none.json"
    assert f"keys_file: {missing} cannot be read" in fault_of(keys_file=str(missing))
    bad = tmp_path / "bad.json"
    for content in ("{", '{"keys": 3}', '{"keys": {"a": {"x": 1}}}', "\xff"):
        bad.write_bytes(content.encode("latin-1"))
        assert f"keys_file: {bad}: " in fault_of(keys_file=str(bad))


def test_keys_of_a_file_join_those_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('{"keys": {"b": {"tenant": "bob", "methods": ["GET"]}}}')
    made = ApiKey(keys={"a": "ann"}, keys_file=str(file))
    assert set(made._keys) == {digest_of("a"), digest_of("b")}
