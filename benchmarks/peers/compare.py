"""Runs the comparison: all rows of a case in one run, in interleaved rounds.

The figure is CPU time (user and system) of the proxy's processes for each request answered, in
microseconds; rounds go through the rows in an order that changes, so that whatever else the
machine does falls on all of them. A row's ratio is taken within each round.
"""

from __future__ import annotations

import datetime
import http.client
import os
import platform
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers import peers
from benchmarks.peers.cases import BASE, Case
from benchmarks.peers.cpu import Pinned, cpu_ns, model_name, tree
from benchmarks.peers.figures import figure
from benchmarks.peers.load import run_wrk

__all__ = ["compare", "environment"]

_FILTERED = ("nginx+headers", "moebridge+c", "moebridge+python", "moebridge+python10")


@dataclass
class _Row:
    cpu_us: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


def environment(command: str) -> dict[str, Any]:
    """What the figures depend on, beside the code."""
    root = Path(__file__).resolve().parents[2]

    def output(*words: str) -> str:
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip()

    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "commit": output("git", "rev-parse", "--short=12", "HEAD"),
        "changed_files": len(
            output("git", "status", "--short", "--", "native", "bridge").splitlines()
        ),
        "cpu": model_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}",
        "dispatch": os.environ.get("MOEBRIDGE_DISPATCH") or "cython",
        "nginx": output("nginx", "-v").partition("/")[2].split()[0],
        "wrk": output("wrk", "-v").split(" [")[0].removeprefix("wrk "),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "command": command,
    }


def _answer(address: str, path: str) -> tuple[int, bytes, dict[str, str]]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, response.read(), headers
    finally:
        connection.close()


def _check(row: str, address: str, upstream: str) -> None:
    """All rows give the upstream's answer, and those with a header filter did what it says."""
    expected = _answer(upstream, "/check")
    found = _answer(address, "/check")
    if found[:2] != expected[:2]:
        raise RuntimeError(f"{row}: answers {found[0]}, {len(found[1])} bytes; not the upstream's")
    set_ = (found[2].get("x-saw"), found[2].get("x-bench-response"))
    if set_ != (("set", "set") if row in _FILTERED else (None, None)):
        raise RuntimeError(f"{row}: its headers are {set_}")


def _measure(process: peers.Process, case: Case, duration_s: float, row: _Row) -> str:
    pids = tree(process.pid)
    began, cpu_began = time.monotonic(), cpu_ns(pids)
    requests, command = run_wrk(
        f"http://{process.address}/",
        connections=case.connections,
        duration_s=duration_s,
        script=case.script,
    )
    cpu, wall_s = cpu_ns(pids) - cpu_began, time.monotonic() - began
    row.cpu_us.append(cpu / 1000 / requests)
    row.per_s.append(requests / wall_s)
    row.busy.append(cpu / 1e9 / wall_s)
    return command


def compare(case: Case, *, duration_s: float, rounds: int, say: Callable[[str], None]) -> Any:
    """Measures one case.

    Args:
        case: what is measured.
        duration_s: of each measurement, whole seconds.
        rounds: how many measurements of each row.
        say: gets a line of progress.

    Returns:
        The case's part of the results.
    """
    pinned = Pinned()
    pinned.pin_self()
    rows = {name: _Row() for name in case.rows}
    order = list(case.rows)
    chance = random.Random(1)
    command = ""
    with ExitStack() as stack:
        upstream = stack.enter_context(peers.Upstream(case.body_bytes))
        processes = {}
        for name in case.rows:
            processes[name] = stack.enter_context(
                peers.start_peer(name, upstream.address, connections=case.connections)
            )
            pinned.pin_proxy(processes[name].pid)
            _check(name, processes[name].address, upstream.address)
            _measure(processes[name], case, 1, _Row())  # opens its pool, warms its caches
        for number in range(rounds):
            chance.shuffle(order)
            for name in order:
                command = _measure(processes[name], case, duration_s, rows[name])
            now = "  ".join(f"{name} {rows[name].cpu_us[-1]:.2f}" for name in case.rows)
            say(f"{case.name} {number + 1}/{rounds}: {now} us")
    base = rows[BASE].cpu_us
    return {
        "title": case.title,
        "load": command,
        "rounds": rounds,
        "rows": {
            name: {
                "cpu_us": figure(row.cpu_us),
                "ratio": figure([a / b for a, b in zip(row.cpu_us, base, strict=True)]),
                "requests_per_s": round(figure(row.per_s)["median"]),
                "busy": round(figure(row.busy)["median"], 3),
            }
            for name, row in rows.items()
        },
    }
