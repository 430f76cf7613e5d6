"""Life of filter objects: load, worker start, worker stop."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from moebridge import _barrier, _tasks
from moebridge.errors import FilterError

if TYPE_CHECKING:
    from moebridge._dispatch import Place, Worker
    from moebridge.filter_base import Filter

__all__ = ["load", "start", "stop", "stop_soon", "unload"]


def load(
    worker: Worker,
    filter_: Filter,
    *,
    name: str,
    fail_open: bool = False,
    hook_timeout_s: float = 0.0,
) -> Place:
    """Makes a filter object known to the core and calls its `on_load`.

    Args:
        worker: the worker it serves.
        filter_: the object; it must be new.
        name: its name in logs and statistics.
        fail_open: an exception skips it instead of ending the stream.
        hook_timeout_s: bound of a suspended hook, 0 = none.

    Returns:
        Its place; `place.index` is its configuration for the core.

    Raises:
        FilterError: the object serves already, or its on_load raised.
    """
    if filter_._place is not None:
        raise FilterError(
            f"filter {name!r}: this object is part of a proxy already; make one for each"
        )
    place = worker.register(filter_, name, fail_open=fail_open, timeout_s=hook_timeout_s)
    filter_._place = place
    try:
        filter_.on_load()
    except BaseException as error:
        unload(place)
        what = f"{type(error).__name__}: {error}"
        raise FilterError(f"filter {name!r}: on_load raised {what}") from error
    return place


def unload(place: Place) -> None:
    """Takes back `load` of a filter that no configuration got."""
    place.filter._place = None
    place.worker.forget(place)


async def start(place: Place) -> None:
    """Calls `on_worker_start`, before the core gets the filter.

    Raises:
        FilterError: it raised.
    """
    try:
        result = place.filter.on_worker_start()
        if inspect.isawaitable(result):
            await result
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise FilterError(f"filter {place.name!r}: on_worker_start raised {what}") from error
    place.started = True


async def stop(place: Place) -> None:
    """Calls `on_worker_stop`, once, if the filter was started. What it raises is logged."""
    if not place.started:
        return
    place.started = False
    try:
        result = place.filter.on_worker_stop()
        if inspect.isawaitable(result):
            await result
    except Exception as error:  # noqa: BLE001  (the barrier)
        _barrier.report(place.name, "on_worker_stop", error)


def stop_soon(place: Place) -> None:
    """The core has let go of the filter: stops it on the loop, if that still runs."""
    loop = place.worker.loop
    if place.started and loop is not None and not loop.is_closed():
        _tasks.outlive(place.worker, place, "on_worker_stop", stop(place))
    place.worker.forget(place)
