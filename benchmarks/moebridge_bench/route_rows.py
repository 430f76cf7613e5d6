"""moebridge with one route, with 9,900 and with 100 regular expressions; all from Envoy's file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .envoy import bootstrap
from .many_routes import many_routes, regex_routes
from .moebridge_rows import start_moebridge
from .peer import Peer, Process, Setup, Tools, free_port, new_folder

__all__ = ["CONFIGURATIONS", "PEERS", "SETTINGS"]

SETTINGS = {
    "routes": "1,000 hosts, 9,000 routes by prefix or path and 900 by header, 1,000 clusters; "
    "the row with one route has the same file without them",
}


def _one_route(port: int, upstream: str) -> dict[str, Any]:
    return bootstrap(port, upstream, certificate=None)


def _one_cluster(port: int, upstream: str) -> dict[str, Any]:
    """The matching alone: a thousand clusters have a thousand sockets, which no cache holds."""
    return many_routes(port, upstream, clusters=1)


def _start(setup: Setup, make: Callable[[int, str], dict[str, Any]]) -> Process:
    with new_folder() as folder:  # the file is read when the process accepts
        file = Path(folder, "envoy.json")
        file.write_text(json.dumps(make(free_port(), setup.upstream)))
        return start_moebridge(["-c", str(file)])


def _here(_tools: Tools) -> None:
    """It is this distribution."""


#: By the names of their rows: a title, and what makes the file for a port and an upstream.
CONFIGURATIONS: dict[str, tuple[str, Callable[[int, str], dict[str, Any]]]] = {
    "moebridge+route": ("moebridge, one route", _one_route),
    "moebridge+routes": ("moebridge, 9,900 routes of 1,000 hosts to 1,000 clusters", many_routes),
    "moebridge+routes-1": ("moebridge, the same routes to one cluster", _one_cluster),
    "moebridge+regex": ("moebridge, 100 regular expressions, the last matches", regex_routes),
}


def _peer(name: str) -> Peer:
    title, make = CONFIGURATIONS[name]
    return Peer(
        name=name,
        title=title,
        start=lambda setup: _start(setup, make),
        missing=_here,
        required=True,
    )


PEERS = tuple(_peer(name) for name in CONFIGURATIONS)
