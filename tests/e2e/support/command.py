"""The command `moebridge` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["Command", "Done", "run_command"]

Done = subprocess.CompletedProcess[str]
_LISTENING = re.compile(r"listening (\S+) (?:http|tcp)://(\S+)\Z")


def _words(args: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "moebridge", *args]


def run_command(*args: str, cwd: Path | None = None, timeout_s: float = 60) -> Done:
    """Runs the command to its end."""
    return subprocess.run(
        _words(args), cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False
    )


class Command:
    """`moebridge run ...` in the background, between `with` and its end (SIGTERM)."""

    def __init__(
        self, *args: str, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> None:
        self.lines: list[str] = []
        #: Name of each listener -> "ip:port".
        self.addresses: dict[str, str] = {}
        self._up = threading.Event()
        self.process = subprocess.Popen(
            _words(args),
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                if match := _LISTENING.match(self.lines[-1]):
                    self.addresses[match[1]] = match[2]
                    self._up.set()
        self._up.set()

    @property
    def address(self) -> str:
        """The first listener's address, once it accepts."""
        self._up.wait(30)
        assert self.addresses, "\n".join(self.lines)
        return next(iter(self.addresses.values()))

    def terminate(self, timeout_s: float = 30) -> int:
        """Sends SIGTERM and returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 30) -> int:
        """Waits for the end; returns the exit status."""
        status = self.process.wait(timeout_s)
        self._reader.join(10)
        return status

    def __enter__(self) -> Command:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
