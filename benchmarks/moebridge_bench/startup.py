"""How long it takes to import moebridge, and to the first answer of `moebridge run`.

Wall time of a process that is started anew each time, by a clock that starts with it. Compiled
modules are in a cache of this run's own, which the first start fills and which is not counted.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from .measure import Options, Result, Say, make_row
from .nginx import start_upstream
from .peer import PeerError, Process, free_port, new_folder

__all__ = ["Startup", "compiled_in"]

_FIRST_ANSWER_S = 10.0
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def compiled_in(cache: str) -> dict[str, str]:
    """Returns an environment whose interpreters keep what they compile in that folder."""
    return {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}


def _python_ms(code: str, env: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **env}, check=True)
    return (time.perf_counter() - began) * 1000


def _answers(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(_REQUEST)
        return client.recv(65536).startswith(b"HTTP/1.1 200 ")
    return False


def _first_answer_ms(upstream: str, env: Mapping[str, str]) -> float:
    port = free_port()
    command = [sys.executable, "-m", "moebridge", "run", "--listen", f"127.0.0.1:{port}"]
    began = time.perf_counter()
    with Process([*command, "--upstream", upstream], stderr=subprocess.DEVNULL, env=env):
        while not _answers(port):
            if time.perf_counter() - began > _FIRST_ANSWER_S:
                raise PeerError("moebridge run gives no answer")
            time.sleep(0.001)
        return (time.perf_counter() - began) * 1000


@dataclass(frozen=True, kw_only=True)
class Startup:
    """A `measure.Measure`."""

    name: str = "startup"
    title: str = "from nothing: the interpreter, `import moebridge`, `moebridge run` to an answer"
    rounds: int = 15
    quick: bool = False

    def run(self, say: Say, options: Options) -> Result:
        """Measures; the import is what it takes beyond an interpreter that imports nothing."""
        rounds = options.rounds or self.rounds
        with new_folder() as cache, start_upstream(64) as upstream:
            env = compiled_in(cache)
            rows: dict[str, tuple[str, Callable[[], float]]] = {
                "python": ("the interpreter, no import", lambda: _python_ms("pass", env)),
                "import": ("and import moebridge", lambda: _python_ms("import moebridge", env)),
                "run": (
                    "moebridge run, to the first answer",
                    lambda: _first_answer_ms(upstream.address, env),
                ),
            }
            samples: dict[str, list[float]] = {row: [] for row in rows}
            chance = random.Random(1)
            for number in range(-1, rounds):  # the first one fills the cache
                for row in chance.sample(list(rows), len(rows)):
                    found_ms = rows[row][1]()
                    if number >= 0:
                        samples[row].append(round(found_ms, 2))
                if number >= 0:
                    now = "  ".join(f"{row} {samples[row][-1]:.0f}" for row in rows)
                    say(f"{self.name} {number + 1}/{rounds}: {now} ms")
        return {
            "title": self.title,
            "unit": "ms",
            "load": "processes one after the other",
            "rounds": rounds,
            "base": None,
            "rows": {row: make_row(rows[row][0], samples[row]) for row in rows},
            "missing": {},
        }
