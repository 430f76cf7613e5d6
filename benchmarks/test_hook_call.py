"""What does it cost to call a hook that does nothing: in C, in Python, in compiled Python?

Compared: the request headers hook of a filter in C (a loaded library), of one in Python, and of the
same compiled with Cython, through the dispatcher of this process (MOEBRIDGE_DISPATCH). Unit: ns
for one call, the core's part of it (hook slot, group, counters) included. Fixed: one stream,
one batch, so the GIL is there already.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import StageMaker, Timer
from benchmarks.filters import Noop
from benchmarks.moebridge_bench.compiled import compile_filters, load_compiled
from benchmarks.stage import EXCHANGE, HOOK, c_filter

_FILTERS = Path(__file__).with_name("filters.py")


@functools.cache
def _compiled() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return load_compiled(compile_filters(_FILTERS, Path(folder))).Noop


_MAKE: dict[str, Any] = {
    "c": lambda: c_filter("noop"),
    "python": Noop,
    "compiled": lambda: _compiled()(),
}


@pytest.mark.benchmark(group="hook call")
@pytest.mark.parametrize("language", _MAKE)
def test_hook_call(make_stage: StageMaker, per_operation: Timer, language: str) -> None:
    stage = make_stage([_MAKE[language]()])
    per_operation(lambda times: stage.run(HOOK, times), 20_000)


def test_both_hooks_leave_the_messages_alone(make_stage: StageMaker) -> None:
    sent = []
    for filters in ([], *([make()] for make in _MAKE.values())):
        stage = make_stage(filters)
        stage.run(EXCHANGE, 3)
        sent.append(stage.sent())
    assert sent == [sent[0]] * 4
    assert sent[0][0].startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("language", _MAKE)
def test_each_hook_is_called(make_stage: StageMaker, language: str) -> None:
    stage = make_stage([_MAKE[language]()])
    before = stage.stats()["filter.hooks"]
    stage.run(HOOK, 100)
    # Beside the 100: request and response of the exchange itself, and Python's destroy.
    assert stage.stats()["filter.hooks"] - before == 100 + (2 if language == "c" else 3)
