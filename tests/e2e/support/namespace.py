"""Network namespaces: machines of their own for tests that need routes and firewall rules.

A namespace belongs to a thread and has no name: it is gone, with all that is set in it, when the
thread and whatever was started or opened in it are, even if the tests are killed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TypeVar

__all__ = ["Namespace"]

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_COMMAND_S = 20
#: Where Debian has ip and iptables, which need not be on a user's path.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _unshare() -> int:
    """Gives the calling thread a network namespace; returns the thread's id."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        why = os.strerror(ctypes.get_errno())
        raise AssertionError(
            f"no network namespace can be made here: {why}. These tests need root with"
            " CAP_SYS_ADMIN and CAP_NET_ADMIN (docker: --privileged)"
        )
    return threading.get_native_id()


class Namespace:
    """A network namespace with its loopback device up, between `with` and its end."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "namespace")
        try:
            self.thread_id = self.run(_unshare)
        except AssertionError:
            self._executor.shutdown()
            raise

    def __enter__(self) -> Namespace:
        self.command("ip link set lo up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown()

    def run(self, function: Callable[[], T]) -> T:
        """Calls `function` inside; sockets, threads and processes that it makes stay there."""
        return self._executor.submit(function).result()

    def command(self, line: str) -> None:
        """Runs a command inside, which must succeed."""
        self.run(partial(_command, line.split()))

    def link(self, other: Namespace, name: str) -> None:
        """A cable from a new device `name` here to a new `eth0` of another namespace."""
        self.command(f"ip link add {name} type veth peer name eth0 netns {other.thread_id}")
        self.command(f"ip link set {name} up")
        other.command("ip link set eth0 up")


def _command(words: list[str]) -> None:
    program = shutil.which(words[0], path=_PATH)
    assert program is not None, f"{words[0]} is missing: see tools/debian-packages.txt"
    done = subprocess.run(
        [program, *words[1:]], check=False, capture_output=True, text=True, timeout=_COMMAND_S
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
