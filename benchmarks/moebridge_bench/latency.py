"""How long answers take when all proxies get the same number of requests a second.

The rate is a share of nginx's peak on this machine, which is measured first by the same load
generator. Each of many connections sends at its own even pace; they begin one after the other
within the time between two requests of one, so that requests come spread and not in bursts.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .cpu_case import BASE
from .load import LoadError
from .measure import Options, Result, Say, make_row
from .peer import new_folder
from .peers import PEERS
from .standing import stand

__all__ = ["MEASURES", "Latency", "percentile", "response_times_us", "run_at_rate"]

_ROWS = (BASE, "haproxy", "envoy", "moebridge", "moebridge+python")
_CONNECTIONS = 400
_OF_PEAK = 0.6
#: Connections are new, caches are cold: what was sent in the first part is not counted.
_WARM_PART = 0.25
_FINISHED = re.compile(r"finished in \S+, ([0-9.]+) req/s")


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the least value that so large a share of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def response_times_us(log: str) -> list[int]:
    """Reads h2load's log: begin, status and microseconds of each request, separated by tabs.

    Returns:
        The microseconds of those that began after the warm part, in the order of their ends.

    Raises:
        LoadError: a status that is not 2xx, or an empty log.
    """
    rows = [[int(word) for word in line.split("\t")[:3]] for line in log.splitlines()]
    if wrong := [status for _, status, _ in rows if not 200 <= status < 300]:
        raise LoadError(f"h2load: {len(wrong)} of {len(rows)} answers have a status as {wrong[0]}")
    if not rows:
        raise LoadError("h2load: no answer")
    first, last = min(row[0] for row in rows), max(row[0] for row in rows)
    begin = first + (last - first) * _WARM_PART
    return [took for began, _, took in rows if began >= begin]


def _h2load(url: str, *arguments: str) -> str:
    command = ["h2load", "--h1", "-t1", *arguments, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(f"{url}: {done.stdout}{done.stderr}")
    return done.stdout


def _peak_per_s(url: str, requests: int) -> float:
    """Requests a second when each connection sends as soon as it has an answer."""
    found = _FINISHED.search(_h2load(url, f"-c{_CONNECTIONS}", f"-n{requests}"))
    if found is None:
        raise LoadError(f"{url}: h2load says no rate")
    return float(found[1])


def run_at_rate(
    url: str, *, per_s: float, duration_s: float, connections: int = _CONNECTIONS
) -> tuple[list[int], str]:
    """Loads a server with so many requests a second.

    Returns:
        Response times in microseconds, and the command without paths.

    Raises:
        LoadError: an answer is missing or not 2xx.
    """
    ramp_per_ms = max(1, round(per_s / 1000))
    requests = max(connections, round(per_s * duration_s))
    arguments = [f"-c{connections}", f"-n{requests}", f"--rps={per_s / connections:.3f}"]
    arguments += [f"-r{ramp_per_ms}", "--rate-period=1ms"]
    with new_folder() as folder:
        log = Path(folder, "log")
        _h2load(url, *arguments, f"--log-file={log}")
        times_us = response_times_us(log.read_text())
    return times_us, " ".join(["h2load --h1 -t1", *arguments])


@dataclass(frozen=True, kw_only=True)
class Latency:
    """One percentile: a `measure.Measure`.

    Attributes:
        name: its key in the results.
        share: of the answers that took at most what is the figure.
        seconds: of one measurement.
        rounds: how many times each row is measured.
    """

    name: str
    share: float
    seconds: int = 3
    rounds: int = 9
    quick: bool = False

    @property
    def title(self) -> str:
        """What a reader is told."""
        return f"response time, p{self.share * 100:g}, at {_OF_PEAK:.0%} of nginx's peak rate"

    def run(self, say: Say, options: Options) -> Result:
        """Measures nginx's peak, then all rows at the same rate."""
        rounds, seconds = options.rounds or self.rounds, options.seconds or self.seconds
        with stand(
            _ROWS, say, options, name=self.name, base=BASE, connections=_CONNECTIONS
        ) as standing:
            urls = {row: f"http://{one.address}/" for row, one in standing.processes.items()}
            peaks = [_peak_per_s(urls[BASE], 10_000 * seconds) for _ in range(3)]
            per_s = sorted(peaks)[1] * _OF_PEAK
            say(f"{self.name}: {per_s:.0f} requests a second")
            samples: dict[str, list[float]] = {row: [] for row in urls}
            chance, load = random.Random(1), ""
            for number in range(-1, rounds):  # the first one warms up
                for row in chance.sample(list(urls), len(urls)):
                    times_us, load = run_at_rate(urls[row], per_s=per_s, duration_s=seconds)
                    if number >= 0:
                        samples[row].append(percentile(times_us, self.share))
                if number >= 0:
                    now = "  ".join(f"{row} {samples[row][-1]:.0f}" for row in urls)
                    say(f"{self.name} {number + 1}/{rounds}: {now} us")
        return {
            "title": self.title,
            "unit": "us from request to answer",
            "load": load,
            "rounds": rounds,
            "base": BASE,
            "rows": {
                row: make_row(PEERS[row].title, samples[row], base=samples[BASE]) for row in urls
            },
            "missing": standing.missing,
        }


#: Both percentiles.
MEASURES = (Latency(name="latency", share=0.5), Latency(name="latency-p99", share=0.99))
