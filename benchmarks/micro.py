"""Runs the micro suites for each dispatcher: `python -m benchmarks.micro [--out FILE]`.

Time is the process's CPU time, so that what else the machine does is not in it. But what shares
the core with it (another guest's work on its other half) makes it slower by up to twice, for
seconds or minutes: of several runs the quickest median counts, for each benchmark by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.moebridge_bench.environment import environment

DISPATCHERS = ("cython", "cffi")


def _suites(dispatch: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, "-m", "pytest", "-q", str(Path(__file__).parent)]
        timer = "--benchmark-timer=time.process_time"
        options = [timer, "--benchmark-columns=median,min", f"--benchmark-json={out}"]
        subprocess.run(
            [*command, *options], check=True, env={**os.environ, "MOEBRIDGE_DISPATCH": dispatch}
        )
        found = json.loads(out.read_text())
    return {
        f"{Path(item['fullname'].partition('::')[0]).stem}::{item['name']}": {
            "ns": item["extra_info"]["ns_per_operation"],
            "ns_min": item["extra_info"]["ns_per_operation_min"],
        }
        for item in found["benchmarks"]
    }


def _quickest(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: min((run[name] for run in runs), key=lambda one: one["ns"]) for name in runs[0]}


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="default: 3")
    given = parser.parse_args()
    results = {
        "what": "ns of CPU for one operation: median of 40 rounds, and the least; "
        f"the quickest of {given.runs} runs",
        "environment": environment("python -m benchmarks.micro"),
        "suites": {
            dispatch: _quickest([_suites(dispatch) for _ in range(given.runs)])
            for dispatch in DISPATCHERS
        },
    }
    if given.out:
        given.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
