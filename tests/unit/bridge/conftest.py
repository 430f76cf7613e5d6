"""Fixtures of the bridge's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import moebridge as mb
from moebridge import _barrier

from .harness import Bench

BenchMaker = Callable[..., Bench]


@pytest.fixture(autouse=True)
def _every_error_is_logged() -> None:
    _barrier._windows.clear()


@pytest.fixture
def make_bench() -> Iterator[BenchMaker]:
    """Makes servers: `make_bench(filter, ..., handler=...)`; they close with the test."""
    with ExitStack() as stack:

        def make(*filters: mb.HttpFilter, **options: Any) -> Bench:
            bench = Bench(*filters, **options)
            stack.callback(bench.close)
            return bench

        yield make
