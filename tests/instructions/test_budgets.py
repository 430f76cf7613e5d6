"""Instructions of the hot path (callgrind) stay within the budgets of budgets.json.

A budget changes by hand, in a commit that says why. What Python itself executes differs from one
version of it to the next: there the margin is wide.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks.instructions import CASES, count

BUDGETS: dict[str, int] = json.loads(Path(__file__).with_name("budgets.json").read_text())
#: Counted in every run; the rest, which takes minutes, in the long one.
GUARDED = ("exchange", "hook in Python")
MARGIN = 0.05
MARGIN_OTHER_PYTHON = 0.5


def margin(name: str) -> float:
    measured_with = (3, 11)
    other = "Python" in name and sys.version_info[:2] != measured_with
    return MARGIN_OTHER_PYTHON if other else MARGIN


def faults(name: str) -> list[str]:
    found, budget = count(name), BUDGETS[name]
    if found > budget * (1 + margin(name)):
        return [f"{name}: {found} instructions, its budget is {budget}"]
    if found < budget * 0.8 and margin(name) == MARGIN:
        # Far below is no success but a budget that guards nothing any more.
        return [f"{name}: {found} instructions, its budget of {budget} can be lowered"]
    return []


def test_every_case_has_a_budget() -> None:
    assert set(BUDGETS) == set(CASES)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", GUARDED)
def test_core_and_hook_stay_within_their_budgets(name: str) -> None:
    assert not faults(name)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_all_else_stays_within_its_budget() -> None:
    found = [fault for name in set(CASES) - set(GUARDED) for fault in faults(name)]
    assert not found, "\n".join(found)
