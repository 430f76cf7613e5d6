"""Tasks of filters beside the suspended hooks (_dispatch_tasks.pxi), and what those need.

asyncio is imported in the tasks, which only its loop runs: a chain without one needs none.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Final, TypeGuard, TypeVar

from moebridge import _barrier
from moebridge.errors import FilterError, WrongThread
from moebridge.info import snapshot
from moebridge.metadata import unpack
from moebridge.status import Status

if TYPE_CHECKING:
    import asyncio
    import contextvars

    from moebridge._dispatch import Gate, Place, Worker

__all__ = [
    "PENDING",
    "bounded",
    "cancelled",
    "check_thread",
    "completed",
    "failed",
    "is_awaitable",
    "outlive",
]

T = TypeVar("T")

PENDING: Final = 255  # MB_PENDING
COMPLETE: Final = 6  # mb_hook


def is_awaitable(value: object) -> TypeGuard[Awaitable[object]]:
    if value is None or type(value) is Status:
        return False
    if type(value) is CoroutineType:
        return True
    import inspect

    return inspect.isawaitable(value)


async def bounded(awaitable: Awaitable[T], late: float) -> T:
    """Awaits, until the loop's clock says `late`; then raises TimeoutError."""
    import asyncio

    async with asyncio.timeout_at(late):
        return await awaitable


def cancelled(error: BaseException) -> bool:
    """Whether a task was told to end."""
    from asyncio import CancelledError

    return isinstance(error, CancelledError)


def failed(stream: Gate, hook: int, error: BaseException) -> int:
    """A hook that had waited raised. Returns the status that it answers."""
    if not stream._over():
        return _barrier.failed(stream, hook, error)
    _barrier.report(stream.place.name, stream._where(hook)[0], error)
    return 0


def completed(stream: Gate, value: object) -> None:
    """on_complete returned something: an awaitable goes on with a frozen copy of the stream."""
    if not is_awaitable(value):
        if value is not Status.CONTINUE:
            error = FilterError(f"on_complete returned {value!r:.80}: return None")
            _barrier.failed(stream, COMPLETE, error)
        return
    worker = stream.place.worker
    everything = stream._metadata_get(b"", b"")
    stream._freeze(snapshot(stream), unpack(everything) if everything else {})
    outlive(worker, stream.place, "on_complete", value)


def outlive(
    worker: Worker,
    place: Place,
    name: str,
    awaitable: Awaitable[object],
    context: contextvars.Context | None = None,
) -> asyncio.Task[None]:
    """Runs an awaitable that no stream waits for; a drain does."""
    import asyncio

    async def run() -> None:
        try:
            await awaitable
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and task.cancelling():
                raise  # asked for; one that the filter itself raised is an error as any other
            _barrier.report(place.name, name, error)
            if not worker.closed:
                place.errors.add(1)

    if worker.loop is None:
        raise FilterError(f"filter {place.name!r}: no asyncio loop runs here")
    task: asyncio.Task[None] = worker.loop.create_task(run(), context=context)
    worker.outstanding.add(task)
    task.add_done_callback(worker.outstanding.discard)
    return task


def check_thread(worker: Worker, what: str) -> None:
    """Raises WrongThread on any thread but the worker's."""
    if worker.thread != threading.get_ident():
        raise WrongThread(f"{what} is for the worker's thread")
