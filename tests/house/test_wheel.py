"""The source distribution has all that the wheel needs, and the wheel all that a user needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from .source_tree import ROOT, tracked_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BUILD_S = 900
PLUGINS = ["api_key", "basic_auth", "body_scan", "header_mutation", "llm_usage", "redact"]
PROBE = """
import importlib.metadata, pathlib, sys
import moebridge, moebridge._core, moebridge._dispatch
inside = pathlib.Path(moebridge.__file__).is_relative_to(sys.prefix)
assert inside, moebridge.__file__
points = importlib.metadata.entry_points(group="moebridge.filters")
print(*sorted(p.name for p in points if issubclass(p.load(), moebridge.HttpFilter)))
"""


def run(command: Sequence[str | Path], folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MAKE"))}
    environment["MOEBRIDGE_PROFILE"] = "off"  # how it is optimised changes nothing here but time
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist of the files that git has: no leftover of the work tree can help."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    for file in tracked_files():
        target = copy / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", copy]
    run([str(part) for part in command], folder)
    (source,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(source) as inside:
        assert any(name.endswith("/tools/profile/train.c") for name in inside.getnames())
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.mark.timeout(BUILD_S)
def test_wheel_runs_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    run([sys.executable, "-m", "venv", str(clean)], tmp_path)
    run([clean / "bin/pip", "install", "-q", wheel], tmp_path)
    assert run([clean / "bin/python", "-I", "-c", PROBE], tmp_path).split() == PLUGINS
    assert run([clean / "bin/moebridge", "version"], tmp_path).startswith("moebridge ")
    user = tmp_path / "user"
    shutil.copytree(ROOT / "examples" / "compiled_filter", user)
    for extension in user.glob("*.so"):
        extension.unlink()
    run([clean / "bin/pip", "install", "-q", "Cython", "setuptools"], tmp_path)
    run([clean / "bin/python", "setup.py", "-q", "build_ext", "--inplace"], user)
    code = "import digest_filter as d; print(d.__file__, d.fnv1a(b'hello'), d.Digest().config)"
    assert ".so 1335831723 Config(" in run([clean / "bin/python", "-c", code], user)
    assert run([clean / "bin/moebridge", "bench", "--list"], tmp_path).startswith("small ")


@pytest.mark.timeout(BUILD_S)
def test_wheel_has_types_and_public_headers_and_nothing_of_the_house(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "moebridge/py.typed",
        "moebridge_plugins/py.typed",
        "moebridge/__init__.pxd",
        "moebridge/include/moebridge/common.h",
        "moebridge/include/moebridge/filter.h",
        "moebridge_bench/browser.lua",
    ):
        assert name in names
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"moebridge", "moebridge_bench", "moebridge_plugins"}
    assert "moebridge/_dispatch.pxd" not in names
    sources = [n for n in names if n.endswith((".c", ".pyx", ".cc", ".a"))]
    assert sources == ["moebridge_bench/relay.c"]  # which the comparison compiles itself
