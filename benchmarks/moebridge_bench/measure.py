"""What a measure is, and the form of all results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, Protocol, TypedDict

from .figures import Figure, figure

__all__ = ["Measure", "Options", "Result", "Row", "Say", "make_row"]

#: Gets a line of progress.
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user asked for.

    Attributes:
        rounds: measurements of each row; None: as the measure says.
        seconds: of one measurement, where it is a load of some length; None: as the measure says.
        quick: the whole run shall end within a minute: few rounds.
        rows: only these, and the base; empty: all.
        peers: a virtual environment with further proxies; None: what PATH has.
    """

    rounds: int | None = None
    seconds: int | None = None
    quick: bool = False
    rows: tuple[str, ...] = ()
    peers: Path | None = None


class Row(TypedDict):
    """One proxy's part of a result, in the result's unit.

    Attributes:
        title: what a reader is told.
        figure: median and interval of the samples.
        samples: in the order of the rounds, so that rows can be compared round by round.
        ratio: to the base row, taken within the rounds; only where the result has a base.
        more: other figures, by names with their units.
    """

    title: str
    figure: Figure
    samples: list[float]
    ratio: NotRequired[Figure]
    more: NotRequired[dict[str, float]]


class Result(TypedDict):
    """What a measure found.

    Attributes:
        title: what was measured.
        unit: of all figures, as in "us of CPU a request".
        load: what made the load, as one would type it.
        rounds: measurements of each row.
        base: the row that `ratio` divides by; None: there are no ratios.
        rows: in the order in which they are shown.
        missing: rows that were not measured, and why.
    """

    title: str
    unit: str
    load: str
    rounds: int
    base: str | None
    rows: dict[str, Row]
    missing: dict[str, str]


class Measure(Protocol):
    """One question about the proxies, asked of several rows."""

    @property
    def name(self) -> str:
        """Its name for --case, and its key in the results."""
        ...

    @property
    def title(self) -> str:
        """What a reader is told."""
        ...

    @property
    def quick(self) -> bool:
        """Part of --quick."""
        ...

    def run(self, say: Say, options: Options) -> Result:
        """Measures."""
        ...


def make_row(
    title: str,
    samples: Sequence[float],
    *,
    base: Sequence[float] | None = None,
    more: Mapping[str, float] | None = None,
) -> Row:
    """Returns a row of these samples.

    Args:
        title: what a reader is told.
        samples: one for each round.
        base: the base row's of the same rounds; a row that was measured in fewer is compared in
            those.
        more: other figures.
    """
    row: Row = {"title": title, "figure": figure(samples), "samples": list(samples)}
    if base is not None:
        row["ratio"] = figure([a / b for a, b in zip(samples, base, strict=False)])
    if more:
        row["more"] = dict(more)
    return row
