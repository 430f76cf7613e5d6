"""Counts the instructions of the hot path with callgrind: `python -m benchmarks.instructions`.

A figure that does not depend on the machine's speed or on what else it does. Counted is one turn
of the core's loop with many operations (stage.py), after another one that warmed it up; sockets,
pools and the router are not in it. Unit: instructions an operation.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.moebridge_bench.compiled import compile_filters, load_compiled

_TIMES = 1000
_FILTERS = Path(__file__).with_name("filters.py")
_COLLECTED = re.compile(r"Collected : (\d+)")
#: name -> kind of rehearsal, and the chain.
CASES = {
    "exchange": ("EXCHANGE", "none"),
    "exchange, browser's request": ("EXCHANGE", "browser"),
    "read a head": ("READ", "none"),
    "write a head": ("WRITE", "none"),
    "hook in C": ("HOOK", "c"),
    "hook in Python": ("HOOK", "noop"),
    "hook in Python, compiled with Cython": ("HOOK", "compiled noop"),
    "exchange, Python filter that sets two headers": ("EXCHANGE", "set"),
    "exchange, the same filter compiled with Cython": ("EXCHANGE", "compiled set"),
}


def _run(name: str, extension: Path | None) -> None:
    """What callgrind watches."""
    from benchmarks import filters, stage

    kind, chain = CASES[name]
    python: Any = filters if extension is None else load_compiled(extension)
    chains: dict[str, Callable[[], Any]] = {
        "none": list,
        "browser": list,
        "c": lambda: [stage.c_filter("noop")],
        "noop": lambda: [python.Noop()],
        "set": lambda: [python.SetBoth()],
    }
    chain = chain.removeprefix("compiled ")
    request = stage.BROWSER_REQUEST if chain == "browser" else stage.SMALL_REQUEST
    with stage.Stage(chains[chain](), request=request) as made:
        made.run(getattr(stage, kind), _TIMES // 5)
        made.run(getattr(stage, kind), _TIMES)


def count(name: str) -> int:
    """Returns the instructions of one operation of a case."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={out}",
            # The core's task: what is counted is its last call.
            "--toggle-collect=rehearse",
            "--zero-before=rehearse",
        ]
        module = [sys.executable, "-m", "benchmarks.instructions", "--run", name]
        if CASES[name][1].startswith("compiled "):
            module += ["--extension", str(compile_filters(_FILTERS, Path(folder)))]
        done = subprocess.run([*command, *module], capture_output=True, text=True, check=False)
    found = _COLLECTED.search(done.stderr)
    if done.returncode or found is None or int(found[1]) == 0:
        raise RuntimeError(done.stderr)
    return round(int(found[1]) / _TIMES)


def main() -> int:
    """Counts all cases and prints them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--run", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--extension", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        _run(given.run, given.extension)
        return 0
    counts = {name: count(name) for name in CASES}
    if given.json:
        print(json.dumps(counts, indent=1))
    else:
        for name, number in counts.items():
            print(f"{number:7d}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
