"""Metrics of filters: handles on the core's own; native and Python filters share one registry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from moebridge._dispatch import Metric, Place

__all__ = ["Counter", "Gauge", "Histogram"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_MAX = (1 << 63) - 1


class _Handle:
    """One metric. For the worker's thread."""

    __slots__ = ("_metric",)
    _kind: ClassVar[int]

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    @property
    def name(self) -> str:
        """The full name."""
        return self._metric.name


class Counter(_Handle):
    """A number that grows."""

    __slots__ = ()
    _kind = 0

    def inc(self, amount: int = 1) -> None:
        """Adds."""
        self._metric.add(_number(amount))

    def value(self) -> int:
        """The number now."""
        return self._metric.value()


class Gauge(_Handle):
    """A number that goes up and down, never below zero."""

    __slots__ = ()
    _kind = 1

    def set(self, value: int) -> None:
        """Sets it."""
        self._metric.set(_number(value))

    def inc(self, amount: int = 1) -> None:
        """Adds."""
        self._metric.add(_number(amount))

    def dec(self, amount: int = 1) -> None:
        """Subtracts."""
        self._metric.add(-_number(amount))

    def value(self) -> int:
        """The number now."""
        return self._metric.value()


class Histogram(_Handle):
    """A distribution of whole numbers."""

    __slots__ = ()
    _kind = 2

    def record(self, value: int) -> None:
        """Adds one value."""
        self._metric.record(_number(value))

    def count(self) -> int:
        """How many values there are."""
        return self._metric.value()


T = TypeVar("T", bound=_Handle)


def define(kind: type[T], place: Place, name: object, labels: Mapping[Any, Any] | None) -> T:
    """Defines a metric of a filter, `py.<filter>.<name>`, or finds it again."""
    if not isinstance(name, str):
        raise TypeError(f"a metric's name is str, not {type(name).__name__}")
    if not _NAME.match(name):
        raise ValueError(f"a metric's name has letters, digits, _ and dots: {name!r:.80} does not")
    pairs: list[tuple[bytes, bytes]] = []
    for key, value in (labels or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metric {name!r}: labels are str, not {key!r:.40}: {value!r:.40}")
        pairs.append((key.encode(), value.encode()))
    return kind(place.metric(kind._kind, f"py.{place.name}.{name}", pairs))


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"a metric takes int, not {type(value).__name__}")
    if not 0 <= value <= _MAX:
        raise ValueError(f"a metric takes 0 to 2**63-1, not {value}")
    return value
