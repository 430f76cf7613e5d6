"""A load, and the CPU time that each proxy takes for it.

All rows of a case are up in one run and are measured in interleaved rounds. The figure is CPU time
(user and system) of the proxy's processes for each request answered, in microseconds; rounds go
through the rows in an order that changes, so that whatever else the machine does falls on all of
them. A row's ratio is taken within each round.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .cpu import Pinned, cpu_ns, tree
from .figures import figure
from .load import run_h2load, run_wrk, warm_up
from .measure import Options, Result, Say, make_row
from .nginx import start_upstream
from .peer import Peer, Process, Protocol, Setup, Tools, new_folder
from .peers import PEERS
from .secure import make_certificate

__all__ = ["BASE", "CpuCase"]

#: The row that the others are divided by.
BASE = "nginx"
#: h2load counts better than it keeps time.
_H2_REQUESTS_PER_S = 20_000
_QUICK_ROUNDS = 2


@dataclass
class _Samples:
    cpu_us: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class CpuCase:
    """One load: a `measure.Measure`.

    Attributes:
        name: its key in the results.
        title: what a reader is told.
        rows: names in `peers.PEERS`; BASE is among them.
        protocol: "h1", "h2" (prior knowledge) or "tls" (TLS 1.3, HTTP/1.1).
        connections: keep-alive connections, each with `streams` requests at a time.
        streams: more than 1 only for "h2".
        body_bytes: of each answer.
        script: wrk's, for requests other than `GET /`.
        rounds: how many times each row is measured.
        quick: part of --quick.
    """

    name: str
    title: str
    rows: tuple[str, ...]
    protocol: Protocol = "h1"
    connections: int = 32
    streams: int = 1
    body_bytes: int = 64
    script: Path | None = None
    rounds: int = 15
    quick: bool = False

    def run(self, say: Say, options: Options) -> Result:
        """Measures all rows that are installed."""
        tools = Tools(options.peers)
        missing = {name: PEERS[name].missing(tools) for name in self.rows}
        absent = {name: why for name, why in missing.items() if why is not None}
        for name, why in absent.items():
            say(f"{self.name}: {name} is not measured: {why}")
        peers = [PEERS[name] for name in self.rows if name not in absent]
        rounds = options.rounds or (_QUICK_ROUNDS if options.quick else self.rounds)
        samples = {peer.name: _Samples() for peer in peers}
        with ExitStack() as stack:
            processes = _start(self, peers, tools, stack, say)
            load = _rounds(self, peers, processes, samples, rounds, say, options)
        base = samples[BASE].cpu_us
        return {
            "title": self.title,
            "unit": "us of CPU a request",
            "load": load,
            "rounds": rounds,
            "base": BASE,
            "rows": {
                peer.name: make_row(
                    peer.title,
                    [round(one, 4) for one in samples[peer.name].cpu_us],
                    base=base,
                    more={
                        "requests_per_s": round(figure(samples[peer.name].per_s)["median"]),
                        "busy": round(figure(samples[peer.name].busy)["median"], 3),
                    },
                )
                for peer in peers
            },
            "missing": absent,
        }


def _start(
    case: CpuCase, peers: list[Peer], tools: Tools, stack: ExitStack, say: Say
) -> dict[str, Process]:
    """Starts and checks the proxies of a case."""
    pinned = Pinned()
    stack.callback(pinned.unpin_self)
    pinned.pin_self()
    upstream = stack.enter_context(start_upstream(case.body_bytes))
    certificate = None
    if case.protocol == "tls":
        certificate = make_certificate(Path(stack.enter_context(new_folder())))
    setup = Setup(
        upstream=upstream.address,
        connections=case.connections * case.streams,
        protocol=case.protocol,
        certificate=certificate,
        tools=tools,
    )
    say(f"{case.name}: starting {', '.join(peer.name for peer in peers)}")
    processes = {}
    for peer in peers:
        process = processes[peer.name] = stack.enter_context(peer.start(setup))
        pinned.pin_proxy(process.pid)
        _check(peer, process.address, upstream.address, case.protocol)
    return processes


def _rounds(
    case: CpuCase,
    peers: list[Peer],
    processes: Mapping[str, Process],
    samples: Mapping[str, _Samples],
    rounds: int,
    say: Say,
    options: Options,
) -> str:
    """Fills the samples; returns the load generator's command."""
    command = ""
    for peer in peers:  # opens its pool, warms its caches
        if options.quick:
            warm_up(_url(processes[peer.name].address, case.protocol), case.connections)
        else:
            _measure(processes[peer.name], case, 1, _Samples())
    chance = random.Random(1)
    for number in range(rounds):
        order = [peer for peer in peers if number < (peer.most_rounds or rounds)]
        chance.shuffle(order)
        for peer in order:
            process = processes[peer.name]
            command = _measure(process, case, options.seconds, samples[peer.name])
        now = "  ".join(
            f"{peer.name} {samples[peer.name].cpu_us[-1]:.2f}" for peer in peers if peer in order
        )
        say(f"{case.name} {number + 1}/{rounds}: {now} us")
    return command


def _url(address: str, protocol: Protocol) -> str:
    return f"{'https' if protocol == 'tls' else 'http'}://{address}/"


def _answer(address: str, protocol: Protocol) -> tuple[int, bytes, dict[str, str]]:
    """What curl gets of /check: status, body, headers."""
    how = ["--http2-prior-knowledge"] if protocol == "h2" else ["--http1.1", "--insecure"]
    command = ["curl", "-sS", "-i", "--max-time", "10", *how, f"{_url(address, protocol)}check"]
    head, _, body = subprocess.run(command, capture_output=True, check=True).stdout.partition(
        b"\r\n\r\n"
    )
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), body, headers


def _check(peer: Peer, address: str, upstream: str, protocol: Protocol) -> None:
    """All rows give the upstream's answer, and those with a header filter did what it says."""
    expected = _answer(upstream, "h1")
    found = _answer(address, protocol)
    if found[:2] != expected[:2]:
        raise RuntimeError(
            f"{peer.name}: answers {found[0]}, {len(found[1])} bytes; not the upstream's"
        )
    set_ = (found[2].get("x-saw"), found[2].get("x-bench-response"))
    if set_ != (("set", "set") if peer.sets_headers else (None, None)):
        raise RuntimeError(f"{peer.name}: its headers are {set_}")


def _measure(process: Process, case: CpuCase, duration_s: float, samples: _Samples) -> str:
    pids = tree(process.pid)
    began, cpu_began = time.monotonic(), cpu_ns(pids)
    url = _url(process.address, case.protocol)
    if case.protocol == "h2":
        requests, command = run_h2load(
            url,
            connections=case.connections,
            streams=case.streams,
            requests=int(_H2_REQUESTS_PER_S * duration_s),
        )
    else:
        requests, command = run_wrk(
            url, connections=case.connections, duration_s=duration_s, script=case.script
        )
    cpu, wall_s = cpu_ns(pids) - cpu_began, time.monotonic() - began
    samples.cpu_us.append(cpu / 1000 / requests)
    samples.per_s.append(requests / wall_s)
    samples.busy.append(cpu / 1e9 / wall_s)
    return command
