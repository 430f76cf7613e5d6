"""Runs the micro suites once for each dispatcher: `python -m benchmarks.micro [--out FILE]`.

Time is the process's CPU time, so that what else the machine does is not in it.
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


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args()
    results = {
        "what": "ns of CPU for one operation: median of 40 rounds, and the least",
        "environment": environment("python -m benchmarks.micro"),
        "suites": {dispatch: _suites(dispatch) for dispatch in DISPATCHERS},
    }
    if given.out:
        given.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
