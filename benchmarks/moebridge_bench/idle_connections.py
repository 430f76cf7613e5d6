"""What an idle connection costs: memory of the process for each keep-alive connection.

Each has had one request, through a Python filter where the row has one; then all of them wait. Of
ten thousand the first thousand are not counted: what is allocated once is there after them. The
figure is by how much the others make its anonymous memory grow (Pss_Anon), without sockets: those
are the kernel's. More than ten thousand moebridge refuses by default.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .cpu_case import BASE
from .measure import Options, Result, Say, make_row
from .memory import anonymous_bytes
from .peer import PeerError, Process
from .peers import PEERS
from .standing import stand

__all__ = ["IdleConnections"]

_ROWS = (BASE, "moebridge", "moebridge+python")
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_FILES_BESIDE = 500


@contextmanager
def _files(wanted: int) -> Iterator[None]:
    """Raises how many files this process, and those it starts meanwhile, may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise PeerError(f"needs {wanted} open files, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _ask(client: socket.socket, body_bytes: int) -> None:
    """One request; reads the answer to its end, which the connection outlives."""
    client.sendall(_REQUEST)
    got = b""
    while b"\r\n\r\n" not in got or len(got.partition(b"\r\n\r\n")[2]) < body_bytes:
        piece = client.recv(65536)
        if not piece:
            raise PeerError("an idle connection was closed")
        got += piece
    if not got.startswith(b"HTTP/1.1 200 "):
        raise PeerError(f"answers {got[:40]!r}")


def _connect(process: Process, number: int, clients: list[socket.socket]) -> None:
    host, _, port = process.address.rpartition(":")
    for _ in range(number):
        # A source address has ports for so many; each thousand has its own.
        source = f"127.0.0.{2 + len(clients) // 1000}"
        client = socket.create_connection((host, int(port)), 10, source_address=(source, 0))
        clients.append(client)
        _ask(client, 64)


@dataclass(frozen=True, kw_only=True)
class IdleConnections:
    """A `measure.Measure`.

    Attributes:
        connections: that are open in the end.
        first: of them that are not counted.
        rounds: new processes each time.
    """

    name: str = "idle"
    title: str = "memory of an idle keep-alive connection after one request"
    connections: int = 10_000
    first: int = 1_000
    rounds: int = 3
    quick: bool = False

    def run(self, say: Say, options: Options) -> Result:
        """Measures all rows, one after the other."""
        rounds = options.rounds or self.rounds
        samples: dict[str, list[float]] = {}
        missing: dict[str, str] = {}
        files = self.connections + _FILES_BESIDE
        with _files(files):
            for number in range(rounds):
                with stand(
                    _ROWS, say, options, name=self.name, base=BASE, connections=64
                ) as standing:
                    missing = standing.missing
                    for row, process in standing.processes.items():
                        samples.setdefault(row, []).append(self._each_kib(process))
                now = "  ".join(f"{row} {found[-1]:.2f}" for row, found in samples.items())
                say(f"{self.name} {number + 1}/{rounds}: {now} KiB")
        return {
            "title": f"{self.title}, {self.connections:,} of them",
            "unit": "KiB of RAM a connection",
            "load": "connections of one request, one after the other",
            "rounds": rounds,
            "base": None,
            "rows": {row: make_row(PEERS[row].title, found) for row, found in samples.items()},
            "missing": missing,
        }

    def _each_kib(self, process: Process) -> float:
        clients: list[socket.socket] = []
        try:
            _connect(process, self.first, clients)
            before = anonymous_bytes(process.pid)
            _connect(process, self.connections - self.first, clients)
            grown = anonymous_bytes(process.pid) - before
        finally:
            for client in clients:
                client.close()
        return round(grown / 1024 / (self.connections - self.first), 3)
