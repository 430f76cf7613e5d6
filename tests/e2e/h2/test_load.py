"""Load over HTTP/2: by h2load, while configurations change, and while the process ends."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.h2.loader import Loader
from tests.e2e.load.peers import CountingUpstream
from tests.e2e.load.proxy_process import ChainSpec, ProxyProcess, eventually
from tests.e2e.support.command import Command
from tests.e2e.support.envoy_config import cluster, http_config
from tests.e2e.support.h2_frames import LARGEST_WINDOW, Answer, Code

#: Of the cluster, so that no request is refused for the sake of the others.
PLENTY: dict[str, Any] = {
    "circuit_breakers": {
        "thresholds": [
            {"max_connections": 200, "max_pending_requests": 200_000, "max_requests": 200_000}
        ]
    }
}
SPACE = 1_000_000


def run_config(folder: Path, upstream: str, **hcm: Any) -> str:
    """A file for `moebridge run`."""
    path = folder / "config.json"
    # Answers wait their turn behind those of 100,000 others.
    config = http_config(
        [cluster(upstream, **PLENTY)],
        routes=[
            {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}},
        ],
        hcm=hcm,
    )
    path.write_text(json.dumps(config))
    return str(path)


def text(number: int, tag: str = "-") -> bytes:
    """What the upstream answers to an id."""
    return f"{number} 0 same {tag} -".encode()


@pytest.mark.parametrize(
    ("connections", "streams", "requests"),
    [
        (50, 20, 5_000),
        pytest.param(1000, 100, 200_000, marks=[pytest.mark.long, pytest.mark.timeout(300)]),
    ],
)
def test_no_request_of_h2load_fails(
    tmp_path: Path, connections: int, streams: int, requests: int
) -> None:
    with (
        CountingUpstream() as upstream,
        Command("run", "-c", run_config(tmp_path, upstream.address)) as proxy,
    ):
        words = [f"-c{connections}", f"-m{streams}", f"-n{requests}", "-t1", "-Hx-id: 7"]
        done = subprocess.run(
            ["h2load", *words, f"http://{proxy.address}/"],
            capture_output=True,
            text=True,
            timeout=280,
            check=True,
        )
        seen = upstream.seen(tmp_path)
        assert proxy.terminate() == 0
    said = f"{requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout"
    assert said in done.stdout, done.stdout
    assert f"status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx" in done.stdout, done.stdout
    assert (seen.requests, seen.aborted, seen.bad) == (requests, 0, 0)


# -- reloads -------------------------------------------------------------------------------------


def chain(number: int) -> ChainSpec:
    """Filters of one configuration."""
    stamp = ("Generation", {"number": number})
    return [stamp, ("native:body_scan", {"pattern": "moebridge"}), stamp]


def generation(number: int, answer: Answer) -> int:
    """The configuration that gave the answer; fails when it was not one alone."""
    first = answer.fields["x-load"].split(",")[0]
    twice = f"{first},{first}"
    assert (answer.status, answer.ended) == (200, True), answer
    assert answer.fields["x-load"] == twice
    assert answer.body == text(number, twice), answer
    return int(first)


def test_no_stream_is_lost_in_10_reloads(tmp_path: Path) -> None:
    reloads = 10
    with (
        CountingUpstream() as upstream,
        ProxyProcess(upstream.address, chain(0), timeout_s=60) as proxy,
        ExitStack() as stack,
    ):
        loaders = [
            stack.enter_context(Loader(proxy.address, number * SPACE)) for number in range(1, 5)
        ]
        for number in range(1, reloads + 1):
            more = proxy.stat("downstream_rq_total") + 200
            eventually("requests", lambda: proxy.stat("downstream_rq_total") >= more)  # noqa: B023
            proxy.reload(chain(number))
            eventually("its first one", lambda: proxy.facts()["newest"] == number)  # noqa: B023
        for loader in loaders:
            loader.stop()
        found: dict[int, Answer] = {}
        for loader in loaders:
            found |= loader.join()
            assert loader.goaways == []
        proxy.settle()
        seen = upstream.seen(tmp_path)
    by_generation = Counter(generation(number, answer) for number, answer in found.items())
    assert set(by_generation) == set(range(reloads + 1))
    assert seen.ids == dict.fromkeys(found, 1)
    assert (seen.aborted, seen.bad) == (0, 0)


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("until_last", [False, True], ids=["until_the_first", "until_the_last"])
def test_what_was_begun_before_the_end_is_answered(tmp_path: Path, until_last: bool) -> None:
    with (
        CountingUpstream() as upstream,
        Command("run", "-c", run_config(tmp_path, upstream.address)) as proxy,
        ExitStack() as stack,
    ):
        loaders = [
            stack.enter_context(
                Loader(proxy.address, number * SPACE, until_last=until_last, width=50)
            )
            for number in range(1, 5)
        ]
        eventually("load", lambda: all(len(loader.answers) > 200 for loader in loaders))
        proxy.process.send_signal(signal.SIGTERM)
        found: dict[int, Answer] = {}
        refused: set[int] = set()
        for loader in loaders:
            found |= loader.join()
            refused |= loader.refused
            (near, near_code), (last, last_code) = loader.goaways
            assert (near, near_code, last_code) == (LARGEST_WINDOW, Code.NO_ERROR, Code.NO_ERROR)
            assert 0 < last < LARGEST_WINDOW
        assert proxy.wait() == 0
        seen = upstream.seen(tmp_path)
    assert all(answer.ended and answer.body == text(n) for n, answer in found.items())
    assert seen.ids == dict.fromkeys(found, 1)  # none of the refused ones
    assert until_last or not refused
