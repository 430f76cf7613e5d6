"""The relay of relay.c, which parses nothing: what is left of a proxy without its HTTP."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .peer import Peer, Process, Setup, free_port, needs, new_folder

__all__ = ["PEERS", "SETTINGS"]

SETTINGS = {
    "relay": "not a proxy of HTTP: a C program of 200 lines that copies bytes between each client "
    "and a connection of its own to the upstream; 1 thread, epoll, reads of 256 KiB, cc -O2",
}
_SOURCE = Path(__file__).with_name("relay.c")


def _start(setup: Setup) -> Process:
    folder = new_folder()
    program = str(Path(folder.name, "relay"))
    compiler = [setup.tools.path("cc"), "-O2", "-std=c11", "-D_GNU_SOURCE"]
    subprocess.run([*compiler, "-o", program, str(_SOURCE)], check=True, capture_output=True)
    port = free_port()
    upstream_port = setup.upstream.rpartition(":")[2]
    return Process([program, str(port), upstream_port], folder=folder).wait_for(f"127.0.0.1:{port}")


PEERS = (
    Peer(
        name="relay",
        title="a relay of TCP in C that parses nothing",
        start=_start,
        missing=needs("cc"),
    ),
)
