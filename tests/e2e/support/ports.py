"""Ports for peers that can't choose one themselves."""

from __future__ import annotations

import socket
import time

__all__ = ["free_port", "wait_for_port"]

WAIT_S = 20


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    """Waits until somebody listens on it."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), WAIT_S).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end, f"nobody listens on port {port}"
        else:
            return
