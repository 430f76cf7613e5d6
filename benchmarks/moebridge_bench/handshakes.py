"""What a full TLS 1.3 handshake costs: connections one after the other that do nothing else.

The client is `openssl s_time -new`, which offers no session (wrk does, from the second connection
on); a test counts at a server that would resume. Certificates are ECDSA P-256, and each proxy
gives session tickets as it does by default.
"""

from __future__ import annotations

import random
import re
import subprocess
from dataclasses import dataclass

from .cpu import cpu_ns, tree
from .cpu_case import BASE
from .load import LoadError
from .measure import Options, Result, Say, make_row
from .peers import PEERS
from .standing import stand

__all__ = ["Handshakes", "run_handshakes"]

_ROWS = (BASE, "haproxy", "envoy", "moebridge")
_CONNECTIONS = re.compile(r"(\d+) connections in \d+ real seconds")


def run_handshakes(address: str, *, duration_s: int) -> tuple[int, str]:
    """Connects to a server again and again.

    Returns:
        Full handshakes, and the command.

    Raises:
        LoadError: none was completed.
    """
    shown = f"openssl s_time -new -tls1_3 -time {duration_s}"
    command = [*shown.split(), "-connect", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = _CONNECTIONS.search(done.stdout)
    if done.returncode or found is None or int(found[1]) == 0:
        raise LoadError(f"{address}: {done.stderr or done.stdout}")
    return int(found[1]), shown


@dataclass(frozen=True, kw_only=True)
class Handshakes:
    """A `measure.Measure`."""

    name: str = "handshakes"
    title: str = "TLS 1.3: full handshakes"
    rounds: int = 9
    quick: bool = False

    def run(self, say: Say, options: Options) -> Result:
        """Measures all rows that are installed."""
        rounds, seconds = options.rounds or self.rounds, options.seconds or 1
        with stand(
            _ROWS, say, options, name=self.name, base=BASE, connections=64, protocol="tls"
        ) as standing:
            samples: dict[str, list[float]] = {row: [] for row in standing.processes}
            chance, load = random.Random(1), ""
            for number in range(rounds):
                for row in chance.sample(list(samples), len(samples)):
                    process = standing.processes[row]
                    pids = tree(process.pid)
                    began_ns = cpu_ns(pids)
                    count, load = run_handshakes(process.address, duration_s=seconds)
                    samples[row].append(round((cpu_ns(pids) - began_ns) / 1000 / count, 2))
                now = "  ".join(f"{row} {found[-1]:.0f}" for row, found in samples.items())
                say(f"{self.name} {number + 1}/{rounds}: {now} us")
        return {
            "title": self.title,
            "unit": "us of CPU a handshake",
            "load": load,
            "rounds": rounds,
            "base": BASE,
            "rows": {
                row: make_row(
                    PEERS[row].title,
                    found,
                    base=samples[BASE],
                    more={"per_cpu_s": round(1e6 / sorted(found)[len(found) // 2])},
                )
                for row, found in samples.items()
            },
            "missing": standing.missing,
        }
