"""What a stream has once something slow happened to it: a suspended hook, a posted function."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from moebridge._dispatch import Gate

__all__ = ["Extra", "acted", "extra_of", "replied"]


class Extra:
    """What a stream's Gate has once something slow happened to it."""

    __slots__ = ("id", "posted", "replied", "resumed", "tasks")

    def __init__(self) -> None:
        self.id: int | None = None  # of the stream, once a task uses its context
        # By direction: the task of the suspended hook, and what it called meanwhile.
        self.tasks: list[asyncio.Task[int] | None] = [None, None]
        self.resumed = [False, False]
        self.replied = [False, False]
        self.posted: dict[int, Callable[[], object]] = {}


def extra_of(stream: Gate) -> Extra:
    """Returns the stream's Extra, made when first needed. Thread: any."""
    return stream.extra or stream._keep_extra(Extra())


def acted(stream: Gate, direction: int) -> bool:
    """Whether the hook that answers now has replied or reset: a running one, or a suspended one."""
    if stream.hook >= 0 or stream.extra is None:
        return stream.acted
    return bool(stream.extra.replied[direction])


def replied(stream: Gate) -> None:
    """The stream was answered or reset: by the hook that runs, else by those that wait."""
    if stream.hook < 0 and stream.extra is not None:
        for direction, task in enumerate(stream.extra.tasks):
            stream.extra.replied[direction] = task is not None
