"""Both dispatchers are tested alike: `make test` runs the same tests once with each."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .source_tree import ROOT

# The Makefile's BRIDGE_TESTS.
FOLDERS = ["tests/unit", "tests/protocol", "tests/e2e"]


def collected(dispatcher: str) -> list[str]:
    present = [folder for folder in FOLDERS if (ROOT / folder).is_dir()]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *present],
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
