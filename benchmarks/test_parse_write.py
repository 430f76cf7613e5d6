"""What does it cost to read a request's head, and to write it again?

Compared: the small request of a load generator, and one with 20 headers as browsers send it. Unit:
ns for one head. Fixed: the bytes are in memory and all there; reading takes the copy with it that
stands for the read; writing is from the parsed header map.
"""

from __future__ import annotations

import pytest

from benchmarks.conftest import StageMaker, Timer
from benchmarks.stage import BROWSER_REQUEST, EXCHANGE, READ, SMALL_REQUEST, WRITE

_REQUESTS = {"small": SMALL_REQUEST, "browser": BROWSER_REQUEST}


@pytest.mark.benchmark(group="heads")
@pytest.mark.parametrize("request_name", _REQUESTS)
@pytest.mark.parametrize("what", ["read", "write", "exchange"])
def test_head(make_stage: StageMaker, per_operation: Timer, what: str, request_name: str) -> None:
    stage = make_stage([], request=_REQUESTS[request_name])
    kind = {"read": READ, "write": WRITE, "exchange": EXCHANGE}[what]
    per_operation(lambda times: stage.run(kind, times), 5_000)


@pytest.mark.parametrize("request_name", _REQUESTS)
def test_what_is_written_is_what_was_read(make_stage: StageMaker, request_name: str) -> None:
    request = _REQUESTS[request_name]
    stage = make_stage([], request=request)
    stage.run(EXCHANGE, 1)
    exchanged = stage.sent()[0]
    stage.run(WRITE, 1)
    assert stage.sent()[0] == exchanged
    assert _fields(exchanged) == _fields(request)


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:] if line]
    return [(name.lower(), value) for name, _, value in lines]
