"""The exceptions."""

from __future__ import annotations

import pickle

from moebridge.errors import ConfigError, Error, FilterError, StreamGone, WrongThread


def test_one_line_for_each_fault() -> None:
    error = ConfigError([("a.b", "is required"), ("", "empty")], file="p.yaml")
    assert str(error) == "p.yaml: a.b: is required\np.yaml: empty"
    assert str(ConfigError("no port")) == "no port"


def test_error_crosses_a_process_border() -> None:
    error = pickle.loads(pickle.dumps(ConfigError([("a", "b")], file="f")))
    assert (error.faults, error.file, str(error)) == ([("a", "b")], "f", "f: a: b")


def test_all_are_errors_of_moebridge() -> None:
    for kind in (ConfigError, FilterError, StreamGone, WrongThread):
        assert issubclass(kind, Error)
