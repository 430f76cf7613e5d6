"""The counting client and upstream: C programs, compiled when first needed."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

__all__ = ["Answer", "CountingUpstream", "LoadClient", "Seen", "build"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FOLDER = ROOT / "build/load"


@functools.cache
def build(name: str) -> Path:
    """Compiles a program of this folder, if its sources are newer, and returns it."""
    program = FOLDER / name
    sources = [HERE / f"{name}.c", HERE / "wire.h"]
    newest = max(source.stat().st_mtime for source in sources)
    if not program.exists() or program.stat().st_mtime < newest:
        FOLDER.mkdir(parents=True, exist_ok=True)
        # Another test run may be starting it just now.
        fresh = program.with_suffix(f".{os.getpid()}")
        flags = ["-O2", "-Wall", "-Wextra", "-Werror"]
        subprocess.run(["gcc", *flags, "-o", fresh, sources[0]], check=True, timeout=120)
        fresh.replace(program)
    return program


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one id, as the client saw it."""

    status: int
    #: ok, truncated, unanswered, unconnected, malformed, late.
    outcome: str
    #: The response's field x-load and trailer x-trailer.
    load: str
    trailer: str
    body: str

    def said(self, request: int, *, body: int = 0, tag: str = "-", trailer: bool = False) -> bool:
        """Whether the answer is the upstream's own, to this request and to no other."""
        last = str(request) if trailer else "-"
        text = f"{request} {body} same {tag} {last}"
        ended = self.trailer == (last if trailer else "")
        return self.status == 200 and self.outcome == "ok" and self.body == text and ended


class LoadClient:
    """Requests with ids of their own, in the background from the start on.

    Args:
        address: `ip:port`.
        folder: for the results.
        **options: those of client.c.
    """

    def __init__(self, address: str, folder: Path, **options: int | str) -> None:
        self.first_id = int(options.get("first_id", 1))
        self._limit_s = int(options.setdefault("limit_s", 100))
        self._results = folder / f"results-{self.first_id}"
        words = [f"{key}={value}" for key, value in options.items()]
        self._process = subprocess.Popen([build("client"), address, self._results, *words])

    def stop(self) -> dict[int, Answer]:
        """Begins no further requests, waits for those that have begun."""
        self._process.send_signal(signal.SIGTERM)
        return self.answers()

    def answers(self) -> dict[int, Answer]:
        """Waits for all requests; what became of each id."""
        try:
            assert self._process.wait(self._limit_s + 10) == 0
        finally:
            self._process.kill()
            self._process.wait()
        found: dict[int, Answer] = {}
        with self._results.open(encoding="latin-1", newline="\n") as lines:
            for line in lines:
                number, status, *texts = line.rstrip("\n").split("\t")
                assert int(number) not in found, f"id {number} has two answers"
                found[int(number)] = Answer(int(status), *texts)
        self._results.unlink()
        return found

    def __enter__(self) -> LoadClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Seen:
    """What the upstream counted."""

    #: How often each id was begun.
    ids: Counter[int]
    requests: int
    #: Connections that ended inside a request or an answer.
    aborted: int
    #: Requests whose body was not that of their id.
    bad: int


class CountingUpstream:
    """upstream.c, between `with` and its end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [build("upstream")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = f"127.0.0.1:{self._line()}"

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the upstream has ended"
        return line.rstrip("\n")

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._line()

    def reset(self) -> None:
        """Forgets what was counted."""
        assert self._ask("reset") == "reset"

    def seen(self, folder: Path) -> Seen:
        """What was counted so far."""
        path = folder / "seen"
        requests, aborted, bad = map(int, self._ask(f"dump {path}").split())
        counts = path.read_bytes()
        path.unlink()
        ids = Counter({number: count for number, count in enumerate(counts) if count})
        return Seen(ids, requests, aborted, bad)

    def __enter__(self) -> CountingUpstream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
