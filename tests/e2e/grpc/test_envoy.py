"""grpc_web and answers to clients of gRPC: the same file and requests as with the real Envoy."""

from __future__ import annotations

import base64
import functools
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import grpc  # type: ignore[import-untyped]
import pytest
from tests.e2e.envoy.peer import Envoy
from tests.e2e.grpc.conftest import ROUTER, h2_cluster
from tests.e2e.grpc.service import WAIT_S, Calls, Service, metadata_of
from tests.e2e.grpc.test_grpc_web import BINARY, TEXT, WEB, decoded, frame
from tests.e2e.support.client import RawClient
from tests.e2e.support.envoy_config import access_log, cluster, direct, http_config, to
from tests.e2e.support.upstream import Exchange, Upstream

import moebridge as mb

HELLO = frame(b"hello")
HELLO_TEXT = base64.b64encode(HELLO)
#: Differ from run to run; or, `connection`, in what was read of a request when it was refused.
OWN = {
    "connection",
    "date",
    "x-envoy-upstream-service-time",
    "x-forwarded-for",
    "x-request-id",
}
#: Envoy takes padding within a body only where its reads happen to end.
DIFFERENCES = {"two messages, padded each"}


LOGGED = (
    "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %GRPC_STATUS% "
    "%GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%\n"
)


class Case(NamedTuple):
    """A request; the service's method is the last part of `path`."""

    path: str = "/test.Service/Unary"
    body: bytes = HELLO
    kind: str = BINARY
    accept: str = BINARY
    fields: tuple[tuple[str, str], ...] = ()


CASES = {
    "binary": Case(),
    "binary without +proto": Case(kind="application/grpc-web", accept="application/grpc-web"),
    "text": Case(body=HELLO_TEXT, kind=TEXT, accept=TEXT),
    "text with +proto": Case(body=HELLO_TEXT, kind=TEXT + "+proto", accept=TEXT + "+proto"),
    "text in, binary out": Case(body=HELLO_TEXT, kind=TEXT),
    "binary in, text out": Case(accept=TEXT),
    "anything accepted": Case(body=HELLO_TEXT, kind=TEXT, accept="*/*"),
    "two messages, padded each": Case("/test.Service/Count", HELLO_TEXT * 2, TEXT, TEXT),
    "many frames in text": Case("/test.Service/Repeat", accept=TEXT, fields=(("x-count", "50"),)),
    "many frames": Case("/test.Service/Repeat", fields=(("x-count", "50"),)),
    "no frames": Case("/test.Service/Repeat", fields=(("x-count", "0"),)),
    "error": Case("/test.Service/Fail"),
    "error in text": Case("/test.Service/Fail", accept=TEXT),
    "no such method": Case("/test.Service/Nothing"),
    "encodings of the client": Case(fields=(("grpc-accept-encoding", "gzip"),)),
    "base64 that is broken": Case(body=b"AAAA!AAA", kind=TEXT),
    "base64 that is cut": Case(body=HELLO_TEXT[:-2], kind=TEXT),
    "page of an error": Case("/plain/503"),
    "page of an error in text": Case("/plain/503", accept=TEXT),
    "page without a body": Case("/plain/404"),
    "page that is no error": Case("/plain/200"),
    "page with odd bytes": Case("/plain/429"),
    "answer of the proxy": Case("/direct"),
    "another type": Case("/plain/503", kind="application/grpc-web+json"),
    "no gRPC-Web at all": Case("/plain/503", kind="application/json", accept="text/html"),
}
PAGES = {503: b"sorry: 50% of us\n", 404: b"", 200: b"<html>", 429: bytes(range(256))}


async def pages(exchange: Exchange) -> None:
    """Answers with the status that is asked for."""
    status = int(exchange.request.target.rpartition("/")[2])
    await exchange.respond(status, [("content-type", "text/html")], PAGES[status])


