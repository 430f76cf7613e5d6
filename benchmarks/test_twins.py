"""What does a shipped filter cost in C, and its twin in Python?

Compared: header_mutation (sets one header each way), basic_auth (hashes at each request) and
body_scan (a response of 64 KiB) as built into the core, and the Python filters of
moebridge_plugins. Unit: ns for one exchange of request and response; `none` is the exchange
without a filter, to be taken off. Fixed: configuration, messages; no sockets.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

import moebridge as mb
from benchmarks.conftest import StageMaker, Timer
from benchmarks.stage import EXCHANGE, SMALL_REQUEST, SMALL_RESPONSE
from moebridge_plugins.basic_auth import BasicAuth
from moebridge_plugins.body_scan import BodyScan
from moebridge_plugins.header_mutation import HeaderMutation

_PYTHON: dict[str, Any] = {
    "header_mutation": HeaderMutation,
    "basic_auth": BasicAuth,
    "body_scan": BodyScan,
}
_SHA1 = base64.b64encode(hashlib.sha1(b"secret").digest()).decode()
_BODY = b"0123456789abcdef needle 0123456789abcdef " * 1600


def _set(name: str) -> dict[str, Any]:
    header = {"key": name, "value": "set"}
    return {"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}


_CONFIG: dict[str, dict[str, Any]] = {
    "header_mutation": {
        "mutations": {
            "request_mutations": [_set("x-bench-request")],
            "response_mutations": [_set("x-bench-response")],
        }
    },
    "basic_auth": {"users": {"inline_string": f"ann:{{SHA}}{_SHA1}\n"}},
    "body_scan": {"pattern": "needle", "request": False},
}
_MESSAGES: dict[str, dict[str, bytes]] = {
    "header_mutation": {},
    "basic_auth": {
        "request": SMALL_REQUEST.replace(
            b"\r\n\r\n",
            b"\r\nAuthorization: Basic " + base64.b64encode(b"ann:secret") + b"\r\n\r\n",
        )
    },
    "body_scan": {
        "response": SMALL_RESPONSE[:-64].replace(b"Length: 64", b"Length: %d" % len(_BODY)) + _BODY
    },
}


def _filters(name: str, language: str) -> list[Any]:
    if language == "none":
        return []
    config = _CONFIG[name]
    return [mb.NativeFilter(name, config) if language == "c" else _PYTHON[name](**config)]


@pytest.mark.parametrize("name", _CONFIG)
@pytest.mark.parametrize("language", ["none", "c", "python"])
def test_twin(
    make_stage: StageMaker, per_operation: Timer, benchmark: Any, name: str, language: str
) -> None:
    benchmark.group = f"twins: {name}"
    stage = make_stage(_filters(name, language), **_MESSAGES[name])
    per_operation(lambda times: stage.run(EXCHANGE, times), 2_000)


@pytest.mark.parametrize("name", _CONFIG)
def test_twins_do_the_same(make_stage: StageMaker, name: str) -> None:
    sent, counts = [], []
    for language in ("c", "python"):
        stage = make_stage(_filters(name, language), **_MESSAGES[name])
        stage.run(EXCHANGE, 1)
        sent.append(stage.sent())
        found = [value for key, value in stage.stats().items() if "matches" in key]
        counts.append(found)
    assert sent[0] == sent[1]
    if name == "header_mutation":
        assert b"x-bench-request: set\r\n" in sent[0][0]
        assert b"x-bench-response: set\r\n" in sent[0][1]
    if name == "body_scan":
        assert counts[0] == counts[1] == [_BODY.count(b"needle")]
