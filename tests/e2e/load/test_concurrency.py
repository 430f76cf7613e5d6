"""Many keep-alive clients through native and Python filters: no wrong answer, nothing left over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.load.figure import command
from tests.e2e.load.peers import CountingUpstream, LoadClient
from tests.e2e.load.proxy_process import Objects, ProxyProcess

CHAIN: list[tuple[str, dict[str, Any]]] = [
    (
        "native:header_mutation",
        {
            "mutations": {
                "request_mutations": [{"append": {"header": {"key": "x-native", "value": "1"}}}]
            }
        },
    ),
    ("Stamp", {}),
    ("LookAtPieces", {}),
    ("native:body_scan", {"pattern": "same"}),
    ("Later", {}),
]
RSS_GROWTH_MAX = 4 << 20
#: Of Python's allocator: interned strings, dict resizes; a leak of one in a thousand shows.
BLOCKS_GROWTH_MAX = 200


def run(
    proxy: ProxyProcess,
    upstream: CountingUpstream,
    folder: Path,
    *,
    connections: int,
    requests: int,
    first_id: int,
) -> dict[str, int]:
    """Sends the requests, checks every answer at the client and every id at the upstream."""
    upstream.reset()
    with LoadClient(
        proxy.address,
        folder,
        connections=connections,
        requests=requests,
        first_id=first_id,
        body=64,
        limit_s=100,
    ) as client:
        answers = client.answers()
    seen = upstream.seen(folder)
    ids = range(first_id, first_id + requests)
    assert answers.keys() == set(ids)
    wrong = {
        number: answer
        for number, answer in answers.items()
        if not answer.said(number, body=64, tag=str(number)) or answer.load != str(number)
    }
    assert not wrong, f"{len(wrong)} wrong answers, as {next(iter(wrong.items()))}"
    assert seen.ids == dict.fromkeys(ids, 1)
    assert (seen.requests, seen.bad) == (requests, 0)
    proxy.settle()
    return {"requests": requests, "connections": connections, "wrong": len(wrong)}


def grown(before: Objects, after: Objects) -> dict[str, int]:
    """Types of which there are more objects than before."""
    return {
        name: count - before["types"].get(name, 0)
        for name, count in after["types"].items()
        if count > before["types"].get(name, 0)
    }


def load(folder: Path, *, connections: int, requests: int) -> dict[str, Any]:
    """A warm-up with as many clients, then the load; asserts all that is claimed."""
    with (
        CountingUpstream() as upstream,
        ProxyProcess(upstream.address, CHAIN, timeout_s=60) as proxy,
    ):
        warm_up = requests // 5
        for first_id in (1, 1 + warm_up):
            run(
                proxy,
                upstream,
                folder,
                connections=connections,
                requests=warm_up,
                first_id=first_id,
            )
        before, fds, rss = proxy.objects(), proxy.fds(), proxy.rss_bytes()
        figures = run(
            proxy,
            upstream,
            folder,
            connections=connections,
            requests=requests,
            first_id=1 + 2 * warm_up,
        )
        after = proxy.objects()
        left: dict[str, Any] = {
            "rss_growth_bytes": proxy.rss_bytes() - rss,
            "fds_growth": proxy.fds() - fds,
            "types_grown": grown(before, after),
            "blocks_growth": after["blocks"] - before["blocks"],
            "leases": proxy.stat("server.leases"),
        }
        facts, stats = proxy.facts(), proxy.stats()
    total = requests + 2 * warm_up
    assert facts["completed"] == total
    assert facts["later"] == total
    assert facts["request_bytes"] == 64 * total
    assert "mixed_up" not in facts
    assert stats["http.ingress_http.downstream_rq_2xx"] == total
    assert left["types_grown"] == {}
    assert left["leases"] == left["fds_growth"] == 0
    assert left["rss_growth_bytes"] < RSS_GROWTH_MAX
    assert left["blocks_growth"] < BLOCKS_GROWTH_MAX
    return {**figures, "left_over": left}


def test_200_clients_and_20_000_requests_leave_nothing_behind(tmp_path: Path) -> None:
    load(tmp_path, connections=200, requests=20_000)


@pytest.mark.long
def test_1_000_clients_and_200_000_requests_leave_nothing_behind(tmp_path: Path) -> None:
    load(tmp_path, connections=1000, requests=200_000)


def measure(folder: Path, full: bool) -> dict[str, Any]:
    """The load."""
    if full:
        return load(folder, connections=1000, requests=200_000)
    return load(folder, connections=200, requests=20_000)


if __name__ == "__main__":
    command("test_concurrency", "wrong answers and leftovers of concurrent clients", measure)
