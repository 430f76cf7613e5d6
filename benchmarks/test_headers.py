"""What does it cost to read and to write one header: in C, and in Python?

Compared: `headers_get` and `headers_set` of the host table, called in a C filter, and
`stream.request.headers[...]`, both attribute lookups included, in a Python filter, through the
dispatcher of this process. Unit: ns for one access. Fixed: 12 headers of which ours is the last
and no well-known one (so that it is looked for, not indexed), a value of 13 bytes, inside a hook.
"""

from __future__ import annotations

from typing import Any

import pytest

import moebridge as mb
from benchmarks.conftest import StageMaker, Timer
from benchmarks.filters import InHook
from benchmarks.stage import EXCHANGE, c_filter

_TIMES = 50_000
_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nAccept-Language: en\r\n"
    b"Cache-Control: no-cache\r\nCookie: a=b\r\nReferer: http://a/\r\nUser-Agent: bench\r\n"
    b"X-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\nX-Bench: another value\r\n\r\n"
)


def _get(stream: mb.Stream, times: int) -> None:
    for _ in range(times):
        stream.request.headers["x-bench"]


def _set(stream: mb.Stream, times: int) -> None:
    for _ in range(times):
        stream.request.headers["x-bench"] = "another value"


def _nothing(_stream: mb.Stream, times: int) -> None:
    for _ in range(times):
        pass


_PYTHON = {"get": _get, "set": _set, "loop alone": _nothing}


@pytest.mark.benchmark(group="headers")
@pytest.mark.parametrize("access", _PYTHON)
def test_python(make_stage: StageMaker, per_operation: Timer, access: str) -> None:
    function = _PYTHON[access]
    item = InHook()
    item.function = lambda stream: per_operation(lambda times: function(stream, times), 2_000)
    make_stage([item], request=_REQUEST).run(EXCHANGE, 1)


@pytest.mark.benchmark(group="headers")
@pytest.mark.parametrize("access", ["get", "set"])
def test_c(make_stage: StageMaker, per_operation: Timer, access: str) -> None:
    stage = make_stage([c_filter(access, _TIMES)], request=_REQUEST)
    per_operation(lambda _times: stage.run(EXCHANGE, 1), _TIMES)


def test_both_read_and_write_the_same(make_stage: StageMaker) -> None:
    seen: list[Any] = []
    item = InHook()
    item.function = lambda stream: seen.append(stream.request.headers["x-bench"])
    make_stage([item], request=_REQUEST).run(EXCHANGE, 1)
    assert seen == ["another value"]
    sent = []
    changed = _REQUEST.replace(b"another value", b"before")
    item = InHook()
    item.function = lambda stream: _set(stream, 1)
    for filters in ([c_filter("set")], [item]):
        stage = make_stage(filters, request=changed)
        stage.run(EXCHANGE, 1)
        sent.append(stage.sent())
    assert sent[0] == sent[1]
    assert b"x-bench: another value\r\n" in sent[0][0]
