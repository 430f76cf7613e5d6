"""Runs the comparison: all rows of a case in one run, in interleaved rounds.

The figure is CPU time (user and system) of the proxy's processes for each request answered, in
microseconds; rounds go through the rows in an order that changes, so that whatever else the
machine does falls on all of them. A row's ratio is taken within each round.
"""

from __future__ import annotations

import datetime
import os
import platform
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers import peers
from benchmarks.peers.cases import BASE, Case, Protocol
from benchmarks.peers.cpu import Pinned, cpu_ns, model_name, tree
from benchmarks.peers.figures import figure
from benchmarks.peers.load import run_h2load, run_wrk
from benchmarks.peers.secure import Certificate, make_certificate

__all__ = ["compare", "environment"]

_FILTERED = ("nginx+headers", "moebridge+c", "moebridge+python", "moebridge+python10")


#: h2load counts better than it keeps time.
H2_REQUESTS_PER_S = 20_000


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
        "envoy": _envoy_version(output(peers.ENVOY, "--version")),
        "h2load": output("h2load", "--version").removeprefix("h2load "),
        "wrk": output("wrk", "-v").split(" [")[0].removeprefix("wrk "),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "command": command,
    }


def _envoy_version(said: str) -> str:
    """`<path>  version: <commit>/<version>/Clean/...`."""
    parts = said.rpartition("version: ")[2].split("/")
    return parts[1] if len(parts) > 1 else "none"


def _url(address: str, protocol: Protocol) -> str:
    return f"{'https' if protocol == 'tls' else 'http'}://{address}"


def _answer(address: str, protocol: Protocol) -> tuple[int, bytes, dict[str, str]]:
    """What curl gets of /check: status, body, headers."""
    how = ["--http2-prior-knowledge"] if protocol == "h2" else ["--http1.1", "--insecure"]
    command = ["curl", "-sS", "-i", "--max-time", "10", *how, f"{_url(address, protocol)}/check"]
    head, _, body = subprocess.run(command, capture_output=True, check=True).stdout.partition(
        b"\r\n\r\n"
    )
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), body, headers


def _check(row: str, address: str, upstream: str, protocol: Protocol) -> None:
    """All rows give the upstream's answer, and those with a header filter did what it says."""
    expected = _answer(upstream, "h1")
    found = _answer(address, protocol)
    if found[:2] != expected[:2]:
        raise RuntimeError(f"{row}: answers {found[0]}, {len(found[1])} bytes; not the upstream's")
    set_ = (found[2].get("x-saw"), found[2].get("x-bench-response"))
    if set_ != (("set", "set") if row in _FILTERED else (None, None)):
        raise RuntimeError(f"{row}: its headers are {set_}")


def _measure(process: peers.Process, case: Case, duration_s: float, row: _Row) -> str:
    pids = tree(process.pid)
    began, cpu_began = time.monotonic(), cpu_ns(pids)
    url = f"{_url(process.address, case.protocol)}/"
    if case.protocol == "h2":
        requests, command = run_h2load(
            url,
            connections=case.connections,
            streams=case.streams,
            requests=int(H2_REQUESTS_PER_S * duration_s),
        )
    else:
        requests, command = run_wrk(
            url, connections=case.connections, duration_s=duration_s, script=case.script
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
        certificate: Certificate | None = None
        if case.protocol == "tls":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moebridge-")))
            folder.chmod(0o755)
            certificate = make_certificate(folder)
        processes = {}
        for name in case.rows:
            processes[name] = stack.enter_context(
                peers.start_peer(
                    name,
                    upstream.address,
                    connections=case.connections * case.streams,
                    protocol=case.protocol,
                    certificate=certificate,
                )
            )
            pinned.pin_proxy(processes[name].pid)
            _check(name, processes[name].address, upstream.address, case.protocol)
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
