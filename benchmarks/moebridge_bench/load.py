"""Load by wrk and h2load: a closed loop of keep-alive connections."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

__all__ = ["LoadError", "run_h2load", "run_wrk", "warm_up"]

_REQUESTS = re.compile(r"(\d+) requests in ")
_H2_REQUESTS = re.compile(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded")


class LoadError(Exception):
    """Some answer was wrong, or none came."""


def run_wrk(
    url: str, *, connections: int, duration_s: float, script: Path | None = None
) -> tuple[int, str]:
    """Loads a server with one thread.

    Returns:
        Requests answered, and the command without paths.

    Raises:
        LoadError: a socket error, a status that is not 2xx, or no answer at all.
    """
    # wrk takes whole seconds; what it rounds is not measured by it.
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(duration_s))}s"]
    shown = " ".join(command)
    if script is not None:
        command += ["-s", str(script)]
        shown += f" -s {script.name}"
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    found = _REQUESTS.search(done.stdout)
    for line in done.stdout.splitlines():
        if line.strip().startswith(("Non-2xx", "Socket errors")):
            raise LoadError(f"{shown}: {line.strip()}")
    if done.returncode or found is None:
        raise LoadError(f"{shown}: {done.stderr.strip()}")
    if int(found[1]) == 0:
        raise LoadError(f"{shown}: no answer in this time")
    return int(found[1]), shown


def run_h2load(url: str, *, connections: int, streams: int, requests: int) -> tuple[int, str]:
    """Loads a server over HTTP/2 with one thread, with so many requests.

    Returns:
        Requests answered, and the command.

    Raises:
        LoadError: an answer is missing or not 2xx.
    """
    command = [
        "h2load",
        "-t1",
        f"-c{connections}",
        f"-m{streams}",
        f"-n{requests}",
    ]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    found = _H2_REQUESTS.search(done.stdout)
    shown = " ".join(command)
    if done.returncode or found is None:
        raise LoadError(f"{shown}: {done.stderr.strip()}")
    if int(found[2]) == 0 or found[2] != found[3]:
        raise LoadError(f"{shown}: {found[0]}")
    return int(found[2]), shown


def warm_up(url: str, connections: int, *, each: int, h2: bool) -> None:
    """Sends so many requests on each connection: a proxy opens its pool and warms its caches."""
    command = ["h2load", "-t1", f"-c{connections}", f"-n{connections * each}"]
    command += [] if h2 else ["--h1"]
    subprocess.run([*command, url], capture_output=True, check=True)
