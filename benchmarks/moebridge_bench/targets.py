"""What the figures shall be: bounds on rows, each beside what is measured.

A target bounds a row's figure by that of another row, or by a number in the unit of its case. It
is met where the median is; the interval is shown beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from .figures import Figure, figure
from .measure import Result

__all__ = ["TARGETS", "Target", "Verdict", "evaluate", "line"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """An upper bound.

    Attributes:
        case: name of the measure.
        row: that is bounded.
        at_most: of the quotient, or of the figure itself if there is no `of`.
        of: the row that is divided by; None: the bound is in the case's unit.
        of_case: the case of that row; None: the same one.
        beyond: the row whose figure is taken off first, within the rounds; then there is no `of`.
    """

    case: str
    row: str
    at_most: float
    of: str | None = None
    of_case: str | None = None
    beyond: str | None = None


class Verdict(TypedDict):
    """A target beside what was measured.

    Attributes:
        case: name of the measure.
        row: that is bounded.
        target: in words.
        measured: None: one of the rows is missing.
        met: None: likewise.
    """

    case: str
    row: str
    target: str
    measured: Figure | None
    met: bool | None


TARGETS = (
    Target(case="small", row="moebridge", at_most=0.85, of="nginx"),
    Target(case="small", row="moebridge+python", at_most=0.90, of="nginx"),
    Target(case="small", row="moebridge+python10", at_most=1.00, of="nginx"),
    Target(case="connections", row="moebridge", at_most=1.25, of="moebridge", of_case="small"),
    Target(
        case="connections",
        row="moebridge+python",
        at_most=1.25,
        of="moebridge+python",
        of_case="small",
    ),
    Target(case="body", row="moebridge", at_most=1.00, of="haproxy"),
    Target(case="body", row="moebridge", at_most=1.15, of="relay"),
    Target(case="body", row="moebridge+look", at_most=1.05, of="moebridge"),
    Target(case="body", row="moebridge+count", at_most=1.25, of="moebridge"),
    Target(case="h2", row="moebridge", at_most=0.50, of="envoy"),
    Target(case="h2", row="moebridge", at_most=1.00, of="nginx"),
    Target(case="tls", row="moebridge", at_most=1.00, of="nginx"),
    Target(case="handshakes", row="moebridge", at_most=1.05, of="nginx"),
    *(
        Target(case=case, row=row, at_most=1.10, of="nginx")
        for case in ("latency", "latency-p99")
        for row in ("moebridge", "moebridge+python")
    ),
    Target(case="uploads", row="moebridge+look", at_most=1.05, of="moebridge"),
    Target(case="uploads", row="moebridge+count", at_most=1.25, of="moebridge"),
    *(
        Target(case="upload-memory", row=row, at_most=16)
        for row in ("moebridge", "moebridge+look", "moebridge+count")
    ),
    Target(case="idle", row="moebridge+python", at_most=1.5),
    Target(case="routes", row="moebridge+routes", at_most=1.0, beyond="moebridge+route"),
    Target(case="routes", row="moebridge+routes-1", at_most=1.0, beyond="moebridge+route"),
    Target(case="async", row="moebridge+async", at_most=7.0, beyond="moebridge+sync"),
    Target(case="route-apply", row="moebridge+routes", at_most=1000),
    Target(case="startup", row="import", at_most=80),
    Target(case="startup", row="run", at_most=300),
)


def _quotient(above: Result, below: Result, target: Target) -> Figure | None:
    """Of two rows: within the rounds where these are of one run, else of the two medians."""
    assert target.of is not None
    row, base = above["rows"].get(target.row), below["rows"].get(target.of)
    if row is None or base is None:
        return None
    if above is below:
        return figure([a / b for a, b in zip(row["samples"], base["samples"], strict=False)])
    one, other = row["figure"], base["figure"]
    return {
        "median": round(one["median"] / other["median"], 4),
        "low": round(one["low"] / other["high"], 4),
        "high": round(one["high"] / other["low"], 4),
    }


def _measured(target: Target, results: Mapping[str, Result]) -> Figure | None:
    above, below = results.get(target.case), results.get(target.of_case or target.case)
    if above is None or below is None:
        return None
    if target.of is not None:
        return _quotient(above, below, target)
    row = above["rows"].get(target.row)
    if row is None or target.beyond is None:
        return None if row is None else row["figure"]
    off = above["rows"].get(target.beyond)
    if off is None:
        return None
    return figure([a - b for a, b in zip(row["samples"], off["samples"], strict=False)])


def _words(target: Target, results: Mapping[str, Result]) -> str:
    if target.of is None:
        beyond = "" if target.beyond is None else f" beyond {target.beyond}"
        return f"<= {target.at_most:g} {results[target.case]['unit']}{beyond}"
    of = target.of if target.of_case is None else f"{target.of} in {target.of_case}"
    return f"<= {target.at_most:.2f} of {of}"


def evaluate(results: Mapping[str, Result], targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """Returns a verdict for each target whose case was measured.

    Args:
        results: by the names of their measures.
        targets: to evaluate.
    """
    verdicts: list[Verdict] = []
    for target in targets:
        if target.case in results:
            measured = _measured(target, results)
            verdicts.append(
                {
                    "case": target.case,
                    "row": target.row,
                    "target": _words(target, results),
                    "measured": measured,
                    "met": None if measured is None else measured["median"] <= target.at_most,
                }
            )
    return verdicts


def line(verdict: Verdict) -> str:
    """A verdict for a terminal."""
    measured = verdict["measured"]
    if measured is None:
        found = "not measured"
    else:
        found = f"measured {measured['median']:.2f} [{measured['low']:.2f} .. "
        found += f"{measured['high']:.2f}], {'met' if verdict['met'] else 'missed'}"
    return f"  {verdict['row']:20} target {verdict['target']}: {found}"
