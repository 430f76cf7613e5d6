"""Both dispatchers are tested alike: `make test` runs the same tests once with each."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from .source_tree import ROOT

_ENTERS_PYTHON = re.compile(r"\b(HttpFilter|NetworkFilter|make_proxy|Proxy|Command)\b")


def bridge_tests() -> list[str]:
    """The Makefile's BRIDGE_TESTS."""
    done = subprocess.run(
        ["make", "-s", "--no-print-directory", "bridge-tests"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def collected(dispatcher: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *bridge_tests()],
        cwd=ROOT,
        env={**os.environ, "MOEBRIDGE_DISPATCH": dispatcher},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.timeout(300)
def test_both_dispatchers_collect_the_same_tests() -> None:
    with_cython = collected("cython")
    assert with_cython
    assert collected("cffi") == with_cython


def test_tests_that_run_once_do_not_enter_python() -> None:
    run_twice = {(ROOT / name).resolve() for name in bridge_tests()}
    once = [path for path in (ROOT / "tests/e2e").glob("*/test_*.py") if path not in run_twice]
    helpers = {
        path
        for test in once
        for path in test.parent.glob("*.py")
        if not path.name.startswith("test_")
    }
    assert once
    entering = [path for path in [*once, *helpers] if _ENTERS_PYTHON.search(path.read_text())]
    assert [str(path) for path in entering] == []
