"""Filter: what all filters written in Python share, of streams and of connections."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from moebridge import _tasks
from moebridge.errors import ConfigError, FilterError
from moebridge.metrics import Counter, Gauge, Histogram, define

if TYPE_CHECKING:
    import asyncio

    from moebridge._dispatch import Place
    from moebridge.config.model import FilterOptions

__all__ = ["Filter"]


class Filter:
    """The base of HttpFilter and NetworkFilter: configuration, life, metrics.

    Attributes:
        config: the object of the class's own `Config`.
        name: its name in the chain, once it is part of a proxy.
    """

    #: The typed configuration, a nested class; None: no fields.
    Config: ClassVar[Any] = None
    #: What `stream.state` or `conn.state` is made of: called without arguments when first touched.
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
        from moebridge.filter_config import Config, convert

        kind = type(self).Config or Config
        if not (isinstance(kind, type) and issubclass(kind, Config)):
            raise ConfigError(
                f"{type(self).__qualname__}.Config is no subclass of moebridge.Config"
            )
        self.config = convert(kind, config)

    # -- hooks of the object -------------------------------------------------------------------

    def on_load(self) -> None:
        """The filter becomes part of a configuration: define metrics here."""

    def on_worker_start(self) -> Awaitable[None] | None:
        """Before the first stream or connection, on the worker's loop; accepting waits for it."""

    def on_worker_stop(self) -> Awaitable[None] | None:
        """After the last one."""

    # -- for use in hooks ----------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The filter's name in logs and statistics."""
        return type(self).__name__ if self._place is None else self._place.name

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Runs a coroutine that outlives stream and connection; a drain waits for it.

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
