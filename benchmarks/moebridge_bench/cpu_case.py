"""A load, and the CPU time that each proxy takes for it.

All rows of a case are up in one run and are measured in interleaved rounds. The figure is CPU time
(user and system) of the proxy's processes for each request answered, in microseconds; rounds go
through the rows in an order that changes, so that whatever else the machine does falls on all of
them. A row's ratio is taken within each round.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .check import check, url_of
from .cpu import Pinned, cpu_ns, tree
from .figures import figure
from .load import LoadError, run_h2load, run_wrk, warm_up
from .measure import Options, Result, Say, make_row
from .nginx import start_upstream
from .peer import PeerError, Process, Protocol, Setup, Tools, new_folder
from .peers import PEERS
from .secure import make_certificate

__all__ = ["BASE", "CpuCase"]

#: The row that the others are divided by.
BASE = "nginx"
#: h2load counts better than it keeps time.
_H2_REQUESTS_PER_S = 20_000
_QUICK_ROUNDS = 2
#: Requests on each connection before a quick measurement.
_WARM_UP = 20
_SLOW_WARM_UP = 1
#: A slow proxy is measured in fewer rounds, each so many times as long.
_SLOW_ROUNDS = 3
_SLOW_TIMES = 3


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
        seconds: of one measurement.
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
    seconds: int = 1
    quick: bool = False

    def run(self, say: Say, options: Options) -> Result:
        """Measures all rows that are installed."""
        rounds = options.rounds or (_QUICK_ROUNDS if options.quick else self.rounds)
        with ExitStack() as stack:
            run = _Run(self, options, say)
            run.start(stack)
            run.warm_up()
            for number in range(rounds):
                run.round(number, rounds)
        base = run.samples[BASE].cpu_us
        return {
            "title": self.title,
            "unit": "us of CPU a request",
            "load": run.load,
            "rounds": rounds,
            "base": BASE,
            "rows": {
                name: make_row(
                    PEERS[name].title,
                    run.samples[name].cpu_us,
                    base=base,
                    more={
                        "requests_per_s": round(figure(run.samples[name].per_s)["median"]),
                        "busy": round(figure(run.samples[name].busy)["median"], 3),
                    },
                )
                for name in run.processes
            },
            "missing": run.missing,
        }


class _Run:
    """One case with its proxies up.

    Attributes:
        processes: those that are measured, by their rows.
        samples: of each row, in the order of the rounds.
        missing: rows that are not measured, and why.
        load: the load generator's command.
    """

    def __init__(self, case: CpuCase, options: Options, say: Say) -> None:
        self._case = case
        self._options = options
        self._say = say
        self._chance = random.Random(1)
        self.processes: dict[str, Process] = {}
        self.samples: dict[str, _Samples] = {}
        self.missing: dict[str, str] = {}
        self.load = ""

    def start(self, stack: ExitStack) -> None:
        """Starts and checks the proxies, which go with the stack."""
        case, tools = self._case, Tools(self._options.peers)
        pinned = Pinned()
        stack.callback(pinned.unpin_self)
        pinned.pin_self()
        upstream = stack.enter_context(start_upstream(case.body_bytes)).address
        certificate = None
        if case.protocol == "tls":
            certificate = make_certificate(Path(stack.enter_context(new_folder())))
        setup = Setup(
            upstream=upstream,
            connections=case.connections * case.streams,
            protocol=case.protocol,
            certificate=certificate,
            tools=tools,
        )
        for name in case.rows:
            if self._options.rows and name not in (BASE, *self._options.rows):
                continue
            self._say(f"{case.name}: starting {name}")
            peer = PEERS[name]
            if why := peer.missing(tools):
                self._leave_out(name, PeerError(why))
                continue
            try:
                process = stack.enter_context(peer.start(setup))
            except PeerError as error:
                self._leave_out(name, error)
                continue
            pinned.pin_proxy(process.pid)
            check(peer, process.address, upstream, case.protocol)
            self.processes[name] = process
            self.samples[name] = _Samples()

    def warm_up(self) -> None:
        """A proxy opens its pool, warms its caches."""
        for name in list(self.processes):
            if self._options.quick:
                url = url_of(self.processes[name].address, self._case.protocol)
                each = _SLOW_WARM_UP if PEERS[name].slow else _WARM_UP
                h2 = self._case.protocol == "h2"
                warm_up(url, self._case.connections, each=each, h2=h2)
            else:
                self._measure(name, _Samples(), 1)

    def round(self, number: int, rounds: int) -> None:
        """Measures each row once, those that are slow in the first rounds only, but longer."""
        slow = {name for name in self.processes if PEERS[name].slow}
        slow_rounds = 1 if self._options.quick else _SLOW_ROUNDS
        order = [name for name in self.processes if name not in slow or number < slow_rounds]
        shown = list(order)
        self._chance.shuffle(order)
        for name in order:
            seconds = self._options.seconds or self._case.seconds
            times = _SLOW_TIMES if name in slow else 1
            load = self._measure(name, self.samples[name], seconds * times)
            self.load = load if name not in slow else self.load
        now = "  ".join(
            f"{name} {self.samples[name].cpu_us[-1]:.2f}"
            for name in shown
            if name in self.processes
        )
        self._say(f"{self._case.name} {number + 1}/{rounds}: {now} us")

    def _leave_out(self, name: str, error: Exception) -> None:
        """Names a row that cannot be measured here, unless the comparison is nothing without it."""
        if PEERS[name].required:
            raise error
        self.missing[name] = str(error)
        self.processes.pop(name, None)
        self._say(f"{self._case.name}: {name} is not measured: {error}")

    def _measure(self, name: str, samples: _Samples, duration_s: int) -> str:
        """Adds a sample; returns the load generator's command."""
        case, process = self._case, self.processes[name]
        pids = tree(process.pid)
        began, cpu_began = time.monotonic(), cpu_ns(pids)
        url = url_of(process.address, case.protocol)
        try:
            if case.protocol == "h2":
                requests, load = run_h2load(
                    url,
                    connections=case.connections,
                    streams=case.streams,
                    requests=_H2_REQUESTS_PER_S * duration_s,
                )
            else:
                requests, load = run_wrk(
                    url, connections=case.connections, duration_s=duration_s, script=case.script
                )
        except LoadError as error:
            self._leave_out(name, error)
            return self.load
        cpu, wall_s = cpu_ns(pids) - cpu_began, time.monotonic() - began
        samples.cpu_us.append(round(cpu / 1000 / requests, 4))
        samples.per_s.append(requests / wall_s)
        samples.busy.append(cpu / 1e9 / wall_s)
        return load
