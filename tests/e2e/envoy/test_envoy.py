"""Envoy and moebridge with the same file and the same requests: answers, what the upstream saw, and
access logs are alike, but for what docs/envoy_differences.md lists."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.envoy.cases import CASES
from tests.e2e.envoy.peer import Answer, Envoy, ask
from tests.e2e.support.core import Core
from tests.e2e.support.upstream import Exchange, Upstream

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "tests/data/envoy"
PAIRS = [(file, case.name) for file, cases in CASES.items() for case in cases]
_ROW = re.compile(r"^\| `([^`]+): ([^`]+)` \|", re.MULTILINE)

#: What the document says differs: (file, name of the case); "log" for lines of the access log.
DIFFERENCES = set(_ROW.findall((ROOT / "docs/envoy_differences.md").read_text("utf-8")))


def own_address() -> re.Pattern[str]:
    """Finds IPv4 addresses of this machine that are not loopback."""
    said = subprocess.run(["ip", "-4", "-o", "addr"], check=True, capture_output=True, text=True)
    found = re.findall(r" inet ([0-9.]+)/", said.stdout)
    others = [re.escape(address) for address in found if not address.startswith("127.")]
    return re.compile(rf"(?<![0-9.])({'|'.join(others) or 'none'})(?![0-9.])")


OWN_ADDRESS = own_address()


async def handler(exchange: Exchange) -> None:
    """Echoes; `x-mode` and `x-reply` say how."""
    request = exchange.request
    mode = request.get("x-mode")
    if mode == "hang":
        await exchange.reader.read()
        return
    if mode in RAW:
        await exchange.send(RAW[mode])
    if mode == "reset":
        exchange.abort()
        return
    if mode in RAW:
        exchange.close()
        return
    await exchange.read_body()
    said = {
        "method": request.method,
        "target": request.target,
        "fields": request.fields,
        "body": request.body.decode("latin-1"),
        "trailers": request.trailers,
    }
    reply = [part.split("=", 1) for part in request.get("x-reply").split(";") if part]
    fields = [("x-upstream", "1"), *((name, value) for name, value in reply)]
    # As long whatever it says, so that lengths in answers and logs can be compared.
    body = json.dumps(said).encode().ljust(BODY_BYTES)
    if mode == "chunked":
        await exchange.start_chunked(200, fields)
        await exchange.chunk(body)
        await exchange.end_chunks()
    elif mode == "until-close":
        await exchange.send(exchange.head(200, fields) + body)
        exchange.close()
    elif (status := int(request.get("x-status", "200"))) in (204, 304):
        await exchange.send(exchange.head(status, fields[1:]))
    else:
        await exchange.respond(status, fields, body)
    if ["connection", "close"] in reply:
        exchange.close()


BODY_BYTES = 20_000
RAW = {
    "close": b"",
    "nonsense": b"nonsense\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "cut-head": b"HTTP/1.1 200 OK\r\ncontent-",
}


def stand_in(text: str) -> str:
    """Puts 127.0.0.1 for the machine's own address, which Envoy writes for clients on loopback."""
    return OWN_ADDRESS.sub("127.0.0.1", text)


@dataclass
class Run:
    """What a proxy did with all cases of a file."""

    answers: dict[str, Answer]
    log: dict[str, str]


def configured(name: str, folder: Path, upstream: Upstream) -> tuple[Path, Path]:
    """The file with the upstream's port and a log of its own."""
    text = (DATA / f"compare_{name}.yaml").read_text("utf-8")
    log, path = folder / "access.log", folder / "config.yaml"
    port = upstream.address.rpartition(":")[2]
    text = text.replace("port_value: 9000", f"port_value: {port}").replace("/dev/null", str(log))
    path.write_text(text, "utf-8")
    return path, log


@functools.cache
def run(name: str, proxy: type[Envoy] | type[Core]) -> Run:
    """Runs the cases of a file, one connection each."""
    cases = CASES[name]
    with tempfile.TemporaryDirectory() as text, Upstream(handler) as upstream:
        folder = Path(text)
        config, log = configured(name, folder, upstream)
        with proxy(config, folder) as running:
            answers = {case.name: ask(running.address, case) for case in cases}
        lines = log.read_text("latin-1").splitlines()
    for answer in answers.values():
        if answer.seen is not None:
            answer.seen["fields"] = [(n, stand_in(v)) for n, v in answer.seen["fields"]]
    lines = [stand_in(line) for line in lines]
    # The connections followed each other, and each made one line.
    assert len(lines) == len(cases), "\n".join(lines)
    return Run(answers, dict(zip(answers, lines, strict=True)))


@pytest.mark.parametrize(("file", "name"), PAIRS, ids=[f"{f}: {n}" for f, n in PAIRS])
def test_answer_is_envoys(file: str, name: str) -> None:
    theirs, ours = run(file, Envoy).answers[name], run(file, Core).answers[name]
    if (file, name) in DIFFERENCES:
        assert theirs != ours, "docs/envoy_differences.md lists a difference that is gone"
    else:
        assert ours == theirs


@pytest.mark.parametrize(("file", "name"), PAIRS, ids=[f"{f}: {n}" for f, n in PAIRS])
def test_access_log_line_is_envoys(file: str, name: str) -> None:
    theirs, ours = run(file, Envoy).log[name], run(file, Core).log[name]
    if (file, f"{name}, log") in DIFFERENCES:
        assert theirs != ours, "docs/envoy_differences.md lists a difference that is gone"
    elif (file, name) not in DIFFERENCES:
        assert ours == theirs


def test_listed_differences_are_of_cases_that_exist() -> None:
    names = {(file, f"{name}{log}") for file, name in PAIRS for log in ("", ", log")}
    assert names >= DIFFERENCES
    for cases in CASES.values():
        assert len({case.name for case in cases}) == len(cases)
