"""Command line of the comparison."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.cases import BASE, CASES
from benchmarks.peers.compare import compare, environment
from benchmarks.peers.peers import MISSING, SETTINGS


def _table(case: Any) -> str:
    lines = [f"\n{case['title']}  (CPU of the proxy per request; {case['load']})"]
    for name, row in case["rows"].items():
        us, ratio = row["cpu_us"], row["ratio"]
        lines.append(
            f"  {name:20} {us['median']:9.2f} us  [{us['low']:.2f} .. {us['high']:.2f}]"
            f"  {ratio['median']:5.2f} of {BASE}  [{ratio['low']:.2f} .. {ratio['high']:.2f}]"
            f"  {row['requests_per_s']:7d}/s  busy {row['busy']:.2f}"
        )
    return "\n".join(lines)


def main() -> int:
    """Parses the command line, measures, prints, writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds, small answers only")
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES])
    parser.add_argument("--rounds", type=int, help="of each case; default: as the case says")
    parser.add_argument("--seconds", type=int, default=1, help="of each measurement (1)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args()
    if missing := MISSING():
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 1
    names = given.case or (["small"] if given.quick else [case.name for case in CASES])
    wanted = ["--quick"] if given.quick else []
    wanted += [word for name in given.case or () for word in ("--case", name)]
    command = " ".join(["python -m benchmarks.peers", *wanted])
    results: dict[str, Any] = {
        "what": "CPU microseconds of the proxy per request: medians with 95 % intervals",
        "environment": environment(command),
        "settings": SETTINGS,
        "cases": {},
    }
    for case in CASES:
        if case.name in names:
            measured = compare(
                case,
                duration_s=given.seconds,
                rounds=given.rounds or (3 if given.quick else case.rounds),
                say=lambda line: print(line, file=sys.stderr, flush=True),
            )
            results["cases"][case.name] = measured
            print(_table(measured), flush=True)
    if given.out:
        given.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
