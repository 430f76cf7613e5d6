"""All that `moebridge bench` measures, in the order in which it does."""

from __future__ import annotations

from .cases import CASES
from .measure import Measure

__all__ = ["MEASURES"]

MEASURES: tuple[Measure, ...] = (*CASES,)
