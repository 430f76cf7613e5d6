"""A proxy that takes part in the comparison: what it is called, and a process of it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from .secure import Certificate

__all__ = [
    "HEADERS",
    "Peer",
    "PeerError",
    "Process",
    "Protocol",
    "Setup",
    "Tools",
    "free_port",
    "needs",
    "new_folder",
]

#: What the clients speak; the upstream always gets HTTP/1.1 in clear text.
Protocol = Literal["h1", "h2", "tls"]

#: What a row with a filter sets, to "set": on the request, and on the response.
HEADERS = ("x-bench-request", "x-bench-response")

_STOP_S = 10


class PeerError(Exception):
    """A proxy does not start, or does not give the upstream's answer."""


@dataclass(frozen=True)
class Tools:
    """Where programs are found: beside this interpreter, in a folder of peers, on PATH.

    Attributes:
        peers: a virtual environment with further proxies.
    """

    peers: Path | None = None

    def find(self, program: str) -> str | None:
        """Returns a program's path; None: it is not installed."""
        folders = [Path(sys.executable).parent]
        if self.peers is not None:
            folders.append(self.peers.absolute() / "bin")
        return shutil.which(
            program, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
        )

    def path(self, program: str) -> str:
        """Returns a program's path.

        Raises:
            FileNotFoundError: it is not installed.
        """
        found = self.find(program)
        if found is None:
            raise FileNotFoundError(f"{program} is not installed")
        return found


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a proxy is started for.

    Attributes:
        upstream: `HOST:PORT`.
        connections: requests at a time, for the sizes of pools.
        protocol: of the clients.
        certificate: for "tls".
        tools: where programs are found.
    """

    upstream: str
    connections: int = 64
    protocol: Protocol = "h1"
    certificate: Certificate | None = None
    tools: Tools = field(default_factory=Tools)


class Process:
    """A server in the background: up when it accepts, ended with SIGTERM."""

    pid: int
    address: str

    def __init__(
        self,
        command: Sequence[str],
        *,
        stderr: int | None = None,
        folder: tempfile.TemporaryDirectory[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Starts it.

        Args:
            command: of the server.
            stderr: as of Popen; None: kept for the error of a server that does not start.
            folder: that goes when the process has gone.
            env: beside the environment of this process.
        """
        self.command = list(command)
        self._folder = folder
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  stop() closes it
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=self._said if stderr is None else stderr,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.pid = self._process.pid

    @property
    def stderr(self) -> IO[str]:
        """What it writes, if that is a pipe."""
        assert self._process.stderr is not None
        return self._process.stderr

    def wait_for(self, address: str) -> Process:
        """Waits until an address accepts, which is then the server's."""
        host, _, port = address.rpartition(":")
        for _ in range(1500):
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.01)
            else:
                self.address = address
                return self
        words = self._last_words()
        self.stop()
        raise PeerError(f"{Path(self.command[0]).name} does not start: {words}")

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said if line.strip()]
        return lines[-1] if lines else f"status {self._process.returncode}, no word"

    def stop(self) -> None:
        """Ends it, and its folder."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def needs(*programs: str) -> Callable[[Tools], str | None]:
    """Returns a `Peer.missing` for a proxy that is there when these programs are."""

    def missing(tools: Tools) -> str | None:
        absent = [program for program in programs if tools.find(program) is None]
        return f"{', '.join(absent)} not installed" if absent else None

    return missing


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One row: a proxy with one configuration.

    Attributes:
        name: of the row.
        title: what a reader is told.
        start: starts it; it accepts when that returns.
        missing: says what it lacks on this machine; None: it can be started.
        sets_headers: it sets HEADERS.
        answers: an origin that has no upstream and gives the upstream's answer itself.
        required: the run fails where it does not start; another one is named and left out.
        slow: hundreds of requests a second, not thousands: measured in fewer rounds.
    """

    name: str
    title: str
    start: Callable[[Setup], Process]
    missing: Callable[[Tools], str | None]
    sets_headers: bool = False
    answers: bool = False
    required: bool = False
    slow: bool = False


def free_port() -> int:
    """Returns a loopback port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def new_folder() -> tempfile.TemporaryDirectory[str]:
    """Returns a folder that other users can read: workers may be such."""
    folder = tempfile.TemporaryDirectory(prefix="moebridge-bench-")
    Path(folder.name).chmod(0o755)
    return folder
