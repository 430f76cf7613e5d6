"""One request in a hundred raises, in any hook, anything: exactly those fail."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.load.figure import command
from tests.e2e.load.peers import Answer, CountingUpstream, LoadClient
from tests.e2e.load.proxy_process import Objects, ProxyProcess
from tests.e2e.load.raisers import HOOKS, fault_of
from tests.e2e.load.test_concurrency import grown

CHAIN: list[tuple[str, dict[str, Any]]] = [
    ("RaiseInStream", {}),
    ("RaiseInWhole", {}),
    ("native:body_scan", {"pattern": "same"}),
    ("RaiseInTask", {}),
    ("RaiseInWholeTask", {}),
]
BODY = 100
#: Hooks that raise before the upstream has the whole request.
BEFORE_UPSTREAM = ("on_request_headers", "on_request_body", "on_request_trailers", "on_request")
#: Hooks that raise when the response's head is on its way to the client. At on_response_body of
#: RaiseInTask it is not: RaiseInWhole holds the response until the end of its body.
AFTER_START = {
    ("on_response_body", False),
    ("on_response_trailers", False),
    ("on_response_trailers", True),
}


def as_expected(number: int, answer: Answer) -> bool:
    """Whether an answer is what the id's fault should have made of it."""
    fault = fault_of(number)
    if fault is None or fault[0][0] == "on_complete":
        return answer.said(number, body=BODY, trailer=True)
    if fault[0] in AFTER_START:
        return answer.status == 200 and answer.outcome == "truncated"
    return answer.status == 500 and answer.outcome == "ok" and str(number) not in answer.body


def load(folder: Path, *, requests: int, connections: int = 50) -> dict[str, Any]:
    """Runs the load; asserts all that is claimed."""
    with (
        CountingUpstream() as upstream,
        ProxyProcess(upstream.address, CHAIN, trailers=True) as proxy,
    ):
        # As many again before: the first exceptions fill caches (line numbers, the log's).
        counts: list[Objects] = []
        for first_id in (1, 1 + requests):
            upstream.reset()
            with LoadClient(
                proxy.address,
                folder,
                connections=connections,
                requests=requests,
                first_id=first_id,
                body=BODY,
                chunked=1,
                target="/chunked",
            ) as client:
                answers = client.answers()
            proxy.settle()
            seen = upstream.seen(folder)
            check(answers, seen.ids, range(first_id, first_id + requests))
            assert seen.bad == 0
            counts.append(proxy.objects())
        left = grown(*counts)
        blocks = counts[1]["blocks"] - counts[0]["blocks"]
        raised = Counter(proxy.facts()["raised"])
        stats = proxy.stats()
        leases = proxy.stat("server.leases")
    ids = range(1, 1 + 2 * requests)
    faults = [fault[0] for number in ids if (fault := fault_of(number)) is not None]
    expected = Counter(f"{name} {'async' if late else 'def'}" for name, late in faults)
    counted = sum(value for key, value in stats.items() if key.endswith(".errors"))
    assert raised == expected, (raised - expected, expected - raised)
    assert len(raised) == len(HOOKS)
    assert counted == len(faults), (counted, len(faults))
    assert left == {}, left
    assert leases == 0
    assert blocks < requests // 100
    return {
        "requests": requests,
        "raising": len(faults) // 2,
        "by_hook": dict(sorted(raised.items())),
        "errors_counted": counted,
        "wrong": 0,
        "blocks_growth": blocks,
    }


def check(answers: dict[int, Answer], seen: Counter[int], ids: range) -> None:
    """Every answer as expected; every id at the upstream once, but those that failed before it."""
    assert answers.keys() == set(ids)
    wrong = {
        number: (fault_of(number), answer)
        for number, answer in answers.items()
        if not as_expected(number, answer)
    }
    assert not wrong, f"{len(wrong)} wrong answers, as {list(wrong.items())[:3]}"
    assert seen.keys() <= answers.keys()
    assert all(count == 1 for count in seen.values())
    missing = answers.keys() - seen.keys()
    assert all(
        (fault := fault_of(number)) is not None and fault[0][0] in BEFORE_UPSTREAM
        for number in missing
    )


def test_exactly_the_requests_that_raise_fail(tmp_path: Path) -> None:
    load(tmp_path, requests=8000)


@pytest.mark.long
def test_exactly_the_requests_that_raise_fail_of_100_000(tmp_path: Path) -> None:
    load(tmp_path, requests=100_000)


def measure(folder: Path, full: bool) -> dict[str, Any]:
    """The load."""
    return load(folder, requests=100_000 if full else 8000)


if __name__ == "__main__":
    command("test_raising", "requests that fail of those that raise in a random hook", measure)
