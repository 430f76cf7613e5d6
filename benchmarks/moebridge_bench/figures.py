"""Medians and their intervals."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import median
from typing import TypedDict

__all__ = ["Figure", "figure"]

_RESAMPLES = 2000


class Figure(TypedDict):
    """A median with its 95 % interval."""

    median: float
    low: float
    high: float


def figure(samples: Sequence[float]) -> Figure:
    """Returns the median and its bootstrap interval (percentile method, fixed seed)."""
    chance = random.Random(1)
    medians = sorted(median(chance.choices(samples, k=len(samples))) for _ in range(_RESAMPLES))
    return {
        "median": round(median(samples), 4),
        "low": round(medians[int(0.025 * _RESAMPLES)], 4),
        "high": round(medians[int(0.975 * _RESAMPLES) - 1], 4),
    }
