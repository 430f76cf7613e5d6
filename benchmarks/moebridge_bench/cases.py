"""What is compared: each case is one kind of load, and the rows that take it."""

from __future__ import annotations

from pathlib import Path

from .cpu_case import BASE, CpuCase

__all__ = ["CASES"]

_BROWSER = Path(__file__).with_name("browser.lua")

CASES = (
    CpuCase(
        name="small",
        quick=True,
        title="64-byte answers, 32 connections",
        rows=(
            BASE,
            "nginx+headers",
            "nginx+lua",
            "haproxy",
            "haproxy+lua",
            "envoy",
            "envoy+lua",
            "relay",
            "mitmproxy",
            "pyvoy-origin",
            "moebridge",
            "moebridge+c",
            "moebridge+python",
            "moebridge+python10",
            "moebridge+cython",
        ),
    ),
    CpuCase(
        name="browser",
        title="20 headers and cookies, another path each time, 32 connections",
        rows=(BASE, "haproxy", "envoy", "moebridge", "moebridge+c", "moebridge+python"),
        script=_BROWSER,
        rounds=9,
    ),
    CpuCase(
        name="connections",
        title="64-byte answers, 1,000 connections",
        rows=(BASE, "haproxy", "envoy", "relay", "moebridge", "moebridge+python"),
        connections=1000,
        rounds=9,
        seconds=3,  # the clients connect anew for each measurement
    ),
    CpuCase(
        name="body",
        title="1 MiB answers, 32 connections",
        rows=(BASE, "haproxy", "envoy", "relay", "moebridge", "moebridge+look", "moebridge+count"),
        body_bytes=1024 * 1024,
        rounds=7,
    ),
    CpuCase(
        name="h2",
        title="HTTP/2: 64-byte answers, 10 connections of 100 streams",
        rows=(BASE, "haproxy", "envoy", "moebridge", "moebridge+python"),
        protocol="h2",
        connections=10,
        streams=100,
        rounds=9,
    ),
    CpuCase(
        name="tls",
        title="TLS 1.3, HTTP/1.1: 64-byte answers, 32 connections",
        rows=(BASE, "haproxy", "envoy", "moebridge", "moebridge+python"),
        protocol="tls",
        rounds=9,
    ),
)
