"""The Python filters of the micro suites."""

from __future__ import annotations

from collections.abc import Callable

import moebridge as mb

__all__ = ["InHook", "Noop", "SetBoth"]


class Noop(mb.HttpFilter):
    """Two hooks that do nothing."""

    def on_request_headers(self, stream: mb.Stream) -> None:
        pass

    def on_response_headers(self, stream: mb.Stream) -> None:
        pass


class SetBoth(mb.HttpFilter):
    """One header on the request, one on the response."""

    def on_request_headers(self, stream: mb.Stream) -> None:
        stream.request.headers["x-bench-request"] = "set"

    def on_response_headers(self, stream: mb.Stream) -> None:
        stream.response.headers["x-bench-response"] = "set"


class InHook(mb.HttpFilter):
    """Calls a function inside the request's hook: what is measured there runs as in a filter."""

    function: Callable[[mb.Stream], object]

    def on_request_headers(self, stream: mb.Stream) -> None:
        self.function(stream)
