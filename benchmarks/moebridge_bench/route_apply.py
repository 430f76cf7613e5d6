"""How long a configuration of many routes takes to be read, checked and applied, in a new process.

The clock starts after `import moebridge`, with the file on disk, and stops when all listeners
accept. Compiled modules are in a cache, as in startup.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .measure import Options, Result, Say, make_row
from .peer import PeerError, new_folder
from .route_rows import CONFIGURATIONS
from .startup import compiled_in

__all__ = ["RouteApply"]

_APPLY = """
import sys, time
import moebridge
began = time.perf_counter()
proxy = moebridge.Proxy.from_config(sys.argv[1])
read = time.perf_counter()
proxy.start()
print((read - began) * 1000, (time.perf_counter() - began) * 1000)
proxy.stop()
"""
#: Nobody is asked in this measure.
_UPSTREAM = "127.0.0.1:9"


def _apply_ms(file: Path) -> tuple[float, float]:
    command = [sys.executable, "-c", _APPLY, str(file)]
    env = {**os.environ, **compiled_in(str(file.parent))}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(f"{file.name}: {done.stderr}")
    read_ms, all_ms = done.stdout.split()
    return float(read_ms), float(all_ms)


@dataclass(frozen=True, kw_only=True)
class RouteApply:
    """A `measure.Measure`: wall time; `read_ms` of it is for reading and checking the file."""

    name: str = "route-apply"
    title: str = "a configuration from its file to listeners that accept, cold"
    rounds: int = 7
    quick: bool = False

    def run(self, say: Say, options: Options) -> Result:
        """Measures all configurations."""
        rounds = options.rounds or self.rounds
        samples: dict[str, list[tuple[float, float]]] = {row: [] for row in CONFIGURATIONS}
        with new_folder() as folder:
            for row, (_, make) in CONFIGURATIONS.items():
                Path(folder, f"{row}.json").write_text(json.dumps(make(0, _UPSTREAM)))
            _apply_ms(Path(folder, "moebridge+route.json"))  # fills the cache
            for number in range(rounds):
                for row, found in samples.items():
                    found.append(_apply_ms(Path(folder, f"{row}.json")))
                now = "  ".join(f"{row} {found[-1][1]:.0f}" for row, found in samples.items())
                say(f"{self.name} {number + 1}/{rounds}: {now} ms")
        return {
            "title": self.title,
            "unit": "ms",
            "load": "Proxy.from_config, start",
            "rounds": rounds,
            "base": None,
            "rows": {
                row: make_row(
                    CONFIGURATIONS[row][0],
                    [round(whole, 1) for _, whole in found],
                    more={"read_ms": round(sorted(read for read, _ in found)[len(found) // 2], 1)},
                )
                for row, found in samples.items()
            },
            "missing": {},
        }