def config(service: Service, upstream: Upstream, log: Path) -> dict[str, Any]:
    """The file of both."""
    hcm = {
        "http_filters": [WEB, {"name": "router", "typed_config": ROUTER}],
        "access_log": [access_log(log, LOGGED)],
    }
    clusters = [h2_cluster(service.address), cluster(upstream.address, name="plain")]
    routes = [
        to("plain", prefix="/plain"),
        direct(403, "not you", prefix="/direct"),
        to(prefix="/test.Service"),
    ]
    return http_config(clusters, routes=routes, hcm=hcm)


class Answer(NamedTuple):
    """What came of a case."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    #: Metadata of the service, where the request came to it.
    seen: dict[str, Any]


def ask(address: str, case: Case, service: Service) -> Answer:
    """Gives a case to a proxy."""
    service.seen.clear()
    lines = [("content-type", case.kind), ("accept", case.accept), ("x-id", "c"), *case.fields]
    with RawClient(address) as client:
        answer = client.request("POST", case.path, lines, case.body)
    fields = sorted((name, value) for name, value in answer.fields if name not in OWN)
    seen = {k: v for k, v in service.seen["c"].metadata.items() if k not in OWN}
    return Answer(answer.status, fields, answer.body, seen)


def statuses(address: str) -> list[tuple[Any, ...]]:
    """What a client of gRPC is told when the proxy answers."""
    told: list[tuple[Any, ...]] = []
    with Calls(address) as calls:
        for path in ("/direct", "/nowhere", "/plain/503"):
            with pytest.raises(grpc.RpcError) as caught:
                calls.channel.unary_unary(path)(b"x", timeout=WAIT_S)
            call = caught.value
            assert isinstance(call, grpc.Call)
            details = call.details() if path != "/plain/503" else ""
            trailing = metadata_of(call.trailing_metadata())
            kept = {k: v for k, v in trailing.items() if k not in OWN}
            told.append((path, call.code(), details, kept))
    return told


class Run(NamedTuple):
    """What one of the two did."""

    answers: dict[str, Answer]
    statuses: list[tuple[Any, ...]]
    log: list[str]


@functools.cache
def run(proxy: str) -> Run:
    """Runs everything on one of the two."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        answers, told = run_in(Path(folder), proxy, log)
        return Run(answers, told, log.read_text("latin-1").splitlines())


def run_in(folder: Path, proxy: str, log: Path) -> tuple[dict[str, Answer], list[tuple[Any, ...]]]:
    """The same; the log is whole afterwards."""
    with ExitStack() as stack:
        service, upstream = stack.enter_context(Service()), stack.enter_context(Upstream(pages))
        content = config(service, upstream, log)
        if proxy == "envoy":
            path = folder / "config.json"
            path.write_text(json.dumps(content), "ascii")
            address = stack.enter_context(Envoy(path, folder)).address
        else:
            ours = mb.Proxy.from_config(content)
            ours.start()
            stack.callback(ours.stop)
            address = ours.addresses["main"]
        answers = {name: ask(address, case, service) for name, case in CASES.items()}
        return answers, statuses(address)


@pytest.mark.parametrize("name", CASES)
def test_answer_is_envoys(name: str) -> None:
    same = run("moebridge").answers[name] == run("envoy").answers[name]
    assert same is (name not in DIFFERENCES), (
        run("moebridge").answers[name],
        run("envoy").answers[name],
    )


def test_cases_reach_the_service() -> None:
    """Else the comparison would be one of errors."""
    answers = run("moebridge").answers
    assert answers["text"].seen["x-id"] == "c"
    assert decoded(answers["two messages, padded each"].body).startswith(frame(b"2 10"))
    assert answers["binary"].body.startswith(HELLO)


def test_clients_of_grpc_are_told_the_same() -> None:
    assert run("moebridge").statuses == run("envoy").statuses


def test_access_log_is_envoys() -> None:
    ours, theirs = run("moebridge").log, run("envoy").log
    assert len(ours) == len(theirs) == len(CASES) + 3
    names = [*CASES, "direct", "nowhere", "plain"]
    differ = {n for n, o, t in zip(names, ours, theirs, strict=True) if o != t}
    assert differ == DIFFERENCES, list(zip(ours, theirs, strict=True))
