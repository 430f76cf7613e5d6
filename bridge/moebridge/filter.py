"""HttpFilter: the base of all filters written in Python."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from moebridge import _tasks
from moebridge.errors import ConfigError, FilterError
from moebridge.filter_config import Config, convert
from moebridge.metrics import Counter, Gauge, Histogram, define
from moebridge.status import Status

if TYPE_CHECKING:
    import asyncio

    from moebridge._backend import Stream
    from moebridge._dispatch import Buffer, Place
    from moebridge.config.model import FilterOptions

__all__ = ["HttpFilter"]


class HttpFilter:
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

    #: The typed configuration; a nested class of that name replaces it.
    Config: ClassVar[Any] = Config
    #: What `stream.state` is made of: called without arguments when it is first touched.
    State: ClassVar[Any] = dict

    config: Any
    _place: Place | None = None
    _options: FilterOptions | None = None

    def __init__(self, **config: Any) -> None:
        """Checks the configuration.

        Args:
            **config: the fields of `Config`.

        Raises:
            ConfigError: with each field that is wrong, missing or unknown.
        """
        kind = type(self).Config
        if not (isinstance(kind, type) and issubclass(kind, Config)):
            raise ConfigError(
                f"{type(self).__qualname__}.Config is no subclass of moebridge.Config"
            )
        self.config = convert(kind, config)

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
        changed; content-length follows. Trailers come after it.

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
        """The whole response is here, as `on_request`; over the limit the client gets 500."""

    def on_complete(self, stream: Stream) -> Awaitable[None] | None:
        """The last byte is out, or the stream was reset. The stream may be read, not changed.

        An async one runs on a frozen copy (no body) and a drain waits for it.
        """

    # -- hooks of the object -------------------------------------------------------------------

    def on_load(self) -> None:
        """The filter becomes part of a configuration: define metrics here."""

    def on_worker_start(self) -> Awaitable[None] | None:
        """Before the first stream, on the worker's loop; accepting waits for it."""

    def on_worker_stop(self) -> Awaitable[None] | None:
        """After the last stream."""

    # -- for use in hooks ----------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The filter's name in logs and statistics."""
        return type(self).__name__ if self._place is None else self._place.name

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Runs a coroutine that outlives the stream; a drain waits for it.

        What it raises is logged. For the worker's thread.
        """
        place = self._loaded("spawn()")
        try:
            _tasks.check_thread(place.worker, "spawn()")
            return _tasks.outlive(place.worker, place, "spawn", coroutine)
        except BaseException:
            if hasattr(coroutine, "close"):
                coroutine.close()
            raise

    def counter(self, name: str, labels: Mapping[str, str] | None = None) -> Counter:
        """Defines a number that grows, `py.<filter>.<name>`; for `on_load`."""
        return define(Counter, self._loaded("counter()"), name, labels)

    def gauge(self, name: str, labels: Mapping[str, str] | None = None) -> Gauge:
        """Defines a number that goes up and down; for `on_load`."""
        return define(Gauge, self._loaded("gauge()"), name, labels)

    def histogram(self, name: str, labels: Mapping[str, str] | None = None) -> Histogram:
        """Defines a distribution; for `on_load`."""
        return define(Histogram, self._loaded("histogram()"), name, labels)

    def _loaded(self, what: str) -> Place:
        if self._place is None:
            raise FilterError(f"{what}: {type(self).__name__} is not part of a proxy yet")
        return self._place
