"""Fixtures of the suites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from benchmarks.stage import Stage

StageMaker = Callable[..., Stage]
#: Times `function(times)`; the figure that counts is extra_info["ns_per_operation"].
Timer = Callable[[Callable[[int], object], int], None]

_ROUNDS = 40


@pytest.fixture
def make_stage() -> Iterator[StageMaker]:
    """Makes stages that end with the test: `make_stage([filter, ...], request=...)`."""
    with ExitStack() as stack:

        def make(filters: Sequence[Any] = (), **messages: bytes) -> Stage:
            return stack.enter_context(Stage(filters, **messages))

        yield make


@pytest.fixture
def per_operation(benchmark: Any) -> Timer:
    """Times `function(times)` in rounds and notes what one of the operations took."""

    def time_it(function: Callable[[int], object], times: int) -> None:
        benchmark.pedantic(function, args=(times,), rounds=_ROUNDS, warmup_rounds=2)
        if benchmark.enabled:
            stats = benchmark.stats.stats
            benchmark.extra_info["operations"] = times
            benchmark.extra_info["ns_per_operation"] = round(stats.median * 1e9 / times, 1)
            benchmark.extra_info["ns_per_operation_min"] = round(stats.min * 1e9 / times, 1)

    return time_it
