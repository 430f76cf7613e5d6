"""What do ten Python filters in a row cost, and one?

Compared: an exchange without a filter, with one, and with ten Python filters that each set one
header on request and response (`set`) or do nothing (`noop`). They stand together, so the core
enters Python once a phase for all of them. Unit: ns for one exchange. Fixed: messages; no sockets;
one batch.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.conftest import StageMaker, Timer
from benchmarks.filters import Noop, SetBoth
from benchmarks.stage import EXCHANGE

_KINDS: dict[str, Any] = {"noop": Noop, "set": SetBoth}


@pytest.mark.benchmark(group="groups")
@pytest.mark.parametrize("count", [0, 1, 10])
@pytest.mark.parametrize("kind", _KINDS)
def test_group(make_stage: StageMaker, per_operation: Timer, kind: str, count: int) -> None:
    stage = make_stage([_KINDS[kind]() for _ in range(count)])
    per_operation(lambda times: stage.run(EXCHANGE, times), 2_000)


def test_ten_filters_do_what_one_does(make_stage: StageMaker) -> None:
    sent = []
    for count in (1, 10):
        stage = make_stage([SetBoth() for _ in range(count)])
        stage.run(EXCHANGE, 1)
        sent.append(stage.sent())
    assert sent[0] == sent[1]
    assert b"x-bench-request: set\r\n" in sent[0][0]


def test_group_is_entered_once_a_phase(make_stage: StageMaker) -> None:
    stage = make_stage([SetBoth() for _ in range(10)])
    before = stage.stats()["bridge.crossings"]
    stage.run(EXCHANGE, 100)
    # Request, response, and the end of the streams.
    assert stage.stats()["bridge.crossings"] - before == 100 * 3
