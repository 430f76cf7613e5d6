"""The worker's asyncio loop: the selector loop, with the core as its selector.

`select()` runs the core without the GIL. It returns for ready descriptors of asyncio, a due timer,
or when a hook gave asyncio work meanwhile: asyncio has computed its timeout before, and writes no
wake-up for calls from its own thread, so the loop tells the worker, and the core returns at the
end of the batch.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack

from moebridge._dispatch import call_soon

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

    from moebridge._dispatch import Worker

__all__ = ["CoreSelector", "WorkerLoop"]

Ts = TypeVarTuple("Ts")

RUN_READY = 2  # MB_RUN_*
RUN_DRAINED = 8
_MAX_US = 1 << 52


class CoreSelector(selectors.BaseSelector):
    """asyncio's descriptors, watched by the core.

    Args:
        worker: the worker whose server waits.
        watch: `watch(fd, events)`, mb_server_watch; raises OSError.
    """

    def __init__(self, worker: Worker, watch: Callable[[int, int], None]) -> None:
        self._worker = worker
        self._watch = watch
        self._keys: dict[int, selectors.SelectorKey] = {}
        #: Called once, when the core has drained.
        self.on_drained: Callable[[], object] | None = None
        self._idle = False  # drained: the core has nothing to run any more

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """Begins to watch."""
        if not events or events & ~(selectors.EVENT_READ | selectors.EVENT_WRITE):
            raise ValueError(f"Invalid events: {events!r}")
        key = selectors.SelectorKey(fileobj, _fd(fileobj), events, data)
        if key.fd in self._keys:
            raise KeyError(f"{fileobj!r} (FD {key.fd}) is already registered")
        self._watch(key.fd, events)
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Stops watching."""
        key = self._keys.pop(self._find(fileobj))
        if not self._worker.closed:
            self._watch(key.fd, 0)
        return key

    def modify(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """Changes what is watched for."""
        old = self._keys[self._find(fileobj)]
        if events != old.events:
            self._watch(old.fd, events)
        key = self._keys[old.fd] = selectors.SelectorKey(old.fileobj, old.fd, events, data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Runs the core until asyncio has something to do."""
        if self._idle or self._worker.closed:
            return self._poll(timeout)
        timeout_us = -1 if timeout is None else max(0, math.ceil(min(timeout * 1e6, _MAX_US)))
        bits = self._worker.run(timeout_us)
        if bits < 0:
            raise OSError(f"the core's loop failed ({bits})")
        if bits & RUN_DRAINED:
            self._idle = True
            if self.on_drained is not None:
                self.on_drained()
        if not bits & RUN_READY:
            return []
        ready = []
        for fd, events in self._worker.ready():
            key = self._keys.get(fd)
            if key is not None and events & key.events:
                ready.append((key, events & key.events))
        return ready

    def _poll(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Waits without the core: asyncio ends what is left after a drain."""
        with selectors.PollSelector() as poll:
            for key in self._keys.values():
                poll.register(key.fd, key.events)
            return [(self._keys[key.fd], events) for key, events in poll.select(timeout)]

    def close(self) -> None:
        """Forgets all descriptors."""
        for fd in list(self._keys):
            self.unregister(fd)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        """Keys by descriptor or file object."""
        return _Map(self)

    def _find(self, fileobj: FileDescriptorLike) -> int:
        try:
            fd = _fd(fileobj)
        except ValueError:  # closed already
            for key in self._keys.values():
                if key.fileobj is fileobj:
                    return key.fd
            raise
        if fd not in self._keys:
            raise KeyError(f"{fileobj!r} is not registered")
        return fd


class _Map(Mapping["FileDescriptorLike", selectors.SelectorKey]):
    def __init__(self, selector: CoreSelector) -> None:
        self._selector = selector

    def __len__(self) -> int:
        return len(self._selector._keys)

    def __getitem__(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._selector._keys[self._selector._find(fileobj)]

    def __iter__(self) -> Iterator[FileDescriptorLike]:
        return iter(self._selector._keys)


def _fd(fileobj: FileDescriptorLike) -> int:
    fd = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


class WorkerLoop(asyncio.SelectorEventLoop):
    """The asyncio loop of a worker; its thread is the worker's.

    Args:
        worker: the worker.
        selector: made for the same worker.
    """

    def __init__(self, worker: Worker, selector: CoreSelector) -> None:
        self._worker = worker
        super().__init__(selector)

    call_soon = call_soon  # without a frame of Python: each step of a task is one

    def _call_soon_checked(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """What asyncio does: refuses a closed loop, and looks closer in its debug mode."""
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As in asyncio; from a hook it also has the core return, for the new timeout."""
        self._worker.wake()
        return super().call_at(when, callback, *args, context=context)
