"""Reloads under load: no request fails, none is answered by two configurations."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.load.figure import command
from tests.e2e.load.peers import Answer, CountingUpstream, LoadClient, Seen
from tests.e2e.load.proxy_process import ProxyProcess, eventually

MIB = 1 << 20
#: What runs at once: keep-alive, a connection for each request, large uploads and downloads.
CLIENTS: tuple[dict[str, int | str], ...] = (
    {"first_id": 1_000_000, "connections": 40},
    {"first_id": 3_000_000, "connections": 8, "fresh": 1},
    {"first_id": 5_000_000, "connections": 4, "body": 1_000_000},
    {"first_id": 7_000_000, "connections": 4, "target": "/bytes/1000000"},
)


def chain(number: int) -> list[tuple[str, dict[str, Any]]]:
    """A configuration; the filters of every other one stand elsewhere."""
    stamp = ("Generation", {"number": number})
    scan = ("native:body_scan", {"pattern": "moebridge"})
    return [stamp, scan, stamp] if number % 2 else [scan, stamp, ("LookAtPieces", {}), stamp]


def generation(answer: Answer, options: dict[str, int | str]) -> int:
    """The configuration that gave an answer; -1 if it was not one alone."""
    numbers = answer.load.split(",")
    if "target" not in options:  # the body has what the upstream got
        numbers += answer.body.split(" ")[3].split(",")
    expected = 2 if "target" in options else 4
    if len(numbers) != expected or len(set(numbers)) != 1 or not numbers[0].isdigit():
        return -1
    return int(numbers[0])


def is_right(number: int, answer: Answer, options: dict[str, int | str]) -> bool:
    """Whether the answer is whole, and to this request."""
    if "target" in options:
        return answer.status == 200 and answer.outcome == "ok" and answer.body == "same 1000000"
    stamps = answer.body.split(" ")[3] if answer.outcome == "ok" and answer.status == 200 else ""
    return answer.said(number, body=int(options.get("body", 0)), tag=stamps)


def load(folder: Path, *, reloads: int, between: int) -> dict[str, Any]:
    """Reloads while the clients run, each after `between` requests; asserts all that is claimed."""
    with (
        CountingUpstream() as upstream,
        ProxyProcess(upstream.address, chain(0), timeout_s=60) as proxy,
    ):
        with ExitStack() as stack:
            clients = [
                stack.enter_context(
                    LoadClient(proxy.address, folder, requests=1_900_000, limit_s=200, **options)
                )
                for options in CLIENTS
            ]
            for number in range(1, reloads + 1):
                more = proxy.stat("downstream_rq_total") + between
                eventually("requests", lambda: proxy.stat("downstream_rq_total") >= more)  # noqa: B023
                proxy.reload(chain(number))
                eventually(
                    "a request of the new configuration",
                    lambda: proxy.facts()["newest"] == number,  # noqa: B023
                )
            found = [client.stop() for client in clients]
        proxy.settle()
        seen = upstream.seen(folder)
        eventually("old filters are gone", lambda: proxy.facts()["alive"] == [reloads] * 2)
        facts, leases = proxy.facts(), proxy.stat("server.leases")
        applied = proxy.stat("lds.update_success")
    by_generation = check(found, seen)
    assert set(by_generation) == set(range(reloads + 1))
    assert sorted(facts["started"]) == sorted([*range(reloads + 1)] * 2)
    assert sorted(facts["stopped"]) == sorted([*range(reloads)] * 2)
    assert applied == reloads + 1
    assert leases == 0
    return {
        "reloads": reloads,
        "requests": sum(by_generation.values()),
        "requests_by_client": [len(answers) for answers in found],
        "failed": 0,
        "least_in_a_generation": min(by_generation.values()),
    }


def check(found: list[dict[int, Answer]], seen: Seen) -> Counter[int]:
    """Every answer right and of one configuration, every id once at the upstream."""
    by_generation: Counter[int] = Counter()
    ids: set[int] = set()
    for options, answers in zip(CLIENTS, found, strict=True):
        wrong = {n: answer for n, answer in answers.items() if not is_right(n, answer, options)}
        assert not wrong, f"{len(wrong)} of {len(answers)} failed, as {list(wrong.items())[:3]}"
        each = {number: generation(answer, options) for number, answer in answers.items()}
        mixed = [answers[number] for number, of in each.items() if of < 0]
        assert not mixed, mixed[:3]
        by_generation.update(each.values())
        ids |= answers.keys()
    assert seen.ids == dict.fromkeys(ids, 1)
    assert (seen.aborted, seen.bad) == (0, 0)
    return by_generation


def test_no_request_fails_in_20_reloads(tmp_path: Path) -> None:
    load(tmp_path, reloads=20, between=300)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_request_of_many_fails_in_20_reloads(tmp_path: Path) -> None:
    load(tmp_path, reloads=20, between=10_000)


def measure(folder: Path, full: bool) -> dict[str, Any]:
    """The load."""
    return load(folder, reloads=20, between=10_000 if full else 300)


if __name__ == "__main__":
    command(
        "test_reload", "requests that fail or are mixed up while configurations change", measure
    )
