"""Tasks of filters: suspended hooks, async on_complete, spawned coroutines.

An async hook. The hook returned an awaitable; a task on the worker's loop, in the context of the
stream, awaits it. Its first step runs at once, within the hook: one that does not wait has answered
then, and costs no turn of asyncio. For one that waits the dispatcher answers MB_PENDING: the core
calls no further hook of this filter in this direction, keeps the piece of body apart for it and
holds what follows; the status that the task ends with goes to the core with `finish`, as if the
hook had returned it. So nothing overlaps, and `data` stays the filter's until then. When the stream
goes the task is cancelled.

asyncio is imported in the tasks, which only its loop runs: a chain without one needs none.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from moebridge import _barrier
from moebridge._extra import Extra, acted, extra_of
from moebridge.errors import FilterError, WrongThread
from moebridge.info import snapshot
from moebridge.metadata import unpack
from moebridge.status import Status

if TYPE_CHECKING:
    import asyncio

    from moebridge._dispatch import Gate, Place, Worker

__all__ = [
    "PENDING",
    "Step",
    "check_thread",
    "completed",
    "gone",
    "is_awaitable",
    "outlive",
    "suspend",
]

PENDING: Final = 255  # MB_PENDING
COMPLETE: Final = 6  # mb_hook

#: What a hook answers: its status number, or what it waits for and the function that takes on with
#: what came of that: `then(stream, hook, end, value)`.
Step = int | tuple[Awaitable[object], Callable[[Any, int, bool, object], "Step"]]


def is_awaitable(value: object) -> TypeGuard[Awaitable[object]]:
    if value is None or type(value) is Status:
        return False
    if type(value) is CoroutineType:
        return True
    import inspect

    return inspect.isawaitable(value)


def suspend(stream: Gate, hook: int, direction: int, end: bool, step: Step) -> int:
    """Runs the steps of a hook in a task.

    Returns:
        The status number, if the hook does not wait in its first step; else PENDING.
    """
    worker = stream.place.worker
    if worker.loop is None:
        _close(step)
        raise FilterError(f"filter {stream.place.name!r} is async, but no asyncio loop runs here")
    extra = extra_of(stream)
    extra.resumed[direction] = False
    if extra.id is None:
        extra.id = stream._info_number(0)
    context = _context(worker, extra.id or 0)
    driven = _drive(stream, hook, direction, end, step)
    task, first_step = worker.loop.prepare_task(driven, context, stream.place.name)
    extra.tasks[direction] = task
    context.run(first_step)
    if task.done():
        return task.result()
    extra.replied[direction] = stream.acted
    return PENDING


def _close(step: Step) -> None:
    """Ends a coroutine that nobody will await."""
    awaitable = None if isinstance(step, int) else step[0]
    if isinstance(awaitable, Coroutine):  # Cython's too, which are none of types.CoroutineType
        awaitable.close()


def _context(worker: Worker, stream_id: int) -> contextvars.Context:
    context = worker.contexts.get(stream_id)
    if context is None:
        context = worker.contexts[stream_id] = contextvars.copy_context()
    return context


async def _steps(stream: Gate, hook: int, end: bool, step: Step) -> int:
    """Awaits what the hook waits for, one after the other; returns its status number."""
    while not isinstance(step, int):
        awaitable, then = step
        step = then(stream, hook, end, await awaitable)
    return step


async def _bounded(steps: Coroutine[Any, Any, int], timeout_s: float) -> int:
    import asyncio

    async with asyncio.timeout(timeout_s):
        return await steps


async def _drive(stream: Gate, hook: int, direction: int, end: bool, step: Step) -> int:
    """Returns the status number; of a hook that has waited it goes to the core, too."""
    try:
        steps = _steps(stream, hook, end, step)
        timeout_s = stream.place.timeout_s
        code = await (_bounded(steps, timeout_s) if timeout_s else steps)
    except BaseException as error:
        if stream._over():
            from asyncio import CancelledError

            if isinstance(error, CancelledError):
                raise
            _barrier.report(stream.place.name, stream._where(hook)[0], error)
            return 0
        code = _barrier.failed(stream, hook, error)
    extra = stream.extra
    if stream._over() or extra is None:
        return 0
    extra.tasks[direction] = None
    if extra.resumed[direction] and not acted(stream, direction):
        code = 0
    if stream.hook < 0:
        stream._finish(direction, code)
    return code


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


def gone(stream: Gate, extra: Extra) -> None:
    """The stream has ended: cancels what still waits for it."""
    extra.posted.clear()
    worker = stream.place.worker
    if extra.id is not None:
        worker.contexts.pop(extra.id, None)
    for task in extra.tasks:
        if task is not None and not task.done() and not task.get_loop().is_closed():
            task.cancel("the stream has ended")


def check_thread(worker: Worker, what: str) -> None:
    """Raises WrongThread on any thread but the worker's."""
    if worker.thread != threading.get_ident():
        raise WrongThread(f"{what} is for the worker's thread")
