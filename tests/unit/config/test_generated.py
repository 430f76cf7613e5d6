"""What is written by scripts is up to date, and the model says what its fields mean."""

from __future__ import annotations

import inspect
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from moebridge.config import cluster_model, filter_model, model, route_model, support, value_model
from moebridge.config.schema import message_spec

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "tool", ["gen_envoy_fields.py", "gen_defaults.py", "profile/gen_document.py"]
)
def test_generated_file_is_up_to_date(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / tool), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("message", support.FIELDS)
def test_supported_fields_are_envoys(message: str) -> None:
    assert support.FIELDS[message] <= message_spec(message).fields.keys()


MODULES = [cluster_model, filter_model, model, route_model, value_model]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_field_of_a_bound_has_a_comment(module: object) -> None:
    lines = inspect.getsource(module).splitlines()  # type: ignore[arg-type]
    for before, line in itertools.pairwise(lines):
        field = re.match(r"    (\w+_(?:ms|bytes|s)|max_\w+): ", line)
        if field is not None:
            assert before.strip().startswith("#"), f"{module}: {field[1]}"
