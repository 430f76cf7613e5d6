"""Server: one core with its worker's loop and its Python filters; what `mb.Proxy` is made of.

Order of use, all on one thread (`adopt` moves it to another):

    server = Server()
    places = [server.load(filter_, name=...) for filter_ in filters]   # place.index -> document
    server.run(server.start_filters(places))
    server.apply(encode(config))
    server.accept()
    server.serve()                # until drain() has ended; drain() may be called in the loop
    server.close()
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgpack  # type: ignore[import-untyped]

from moebridge import _life
from moebridge._backend import module_address
from moebridge._core_api import addresses, ffi, lib
from moebridge._dispatch import Worker
from moebridge._loop import CoreSelector, WorkerLoop
from moebridge.errors import ConfigError, Error

if TYPE_CHECKING:
    from moebridge._dispatch import Place
    from moebridge.filter_base import Filter

__all__ = ["Server"]

T = TypeVar("T")

# mb_log_level -> logging.
_LEVELS: Final = (5, 10, 20, 30, 40, 50, 60)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def mbpy_log(_ctx: Any, level: int, component: Any, text: Any) -> None:
    """A log line of the core."""
    name = ffi.buffer(component.ptr, component.len)[:].decode("utf-8", "replace")
    line = ffi.buffer(text.ptr, text.len)[:].decode("utf-8", "replace")
    logging.getLogger(f"moebridge.{name}" if name else "moebridge").log(_LEVELS[level], "%s", line)


class Server:
    """One core server, its asyncio loop, its filters.

    Args:
        index: number of the worker.
        log_level: lines of the core below this level of `logging` are not made.

    Raises:
        Error: the core could not be made (descriptors, memory).
    """

    def __init__(self, *, index: int = 0, log_level: int = logging.INFO) -> None:
        options = ffi.new("mb_server_options *")
        options.struct_size = ffi.sizeof("mb_server_options")
        options.worker_index = index
        options.logger.log = lib.mbpy_log
        options.logger.level = _core_level(log_level)
        if os.environ.get("MOEBRIDGE_IO_URING", "on") == "off":
            options.flags = lib.MB_SERVER_NO_IO_URING
        out = ffi.new("mb_server **")
        _check(lib.mb_server_new(options, out), "making the server")
        self._c: Any = out[0]
        self.worker = Worker(addresses())
        self.worker.open(_address(self._c), _address(lib.mb_server_worker(self._c)))
        module = ffi.cast("mb_module *", module_address(self.worker))
        _check(lib.mb_server_add_module(self._c, module), "adding the bridge")
        self._selector = CoreSelector(self.worker, self._watch)
        self.loop = WorkerLoop(self.worker, self._selector)
        self.worker.loop = self.loop

    # -- filters and configuration ----------------------------------------------------------------

    def load(
        self,
        filter_: Filter,
        *,
        name: str,
        fail_open: bool = False,
        hook_timeout_s: float = 0.0,
    ) -> Place:
        """Registers a filter object and calls its on_load; see `_life.load`."""
        return _life.load(
            self.worker, filter_, name=name, fail_open=fail_open, hook_timeout_s=hook_timeout_s
        )

    async def start_filters(self, places: Iterable[Place]) -> None:
        """Calls on_worker_start, in order; on an error those that ran are stopped again.

        Raises:
            FilterError: one of them raised.
        """
        begun: list[Place] = []
        try:
            for place in places:
                await _life.start(place)
                begun.append(place)
        except BaseException:
            await self.discard(begun)
            raise

    async def discard(self, places: Iterable[Place]) -> None:
        """Stops and forgets filters whose configuration was not applied."""
        for place in places:
            if place.users == 0:
                await _life.stop(place)
                _life.unload(place)

    def forget(self, place: Place) -> None:
        """Takes back `load`, of a filter that was not started and is in no configuration."""
        _life.unload(place)

    def apply(self, document: bytes) -> None:
        """Applies a configuration as a whole, or nothing of it.

        Raises:
            ConfigError: with every fault that the core found.
        """
        result, text = self.worker.apply(document)
        if result < 0:
            lines = [line.partition(": ") for line in text.splitlines() if line]
            faults = [(path, what) if colon else ("", path) for path, colon, what in lines]
            raise ConfigError(faults or f"the core refused the configuration: {_words(result)}")

    def accept(self) -> None:
        """Starts accepting on all listeners, also those of later configurations."""
        _check(lib.mb_server_start(self._c), "starting the listeners")

    @property
    def listeners(self) -> dict[str, str]:
        """Address ("ip:port") of each listener by name."""
        name, address = ffi.new("const char **"), ffi.new("const char **")
        found = {}
        for index in range(lib.mb_server_listener_count(self._c)):
            if lib.mb_server_listener(self._c, index, name, address) == 0:
                found[ffi.string(name[0]).decode()] = ffi.string(address[0]).decode()
        return found

    # -- running ----------------------------------------------------------------------------------

    def adopt(self) -> None:
        """The calling thread becomes the owner."""
        lib.mb_server_adopt_thread(self._c)
        self.worker.adopt()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs the core and the loop until the coroutine is done."""
        return self.loop.run_until_complete(coroutine)

    def serve(self) -> None:
        """Runs until a drain has ended."""
        self._selector.on_drained = self.loop.stop
        self.loop.run_forever()

    def drain(self, timeout_s: float) -> None:
        """Stops accepting and lets streams end; returns at once."""
        lib.mb_server_drain(self._c, int(timeout_s * 1e6))
        self.worker.yield_now()

    def close(self, timeout_s: float = 5.0) -> None:
        """Ends what is left: streams at once, then tasks that outlive them, then the filters.

        Args:
            timeout_s: how long spawned tasks and async on_complete may still run.
        """
        if self.loop.is_closed():
            return
        self.run(_settle(self.worker.outstanding, timeout_s))
        if not self.worker.closed:
            self.worker.close()
        self.run(_settle(self.worker.outstanding, timeout_s))
        self.run(_cancel_rest())
        self.run(self.loop.shutdown_asyncgens())
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        self._c = None

    # -- seeing it run ----------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """All metrics: name -> integer, or {count, sum, buckets}."""
        stats: dict[str, Any] = msgpack.unpackb(self._text(lib.mb_server_stats))
        return stats

    def prometheus(self) -> str:
        """All metrics in Prometheus' text format."""
        return self._text(lib.mb_server_prometheus).decode()

    def reopen_logs(self) -> None:
        """Opens the files of access logs again."""
        _check(lib.mb_server_reopen_logs(self._c), "opening the access logs")

    def set_log_level(self, level: int) -> None:
        """Lines of the core below this level of `logging` are not made. Thread: any."""
        lib.mb_server_set_log_level(self._c, _core_level(level))

    def _text(self, function: Any) -> bytes:
        out, length = ffi.new("char **"), ffi.new("size_t *")
        _check(function(self._c, out, length), "reading the metrics")
        try:
            text: bytes = ffi.buffer(out[0], length[0])[:]
        finally:
            lib.mb_text_free(out[0])
        return text

    def _watch(self, fd: int, events: int) -> None:
        result = lib.mb_server_watch(self._c, fd, events)
        if result < 0:
            raise OSError(ffi.errno, f"watching descriptor {fd}: {_words(result)}")


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def _words(result: int) -> str:
    return str(ffi.string(lib.mb_strerror(result)).decode())


def _check(result: int, what: str) -> None:
    if result < 0:
        raise Error(f"{what}: {_words(result)}")


def _core_level(level: int) -> int:
    return next((number for number, known in enumerate(_LEVELS) if level <= known), 6)


async def _settle(tasks: set[asyncio.Task[None]], timeout_s: float) -> None:
    """Waits for tasks, and for those that they begin; cancels what is late."""
    late = asyncio.get_running_loop().time() + timeout_s
    while tasks:
        left_s = late - asyncio.get_running_loop().time()
        if left_s <= 0:
            for task in tasks:
                task.cancel()
            await asyncio.wait(set(tasks))
            return
        await asyncio.wait(set(tasks), timeout=left_s)


async def _cancel_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=1.0)
