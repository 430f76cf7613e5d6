from __future__ import annotations

import pytest
from benchmarks.moebridge_bench.cases import CASES
from benchmarks.moebridge_bench.measures import MEASURES
from benchmarks.moebridge_bench.peers import PEERS
from benchmarks.moebridge_bench.targets import TARGETS, Target, evaluate, line

from .results import made_up

SMALL = made_up({"nginx": [10, 20, 40], "moebridge": [8, 16, 32]})
TO_NGINX = Target(case="small", row="moebridge", at_most=0.85, of="nginx")


def test_quotient_is_taken_within_the_rounds() -> None:
    # The medians of these rows are equal; round by round the row is 0.8, 0.5 and 2 of its base.
    small = made_up({"nginx": [10, 20, 40], "moebridge": [20, 10, 32]})
    (verdict,) = evaluate({"small": small}, [TO_NGINX])
    assert verdict["measured"] == {"median": 0.8, "low": 0.5, "high": 2.0}
    assert verdict["met"] is True


def test_bound_itself_is_met_and_what_is_above_is_missed() -> None:
    for at_most, met in ((0.8, True), (0.79, False)):
        target = Target(case="small", row="moebridge", at_most=at_most, of="nginx")
        (verdict,) = evaluate({"small": SMALL}, [target])
        assert verdict["met"] is met


def test_row_of_another_case_is_compared_by_the_medians() -> None:
    many = made_up({"nginx": [50, 50, 50], "moebridge": [24, 24, 24]}, title="many")
    target = Target(
        case="connections", row="moebridge", at_most=1.25, of="moebridge", of_case="small"
    )
    (verdict,) = evaluate({"small": SMALL, "connections": many}, [target])
    assert verdict["measured"] is not None
    assert verdict["measured"]["median"] == 1.5
    assert (verdict["measured"]["low"], verdict["measured"]["high"]) == (0.75, 3.0)
    assert line(verdict) == (
        "  moebridge            target <= 1.25 of moebridge in small: "
        "measured 1.50 [0.75 .. 3.00], missed"
    )


def test_absolute_bound_is_in_the_unit_of_the_case() -> None:
    (verdict,) = evaluate({"small": SMALL}, [Target(case="small", row="moebridge", at_most=16)])
    assert verdict["met"] is True
    assert verdict["target"] == "<= 16 us of CPU a request"


@pytest.mark.parametrize(
    "target",
    [
        Target(case="small", row="moebridge", at_most=1, of="haproxy"),
        Target(case="small", row="moebridge+python", at_most=1, of="nginx"),
        Target(case="small", row="moebridge+python", at_most=1),
        Target(case="small", row="moebridge", at_most=1, beyond="moebridge+sync"),
        Target(case="small", row="moebridge", at_most=1, of="moebridge", of_case="connections"),
    ],
)
def test_without_one_of_its_rows_a_target_is_neither_met_nor_missed(target: Target) -> None:
    (verdict,) = evaluate({"small": SMALL}, [target])
    assert (verdict["measured"], verdict["met"]) == (None, None)
    assert line(verdict).endswith("not measured")


def test_difference_is_taken_within_the_rounds() -> None:
    target = Target(case="small", row="moebridge", at_most=-3, beyond="nginx")
    (verdict,) = evaluate({"small": SMALL}, [target])
    assert verdict["measured"] == {"median": -4.0, "low": -8.0, "high": -2.0}
    assert verdict["met"] is True
    assert verdict["target"] == "<= -3 us of CPU a request beyond nginx"


def test_every_target_is_of_a_measure() -> None:
    assert {target.case for target in TARGETS} <= {measure.name for measure in MEASURES}


def test_targets_of_cases_that_were_not_measured_are_left_out() -> None:
    assert evaluate({"small": SMALL}, [Target(case="h2", row="moebridge", at_most=1)]) == []


def test_every_target_names_rows_of_its_cases() -> None:
    rows = {case.name: case.rows for case in CASES}
    for target in TARGETS:
        if target.case in rows:
            assert target.row in rows[target.case]
        if target.of is not None and (target.of_case or target.case) in rows:
            assert target.of in rows[target.of_case or target.case]


def test_every_row_of_a_case_is_a_peer() -> None:
    for case in CASES:
        assert case.rows[0] == "nginx"
        assert len(set(case.rows)) == len(case.rows)
        assert set(case.rows) <= set(PEERS)
