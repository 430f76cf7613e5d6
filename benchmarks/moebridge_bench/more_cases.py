"""Cases that ask about a part of moebridge: its routes, its suspended hooks."""

from __future__ import annotations

from pathlib import Path

from .cpu_case import BASE, CpuCase

__all__ = ["MORE_CASES"]

_ROUTES = Path(__file__).with_name("routes.lua")

MORE_CASES = (
    CpuCase(
        name="routes",
        title="hosts and paths by chance, one route against many, 32 connections",
        rows=(
            BASE,
            "nginx+hosts",
            "moebridge+route",
            "moebridge+routes",
            "moebridge+routes-1",
            "moebridge+regex",
        ),
        script=_ROUTES,
        rounds=9,
    ),
    CpuCase(
        name="async",
        title="a hook in Python against the same one suspended, 32 connections",
        rows=(BASE, "moebridge+sync", "moebridge+async"),
        rounds=9,
    ),
)
