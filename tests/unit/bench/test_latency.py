from __future__ import annotations

import pytest
from benchmarks.moebridge_bench.latency import percentile, response_times_us
from benchmarks.moebridge_bench.load import LoadError


@pytest.mark.parametrize(
    ("share", "found"), [(0.5, 50), (0.99, 99), (0.991, 100), (0, 1), (1, 100)]
)
def test_percentile_is_the_least_value_that_the_share_does_not_exceed(
    share: float, found: float
) -> None:
    assert percentile(range(100, 0, -1), share) == found


def test_answers_to_the_first_quarter_of_the_time_are_not_counted() -> None:
    log = "".join(f"{1_000_000 + 100 * n}\t200\t{n}\n" for n in range(5))
    assert response_times_us(log) == [1, 2, 3, 4]


@pytest.mark.parametrize("log", ["", "1000\t200\t5\n1001\t503\t5\n", "1000\t-1\t5\n"])
def test_wrong_answer_or_none_ends_the_measure(log: str) -> None:
    with pytest.raises(LoadError):
        response_times_us(log)
