"""Modules of this folder as commands: measure, print as JSON, write.

The folder has figures under load and faults; request ids are counted at the client and at the
upstream. A module has a short run, the full figure (marked `long`), and is a command:
`python -m tests.e2e.load.test_NAME [--full] [--out FILE]`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moebridge import _backend

__all__ = ["command"]

ROOT = Path(__file__).resolve().parents[3]
Measure = Callable[[Path, bool], dict[str, Any]]


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")


def _environment(words: str) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return {
        "command": words,
        "commit": commit,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}",
        "dispatch": _backend.DISPATCH,
    }


def command(module: str, what: str, measure: Measure) -> None:
    """The command line of a module.

    Args:
        module: its name.
        what: what is measured, in which unit.
        measure: `measure(folder, full)` returns the figures, after it has asserted on them.
    """
    name = f"python -m tests.e2e.load.{module}"
    parser = argparse.ArgumentParser(prog=name, description=what)
    parser.add_argument("--full", action="store_true", help="the figure of `make test-full`")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), given.full)
    text = json.dumps(
        {
            "what": what,
            "environment": _environment(" ".join([name, *sys.argv[1:]])),
            "seconds": round(time.monotonic() - begin, 1),
            "figures": figures,
        },
        indent=1,
    )
    sys.stdout.write(text + "\n")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text + "\n", "utf-8")
