"""Python filters that calls of gRPC pass: one for heads, one for bodies and trailers."""

from __future__ import annotations

import moebridge as mb


class Mark(mb.HttpFilter):
    """Sets a field both ways, and refuses calls that ask for it."""

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        """Adds x-marked, which the server's metadata then has."""
        if stream.request.headers.get("x-refuse"):
            return stream.respond(int(stream.request.headers["x-refuse"]), body=b"refused: 50%\n")
        stream.request.headers["x-marked"] = "request"
        return None

    def on_response_headers(self, stream: mb.Stream) -> None:
        """Adds x-marked to the initial metadata."""
        stream.response.headers["x-marked"] = "response"


class CountBytes(mb.HttpFilter):
    """Counts bytes as they pass and says so in the trailers."""

    class State:
        """Bytes of both bodies."""

        request: int = 0
        response: int = 0

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        """Counts."""
        stream.state.request += len(data)

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        """Counts."""
        stream.state.response += len(data)

    def on_response_trailers(self, stream: mb.Stream) -> None:
        """Adds x-counted."""
        counted = f"{stream.state.request} {stream.state.response}"
        stream.response.trailers["x-counted"] = counted
