"""The C core as a process of its own, built with ASan and UBSan, without Python: fast to start, and
every fault of it fails the test that caused it."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgpack  # type: ignore[import-untyped]

from moebridge.config.load import load
from moebridge.config.model import encode

__all__ = ["Core", "build_core"]

ROOT = Path(__file__).resolve().parents[3]
NATIVE = ROOT / "native"
HERE = Path(__file__).resolve().parent
BUILD_S = 600
END_S = 30
_numbers = itertools.count()


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=BUILD_S)
    assert done.returncode == 0, done.stdout + done.stderr


@functools.cache
def build_core() -> Path:
    """Builds the program and returns it."""
    archive = "../build/native/asan/libmbcore.a"
    _run("make", "--no-print-directory", "-s", "-j2", "-C", NATIVE, archive)
    program = ROOT / "build/native/asan/core"
    source = HERE / "core_main.c"
    newest = max(source.stat().st_mtime, (NATIVE / archive).stat().st_mtime)
    if not program.exists() or program.stat().st_mtime < newest:
        flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address,undefined"]
        libraries = [
            "-lnghttp2",
            "-lssl",
            "-lcrypto",
            "-lcares",
            "-lre2",
            "-lxxhash",
            "-lstdc++",
            "-lm",
            "-ldl",
            "-pthread",
        ]
        # Another test run may be starting it just now.
        fresh = program.with_suffix(f".{os.getpid()}")
        include = f"-I{NATIVE / 'include'}"
        _run("gcc", *flags, include, "-o", fresh, source, NATIVE / archive, *libraries)
        fresh.replace(program)
    return program


class Core:
    """The core with a configuration, between `with` and its end, which must be clean."""

    def __init__(self, config: Mapping[str, Any] | Path, folder: Path) -> None:
        self.folder = folder
        self.log = folder / f"core-{next(_numbers)}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [build_core(), self._document(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "ASAN_OPTIONS": "exitcode=99:quarantine_size_mb=1"},
            )
        #: Name of each listener -> "ip:port".
        self.addresses: dict[str, str] = {}
        while (line := self._line()) != "ready":
            word, name, address = [*line.split(" "), "", ""][:3]
            assert word == "listening", line + self.log.read_text("utf-8", "replace")
            self.addresses[name] = address

    def _document(self, config: Mapping[str, Any] | Path) -> Path:
        path = self.folder / f"document-{next(_numbers)}"
        path.write_bytes(encode(load(config)))
        return path

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().rstrip("\n")

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    @property
    def address(self) -> str:
        """The first listener's address."""
        return next(iter(self.addresses.values()))

    def stats(self) -> dict[str, Any]:
        """All metrics by their names."""
        self._say("stats")
        word, count = self._line().split(" ")
        assert word == "bytes"
        assert self.process.stdout is not None
        found = msgpack.unpackb(self.process.stdout.read(int(count)), strict_map_key=False)
        assert isinstance(found, dict)
        return found

    def apply(self, config: Mapping[str, Any]) -> None:
        """Reloads."""
        self._say(f"apply {self._document(config)}")
        assert self._line() == "applied"

    def drain(self, timeout_ms: int = 10_000) -> None:
        """Begins to drain; `wait` gives the end."""
        self._say(f"drain {timeout_ms}")
        assert self._line() == "draining"

    def wait(self) -> int:
        """Waits for the end; returns the exit status."""
        return self.process.wait(END_S)

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if name in line)

    def rss_bytes(self) -> int:
        """Memory that is resident."""
        return self._memory("VmRSS")

    def peak_rss_bytes(self) -> int:
        """The most that was resident since `forget_peak`."""
        return self._memory("VmHWM")

    def forget_peak(self) -> int:
        """Begins a new peak; returns what is resident now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", "ascii")
        return self.rss_bytes()

    def __enter__(self) -> Core:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
            status = self.process.wait(END_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        said = self.log.read_text("utf-8", "replace")
        assert status == 0, f"the core ended with {status}\n{said}"
        assert "runtime error" not in said, said
