"""The Python filters of the comparison."""

from __future__ import annotations

import moebridge as mb

__all__ = ["CountBody", "LookAtBody", "SetHeaders"]


class SetHeaders(mb.HttpFilter):
    """One header on the request, one on the response: what a small header plugin does."""

    def on_request_headers(self, stream: mb.Stream) -> None:
        stream.request.headers["x-bench-request"] = "set"

    def on_response_headers(self, stream: mb.Stream) -> None:
        stream.response.headers["x-bench-response"] = "set"


class LookAtBody(mb.HttpFilter):
    """Looks at each piece of both bodies: its length, and its bytes without a copy."""

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        if len(data):
            view = memoryview(data)
            view[0]
            view.release()

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        if len(data):
            view = memoryview(data)
            view[0]
            view.release()


class CountBody(mb.HttpFilter):
    """Counts a pattern in each piece of both bodies."""

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        data.count(b"needle")

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        data.count(b"needle")
