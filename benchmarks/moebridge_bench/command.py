"""What `moebridge bench` does; the bridge has its arguments and imports this when it is asked."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from moebridge import Error

from .chart import chart
from .environment import environment
from .load import LoadError
from .measure import Measure, Options, Result
from .measures import MEASURES
from .peer import PeerError, Tools
from .peers import PEERS, SETTINGS
from .targets import evaluate, line

__all__ = ["run"]

_LOADERS = ("nginx", "wrk", "h2load", "curl", "openssl")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _table(result: Result) -> str:
    """One result as lines for a terminal."""
    lines = [f"\n{result['title']}  ({result['unit']}; {result['load']})"]
    for name, row in result["rows"].items():
        figure = row["figure"]
        text = f"  {name:20} {figure['median']:9.2f}  [{figure['low']:.2f} .. {figure['high']:.2f}]"
        if ratio := row.get("ratio"):
            text += f"  {ratio['median']:5.2f} of {result['base']}"
            text += f"  [{ratio['low']:.2f} .. {ratio['high']:.2f}]"
        lines.append(text + "".join(f"  {key} {n:g}" for key, n in row.get("more", {}).items()))
    lines += [f"  {name:20} not measured: {why}" for name, why in result["missing"].items()]
    return "\n".join(lines)


def _chosen(names: Sequence[str], *, quick: bool) -> list[Measure]:
    known = [measure.name for measure in MEASURES]
    for name in names:
        if name not in known:
            raise Error(f"bench: there is no case {name}; there are {', '.join(known)}")
    if names:
        return [measure for measure in MEASURES if measure.name in names]
    return [measure for measure in MEASURES if measure.quick or not quick]


def _command(args: argparse.Namespace) -> str:
    """What a reader types to measure the same."""
    words = ["moebridge bench"]
    words += ["--quick"] if args.quick else []
    words += [word for name in args.cases for word in ("--case", name)]
    words += [word for name in args.rows for word in ("--row", name)]
    for option in ("rounds", "seconds"):
        if getattr(args, option) is not None:
            words += [f"--{option}", str(getattr(args, option))]
    return " ".join(words)


def run(args: argparse.Namespace) -> int:
    """Measures, prints, writes.

    Args:
        args: as `moebridge.cli` parsed them.

    Returns:
        The exit status: 1 if something that is needed is not there or a load failed.
    """
    chosen = _chosen(args.cases, quick=args.quick)
    for name in args.rows:
        if name not in PEERS:
            raise Error(f"bench: there is no row {name}; there are {', '.join(PEERS)}")
    if args.list:
        print("\n".join(f"{measure.name:14} {measure.title}" for measure in chosen))
        return 0
    tools = Tools(args.peers_venv)
    if absent := [name for name in _LOADERS if tools.find(name) is None]:
        _say(f"moebridge bench: needs {', '.join(absent)}: not installed")
        return 1
    options = Options(
        rounds=args.rounds,
        seconds=args.seconds,
        quick=args.quick,
        rows=tuple(args.rows),
        peers=args.peers_venv,
    )
    results: dict[str, Any] = {
        "what": "medians with 95 % intervals",
        "environment": environment(_command(args), tools),
        "settings": SETTINGS,
        "cases": {},
        "targets": [],
    }
    # The proxies go with this process, also where it is told to go.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        for measure in chosen:
            results["cases"][measure.name] = result = measure.run(_say, options)
            print(_table(result), flush=True)
            verdicts = evaluate(results["cases"])
            for verdict in verdicts:
                if verdict["case"] == measure.name:
                    print(line(verdict), flush=True)
            results["targets"] = verdicts
    except (LoadError, PeerError) as error:
        _say(f"moebridge bench: {error}")
        return 1
    if args.out:
        args.out.write_text(json.dumps(results, indent=1) + "\n")
    if args.chart:
        args.chart.write_text(chart(results["cases"]))
    return 0
