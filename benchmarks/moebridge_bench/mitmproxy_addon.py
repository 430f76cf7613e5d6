"""The addon of mitmproxy's row: one header on the request, one on the response.

mitmproxy's interpreter reads it, which may not know this package.
"""

from __future__ import annotations

from typing import Any


def request(flow: Any) -> None:
    flow.request.headers["x-bench-request"] = "set"


def response(flow: Any) -> None:
    flow.response.headers["x-bench-response"] = "set"
