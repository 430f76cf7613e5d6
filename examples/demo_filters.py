"""The Python filter of the demo, the same as its C twin: one header each way."""

import moebridge as mb


class Tag(mb.HttpFilter):
    """Write a header into the request and one into the response."""

    def on_request_headers(self, stream: mb.Stream) -> None:
        """On the way to the upstream."""
        stream.request.headers["x-demo-request"] = "seen"

    def on_response_headers(self, stream: mb.Stream) -> None:
        """On the way back."""
        stream.response.headers["x-demo-response"] = "seen"
