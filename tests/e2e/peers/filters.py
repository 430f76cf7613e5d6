"""The filters that stand between all peers: one changes heads, one looks at every body piece."""

from __future__ import annotations

import moebridge as mb


class Mark(mb.HttpFilter):
    """A header on the request, two on the response; one says what the client speaks."""

    def on_request_headers(self, stream: mb.Stream) -> None:
        stream.request.headers["x-saw"] = "set"

    def on_response_headers(self, stream: mb.Stream) -> None:
        stream.response.headers["x-mark"] = "set"
        stream.response.headers["x-protocol"] = stream.info.protocol


class Bodies(mb.HttpFilter):
    """Looks at every byte of both bodies without changing one."""

    class State:
        """Bytes so far."""

        seen = 0

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        stream.state.seen += sum(len(piece) for piece in data.slices())

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        stream.state.seen += sum(len(piece) for piece in data.slices())
