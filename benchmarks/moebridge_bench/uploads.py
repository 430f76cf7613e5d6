"""Uploads of 10 MiB: CPU time of each, and what a process grows by while they pass.

nginx takes a request in whole before it asks the upstream, as by default; the others pass it on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .cpu_case import BASE, CpuCase
from .load import run_wrk
from .measure import Options, Result, Say, make_row
from .memory import Memory
from .peers import PEERS
from .standing import stand

__all__ = ["MEASURES", "UPLOAD", "UploadMemory"]

_ROWS = (BASE, "haproxy", "moebridge", "moebridge+look", "moebridge+count")
#: The script for wrk.
UPLOAD = Path(__file__).with_name("upload.lua")
_CONNECTIONS = 8


@dataclass(frozen=True, kw_only=True)
class UploadMemory:
    """A `measure.Measure`: peak of the memory in RAM, less what it was before the first upload.

    Attributes:
        rounds: loads, one after the other; the processes are the same ones.
    """

    name: str = "upload-memory"
    title: str = "growth by uploads of 10 MiB, 8 connections"
    rounds: int = 3
    seconds: int = 2
    quick: bool = False

    def run(self, say: Say, options: Options) -> Result:
        """Measures all rows that are installed."""
        rounds, load = options.rounds or self.rounds, ""
        with stand(
            _ROWS, say, options, name=self.name, base=BASE, connections=_CONNECTIONS
        ) as standing:
            samples: dict[str, list[float]] = {row: [] for row in standing.processes}
            before = {row: Memory(one.pid) for row, one in standing.processes.items()}
            for number in range(rounds):
                for row, process in standing.processes.items():
                    _, load = run_wrk(
                        f"http://{process.address}/",
                        connections=_CONNECTIONS,
                        duration_s=options.seconds or self.seconds,
                        script=UPLOAD,
                    )
                    samples[row].append(round(before[row].peak_growth_bytes() / 2**20, 2))
                now = "  ".join(f"{row} {found[-1]:.1f}" for row, found in samples.items())
                say(f"{self.name} {number + 1}/{rounds}: {now} MiB")
        return {
            "title": self.title,
            "unit": "MiB",
            "load": load,
            "rounds": rounds,
            "base": None,
            "rows": {row: make_row(PEERS[row].title, samples[row]) for row in samples},
            "missing": standing.missing,
        }


#: CPU time, then memory.
MEASURES = (
    CpuCase(
        name="uploads",
        title="10 MiB uploads, 8 connections",
        rows=_ROWS,
        connections=_CONNECTIONS,
        script=UPLOAD,
        rounds=7,
        seconds=4,
    ),
    UploadMemory(),
)
