"""What is compared: each case is one kind of load, and the rows that take it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["BASE", "CASES", "Case", "Protocol"]

#: What the clients speak; the upstream always gets HTTP/1.1 in clear text.
Protocol = Literal["h1", "h2", "tls"]

#: The row that the others are divided by.
BASE = "nginx"
_BROWSER = Path(__file__).with_name("browser.lua")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One load.

    Attributes:
        name: its key in the results.
        title: what a reader is told.
        rows: names for `peers.start_peer`; the first is BASE.
        protocol: "h1", "h2" (prior knowledge) or "tls" (TLS 1.3, HTTP/1.1).
        connections: keep-alive connections, each with `streams` requests at a time.
        streams: more than 1 only for "h2".
        body_bytes: of each answer.
        script: wrk's, for requests other than `GET /`.
        rounds: how many times each row is measured.
    """

    name: str
    title: str
    rows: tuple[str, ...]
    protocol: Protocol = "h1"
    connections: int = 32
    streams: int = 1
    body_bytes: int = 64
    script: Path | None = None
    rounds: int = 15


CASES = (
    Case(
        name="small",
        title="64-byte answers, 32 connections",
        rows=(
            BASE,
            "nginx+headers",
            "moebridge",
            "moebridge+c",
            "moebridge+python",
            "moebridge+python10",
        ),
    ),
    Case(
        name="browser",
        title="20 headers and cookies, another path each time, 32 connections",
        rows=(BASE, "moebridge", "moebridge+c", "moebridge+python"),
        script=_BROWSER,
        rounds=9,
    ),
    Case(
        name="connections",
        title="64-byte answers, 1,000 connections",
        rows=(BASE, "moebridge", "moebridge+python"),
        connections=1000,
        rounds=9,
    ),
    Case(
        name="body",
        title="1 MiB answers, 32 connections",
        rows=(BASE, "moebridge", "moebridge+look", "moebridge+count"),
        body_bytes=1024 * 1024,
        rounds=7,
    ),
    Case(
        name="h2",
        title="HTTP/2: 64-byte answers, 10 connections of 100 streams",
        rows=(BASE, "moebridge", "moebridge+python", "envoy"),
        protocol="h2",
        connections=10,
        streams=100,
        rounds=9,
    ),
    Case(
        name="tls",
        title="TLS 1.3, HTTP/1.1: 64-byte answers, 32 connections",
        rows=(BASE, "moebridge", "moebridge+python", "envoy"),
        protocol="tls",
        rounds=9,
    ),
)
