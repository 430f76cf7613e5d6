"""Proxy: the whole of moebridge as one object.

The reader of configurations, the engine and asyncio are imported when a Proxy is made: a file of
filters imports moebridge too, and needs none of them.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Unpack

from moebridge.errors import Error

if TYPE_CHECKING:
    from moebridge._plan import ChainItem, Plan
    from moebridge.config.simple import SimpleOptions

__all__ = ["ConfigSource", "Proxy"]

#: A file, or its content as plain values.
ConfigSource = str | os.PathLike[str] | Mapping[str, Any]


class Proxy:
    """A proxy in this process: listeners, upstreams, a chain of filters.

    One object runs once, either on the calling thread (`run`) or on a thread of its own
    (`start`/`stop`, `async with`); hooks never run on the caller's loop.

    Example:
        proxy = mb.Proxy(listen="127.0.0.1:8080", upstream="127.0.0.1:9000", filters=[ApiKey(...)])
        proxy.run()

    Args:
        listen: `IP:PORT`; port 0 takes a free one, see `addresses`.
        upstream: `HOST:PORT`, or several.
        filters: objects of filters, in the order in which requests meet them. An object serves
            one proxy. Network filters stand in front of HTTP; where there are no others, the proxy
            is one of TCP.
        **options: `SimpleOptions`: timeouts in seconds, limits, the access log.

    Raises:
        ConfigError: with all that is wrong.
    """

    def __init__(
        self,
        *,
        listen: str,
        upstream: str | Sequence[str],
        filters: Sequence[ChainItem] = (),
        **options: Unpack[SimpleOptions],
    ) -> None:
        from moebridge import _sources

        self._simple: dict[str, Any] | None = {"listen": listen, "upstream": upstream, **options}
        self._file: ConfigSource | None = None
        self._begin(_sources.plan_objects(filters, self._simple))

    @classmethod
    def from_config(cls, config: ConfigSource) -> Proxy:
        """Makes a proxy from Envoy's v3 bootstrap.

        Args:
            config: a file, or its content as plain values. Python filters named `file.py:Class`
                are looked for beside the file, then in the working directory.

        Raises:
            ConfigError: with all that is wrong.
        """
        from moebridge import _sources

        return cls._of(_sources.plan_config(config), config)

    @classmethod
    def _of(cls, plan: Plan, source: ConfigSource | None = None) -> Proxy:
        proxy = cls.__new__(cls)
        proxy._simple = None
        proxy._file = source
        proxy._begin(plan)
        return proxy

    def _begin(self, plan: Plan) -> None:
        from moebridge._engine import Engine

        self._engine = Engine(plan)
        self._state: Literal["new", "running", "stopped"] = "new"
        self._lock = threading.Lock()
        self._reloading = threading.Lock()
        self._thread: threading.Thread | None = None
        self._owner: int | None = None
        self._started = threading.Event()
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<Proxy, {self._state}, {self.addresses}>"

    # -- running ---------------------------------------------------------------------------------

    def run(self, *, on_start: Callable[[], object] | None = None) -> None:
        """Runs on the calling thread, the main one, until SIGTERM or SIGINT; drains, returns.

        A second signal ends the drain. SIGUSR1 opens the access logs again.

        Args:
            on_start: called once, when all listeners accept.

        Raises:
            ConfigError: the configuration could not be applied: a port in use, a filter that
                raised in on_load ...
            Error: not on the main thread, or the proxy ran before.
        """
        if threading.current_thread() is not threading.main_thread():
            raise Error("run() is for the main thread, since it handles signals; use start()")
        self._claim()
        try:
            self._work(on_start, handle_signals=True)
        finally:
            self._finish()

    def start(self) -> None:
        """Starts on a thread of its own; returns when all listeners accept.

        Raises:
            ConfigError: as `run`.
            Error: the proxy ran before.
        """
        self._claim()
        self._thread = threading.Thread(target=self._thread_main, name="moebridge", daemon=True)
        atexit.register(self.stop)
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            error, self._error = self._error, None
            raise error

    def stop(self) -> None:
        """Drains, for up to the listeners' drain_timeout, and ends; may be called twice.

        From a hook it only begins the drain, and returns. Thread: any.
        """
        with self._lock:
            if self._state == "new":
                self._state = "stopped"
        if self._state == "stopped":
            return
        if self._thread is not None:
            self._started.wait()
        self._request_stop()
        if self._thread is not None and threading.get_ident() != self._owner:
            self._thread.join()

    async def __aenter__(self) -> Proxy:
        """Starts, without blocking the caller's loop."""
        import asyncio

        try:
            await asyncio.to_thread(self.start)
        except asyncio.CancelledError:
            await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops, without blocking the caller's loop."""
        import asyncio

        await asyncio.to_thread(self.stop)

    def _claim(self) -> None:
        with self._lock:
            if self._state != "new":
                raise Error("a proxy runs once: make a new one")
            self._state = "running"

    def _thread_main(self) -> None:
        try:
            self._work(self._started.set, handle_signals=False)
        except BaseException as error:  # noqa: BLE001  (start() raises it)
            self._error = error
        finally:
            self._finish()
            self._started.set()

    def _work(self, on_start: Callable[[], object] | None, *, handle_signals: bool) -> None:
        engine = self._engine
        self._owner = threading.get_ident()
        engine.open()
        try:
            with self._signals(handle_signals):
                engine.start()
                if on_start is not None and not engine.is_stopping:
                    on_start()
                engine.serve()
        finally:
            engine.close()

    def _finish(self) -> None:
        self._state = "stopped"
        atexit.unregister(self.stop)

    def _request_stop(self) -> None:
        try:
            self._engine.call(self._stop_once)
        except Error:
            return  # it has ended meanwhile

    def _stop_once(self) -> None:
        if not self._engine.is_stopping:
            self._engine.stop()

    @contextmanager
    def _signals(self, wanted: bool) -> Iterator[None]:
        if not wanted:
            yield
            return
        loop = self._engine.loop
        handlers = {
            signal.SIGTERM: self._engine.stop,
            signal.SIGINT: self._engine.stop,
            signal.SIGUSR1: self._engine.reopen_logs,
        }
        before = {number: signal.getsignal(number) for number in handlers}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])

    # -- while it runs ---------------------------------------------------------------------------

    @property
    def addresses(self) -> dict[str, str]:
        """Address of each listener, `ip:port` by name, once it accepts.

        A Unix socket is `unix:///path` or `unix:@name`; a listener's further addresses have the
        keys `name[1]`, `name[2]` and so on.

        The listener of `mb.Proxy(...)` is `main`.
        """
        return dict(self._engine.addresses)

    def reload(
        self,
        config: ConfigSource | None = None,
        *,
        filters: Sequence[ChainItem] | None = None,
        upstream: str | Sequence[str] | None = None,
    ) -> None:
        """Puts a new configuration in place of the old one, all of it or nothing.

        Streams finish on the configuration that they began with. New filter objects are started
        before they get streams, those that are not used any more are stopped after their last one.

        Args:
            config: a file or plain values; None: the file of `from_config` again.
            filters: for a proxy of objects: the new chain. An object that is in the old one too
                goes on; all others must be new.
            upstream: for a proxy of objects: the new upstream; None: the old one.

        Raises:
            ConfigError: with all that is wrong; the old configuration stays.
            FilterError: a filter could not be started; the old configuration stays.
            Error: the proxy does not run, or the caller is the proxy's own thread: await
                `asyncio.to_thread(proxy.reload, ...)` there.

        Thread: any but the proxy's own.
        """
        from concurrent.futures import CancelledError

        if threading.get_ident() == self._owner:
            raise Error("reload() would block the proxy's own thread: use asyncio.to_thread")
        with self._reloading:
            plan, simple, source = self._new_plan(config, filters, upstream)
            try:
                self._engine.submit(plan).result()
            except CancelledError:
                raise Error("the proxy stopped") from None
            self._simple, self._file = simple, source

    def _new_plan(
        self,
        config: ConfigSource | None,
        filters: Sequence[ChainItem] | None,
        upstream: str | Sequence[str] | None,
    ) -> tuple[Plan, dict[str, Any] | None, ConfigSource | None]:
        from moebridge import _sources

        if filters is None and upstream is None:
            source = self._file if config is None else config
            if source is None:
                raise Error("reload() needs a configuration, or filters")
            return _sources.plan_config(source), None, source
        if config is not None or self._simple is None or filters is None:
            raise Error("reload() takes a configuration; or filters, where Proxy(...) had them")
        simple = {**self._simple, **({} if upstream is None else {"upstream": upstream})}
        return _sources.plan_objects(filters, simple), simple, None

    def stats(self) -> dict[str, Any]:
        """All metrics: name -> integer, or {count, sum, buckets} of a histogram.

        Thread: any. Empty before the start; after the end those of the end.
        """
        return self._engine.stats()

    def prometheus(self) -> str:
        """The same in Prometheus' text format, with Envoy's names. Thread: any."""
        return self._engine.prometheus()

    def call_soon(self, fn: Callable[[], object]) -> None:
        """Has a function called on the proxy's thread, in its asyncio loop. Thread: any.

        Raises:
            Error: the proxy does not run.
        """
        self._engine.call(fn)
