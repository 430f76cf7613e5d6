"""What a Proxy does on its worker's thread: make the server, load, serve, swap, close."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable
from typing import Any

from moebridge._plan import Plan
from moebridge._server import Server
from moebridge.errors import ConfigError, Error

__all__ = ["Engine"]

_logger = logging.getLogger("moebridge.proxy")


class Engine:
    """One server and the configuration that it has. Of its own thread, but where it says so.

    Args:
        plan: the first configuration.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._server: Server | None = None
        # Guards the server against being closed while another thread reads its statistics.
        self._lock = threading.Lock()
        self._last_stats: dict[str, Any] = {}
        self._last_text = ""
        self._starting: asyncio.Task[None] | None = None
        self.addresses: dict[str, str] = {}
        self.is_stopping = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The worker's loop."""
        assert self._server is not None
        return self._server.loop

    def open(self) -> None:
        """Makes the server, of the calling thread."""
        level = logging.getLogger("moebridge").getEffectiveLevel()
        server = Server(log_level=level)
        with self._lock:
            self._server = server

    def start(self) -> None:
        """Loads the first configuration and accepts.

        Raises:
            ConfigError: what is wrong with it.
            FilterError: an on_worker_start raised, or a filter serves elsewhere.
        """
        assert self._server is not None
        self._server.run(self._start())

    async def _start(self) -> None:
        assert self._server is not None
        self._starting = asyncio.ensure_future(self.swap(self._plan))
        try:
            await self._starting
        except asyncio.CancelledError:
            return  # asked to stop before the first stream
        finally:
            self._starting = None
        if not self.is_stopping:
            self._server.accept()

    async def swap(self, plan: Plan) -> None:
        """Puts a configuration in place of the one before, or leaves that as it is.

        Raises:
            ConfigError: what is wrong with it.
            FilterError: an on_worker_start raised, or a filter serves elsewhere.
        """
        server = self._server
        if server is None or self.is_stopping:
            raise Error("the proxy has stopped")
        document, fresh = plan.load(server)
        await server.start_filters(fresh)
        try:
            if self.is_stopping:
                raise Error("the proxy has stopped")
            server.apply(document)
        except ConfigError as error:
            await server.discard(fresh)
            raise plan.located(error) from None
        except BaseException:
            await server.discard(fresh)
            raise
        self._plan = plan
        self.addresses = dict(server.listeners)
        _logger.info("configuration applied: %d filters are new", len(fresh))

    def serve(self) -> None:
        """Serves until `stop` has drained."""
        assert self._server is not None
        if not self.is_stopping:
            self._server.serve()

    def stop(self) -> None:
        """Begins to drain; again: ends at once. Called in the loop."""
        assert self._server is not None
        if self._starting is not None:
            self._starting.cancel()
        elif self.is_stopping:
            self._server.loop.stop()
        else:
            self._server.drain(self._plan.drain_s)
        self.is_stopping = True

    def close(self) -> None:
        """Ends what is left; the statistics stay readable."""
        server = self._server
        if server is None:
            return
        with self._lock:
            self._last_stats, self._last_text = server.stats(), server.prometheus()
            self._server = None
        server.close(timeout_s=self._plan.drain_s)

    # -- any thread ------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """All metrics; after the end those of the end."""
        with self._lock:
            return self._last_stats if self._server is None else self._server.stats()

    def prometheus(self) -> str:
        """All metrics as text; after the end those of the end."""
        with self._lock:
            return self._last_text if self._server is None else self._server.prometheus()

    def reopen_logs(self) -> None:
        """Opens the files of access logs again. In the loop."""
        if self._server is not None:
            self._server.reopen_logs()

    def submit(self, plan: Plan) -> concurrent.futures.Future[None]:
        """Has a configuration put in place of the one before; the future ends as `swap` does.

        Raises:
            Error: the proxy does not run.
        """
        with self._lock:
            if self._server is None or not self.addresses:
                raise Error("the proxy does not run")
            # What is queued under the lock runs, or is cancelled when the loop closes.
            return asyncio.run_coroutine_threadsafe(self.swap(plan), self._server.loop)

    def call(self, function: Callable[[], object]) -> None:
        """Has a function called in the loop.

        Raises:
            Error: the proxy does not run.
        """
        with self._lock:
            if self._server is None:
                raise Error("the proxy does not run")
            self._server.loop.call_soon_threadsafe(function)
