"""HttpFilter: the base of all filters of HTTP streams written in Python."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from moebridge.filter_base import Filter
from moebridge.status import Status

if TYPE_CHECKING:
    from moebridge._backend import Stream
    from moebridge._dispatch import Buffer

__all__ = ["HttpFilter"]


class HttpFilter(Filter):
    """A filter of HTTP streams.

    Override the hooks that you need: for the others the core never enters Python. Any hook may be
    `async def`. One object serves all streams of one proxy; what belongs to a stream is in
    `stream.state`.

    Example:
        class ApiKey(mb.HttpFilter):
            class Config(mb.Config):
                keys: dict[str, str]

            config: Config

            def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
                if stream.request.headers.get("x-api-key") not in self.config.keys:
                    return stream.respond(401)
                return None

    Attributes:
        config: the object of the class's own `Config`.
        name: its name in the chain, once it is part of a proxy.
    """

    # -- hooks, in order of a stream's life ----------------------------------------------------

    def on_request_headers(self, stream: Stream) -> Awaitable[Status | None] | Status | None:
        """The request's headers have come.

        Returns:
            CONTINUE (None), STOP_ITERATION, STOP_ALL_AND_BUFFER, STOP_ALL_AND_WATERMARK, or what
            `stream.respond()` returned.
        """

    def on_request_body(
        self, stream: Stream, data: Buffer
    ) -> Awaitable[Status | None] | Status | None:
        """A piece of the request's body has come.

        Args:
            stream: the stream; `stream.request.body` is what was stopped here before.
            data: the new piece. The last one has `stream.request.ended` true and may be empty.

        Returns:
            CONTINUE (None), STOP_AND_BUFFER, STOP_AND_WATERMARK, STOP_NO_BUFFER, or what
            `stream.respond()` returned.

        Lifetime:
            `data` until the hook returns; a memoryview of it, for as long as you keep it.
        """

    def on_request_trailers(self, stream: Stream) -> Awaitable[Status | None] | Status | None:
        """The request's trailers have come, behind its body.

        Returns:
            CONTINUE (None), STOP_ITERATION, or what `stream.respond()` returned.
        """

    def on_request(self, stream: Stream) -> Awaitable[Status | None] | Status | None:
        """The whole request is here: `stream.request.body` is all of its body.

        Headers wait until then; over the limit of the buffer the client gets 413. The body may be
        changed; content-length follows. Trailers come after it. Not called for a request that
        asks for a tunnel (an upgrade, CONNECT), which is never whole: see on_request_body.

        Returns:
            CONTINUE (None), STOP_ITERATION (goes on with `resume()`), or what `stream.respond()`
            returned.
        """

    def on_response_headers(self, stream: Stream) -> Awaitable[Status | None] | Status | None:
        """The response's headers have come. Statuses as of `on_request_headers`."""

    def on_response_body(
        self, stream: Stream, data: Buffer
    ) -> Awaitable[Status | None] | Status | None:
        """A piece of the response's body has come. Statuses as of `on_request_body`."""

    def on_response_trailers(self, stream: Stream) -> Awaitable[Status | None] | Status | None:
        """The response's trailers have come. Statuses as of `on_request_trailers`."""

    def on_response(self, stream: Stream) -> Awaitable[Status | None] | Status | None:
        """The whole response is here, as `on_request`; over the limit the client gets 500.

        Not called for a response that accepts a tunnel.
        """

    def on_complete(self, stream: Stream) -> Awaitable[None] | None:
        """The last byte is out, or the stream was reset. The stream may be read, not changed.

        An async one runs on a frozen copy (no body) and a drain waits for it.
        """
