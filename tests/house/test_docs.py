"""The code in README.md and the guide runs, and type checkers agree with it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import moebridge as mb

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("README.md", "docs/writing_filters.md", "docs/network_filters.md")
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    )
    if block.lstrip().startswith("import") and "class " in block
]


#: Of those whose configuration has no defaults.
ARGUMENTS = {"Password": {"word": "friend"}}


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("block", BLOCKS)
def test_example_makes_a_filter(block: str) -> None:
    space: dict[str, object] = {}
    exec(compile(block, "example", "exec"), space)
    filters = [
        value
        for value in space.values()
        if isinstance(value, type) and issubclass(value, mb.HttpFilter | mb.NetworkFilter)
    ]
    assert filters
    for kind in filters:
        kind(**ARGUMENTS.get(kind.__name__, {}))


def test_examples_pass_mypy_strict(tmp_path: Path) -> None:
    for number, block in enumerate(BLOCKS):
        (tmp_path / f"example_{number}.py").write_text(str(block.values[0]))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "."],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_filter_of_the_readme_has_twelve_lines() -> None:
    assert len(str(BLOCKS[0].values[0]).rstrip().splitlines()) == 12
