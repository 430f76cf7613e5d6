"""moebridge with one hook, and with the same hook as a coroutine that is suspended once."""

from __future__ import annotations

from pathlib import Path

from .moebridge_rows import start_moebridge
from .peer import Peer, Process, Setup, Tools

__all__ = ["PEERS", "SETTINGS"]

SETTINGS = {"moebridge+async": "`await asyncio.sleep(0)` in each request's hook"}
_FILTERS = Path(__file__).with_name("hook_filters.py")


def _start(setup: Setup, filter_name: str) -> Process:
    listen = ["--listen", "127.0.0.1:0", "--upstream", setup.upstream]
    return start_moebridge([*listen, "--filter", f"{_FILTERS}:{filter_name}"])


def _here(_tools: Tools) -> None:
    """It is this distribution."""


PEERS = (
    Peer(
        name="moebridge+sync",
        title="moebridge, Python hook that does nothing",
        start=lambda setup: _start(setup, "SyncHook"),
        missing=_here,
        required=True,
    ),
    Peer(
        name="moebridge+async",
        title="moebridge, async hook that is suspended once",
        start=lambda setup: _start(setup, "AsyncHook"),
        missing=_here,
        required=True,
    ),
)
