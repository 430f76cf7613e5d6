"""What hooks do that is not plain: wrong answers, exceptions, coroutines, whole messages, posts.

Both dispatchers come here with everything that is neither `None` nor a status of the phase.

An async hook. The hook returned an awaitable, so the dispatcher answers MB_PENDING: the core calls
no further hook of this filter in this direction, keeps the piece of body apart for it and holds
what follows. A task on the worker's loop, in the context of the stream, awaits it; the status it
ends with goes to the core with `finish`, as if the hook had returned it. So nothing overlaps, and
`data` stays the filter's until then. When the stream goes the task is cancelled.

A whole message (`on_request`, `on_response`). The headers are stopped, the pieces of body are
held; with the last piece the hook is called, and its status goes to the core as that of the hook
which brought the end. These steps are one generator (`_flow`), run at once or, from its first
awaitable on, by the task.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import itertools
from collections.abc import Awaitable, Callable, Generator
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import msgpack  # type: ignore[import-untyped]

from moebridge import _barrier, _reply
from moebridge.errors import FilterError, WrongThread
from moebridge.info import snapshot
from moebridge.metadata import unpack
from moebridge.status import CODES, HOOK_NAMES, WHOLE_NAMES, Status

if TYPE_CHECKING:
    from moebridge._dispatch import Gate, Place, Worker

PENDING: Final = 255  # MB_PENDING
WHOLE: Final = 3  # the phase of on_request and on_response in CODES
COMPLETE: Final = 6  # mb_hook
_EPHASE: Final = -5  # MB_EPHASE
_ALWAYS: Final = 0b1_1000_0000  # bits of `scheduled` and `destroy`
_STOPPED: Final = (1, 3, 1)  # by phase: what a hook answers that replied, or failed

Flow = Generator[Awaitable[object], object, int]


class Extra:
    """What a stream's Gate has once something slow happened to it."""

    __slots__ = ("id", "posted", "replied", "resumed", "tasks")

    def __init__(self) -> None:
        self.id: int | None = None  # of the stream, once a task uses its context
        # By direction: the task of the suspended hook, and what it called meanwhile.
        self.tasks: list[asyncio.Task[None] | None] = [None, None]
        self.resumed = [False, False]
        self.replied = [False, False]
        self.posted: dict[int, Callable[[], object]] = {}


def extra_of(stream: Gate) -> Extra:
    """Returns the stream's Extra, made when first needed."""
    if stream.extra is None:
        stream.extra = Extra()
    extra: Extra = stream.extra
    return extra


# -- registration ----------------------------------------------------------------------------------


def hooks_of(filter_: Any) -> tuple[tuple[Any, ...], tuple[Any, Any], int]:
    """Finds what a filter's class overrides.

    Returns:
        Bound hooks by mb_hook, whole-message hooks by direction (None where not overridden), and
        the bits of the hooks that the core shall call.
    """
    from moebridge.filter import HttpFilter

    def own(name: str) -> Any:
        inherited = getattr(HttpFilter, name)
        bound = getattr(filter_, name)
        return None if getattr(bound, "__func__", bound) is inherited else bound

    hooks = tuple(own(name) for name in HOOK_NAMES)
    whole = (own(WHOLE_NAMES[0]), own(WHOLE_NAMES[1]))
    wants = sum(1 << number for number, hook in enumerate(hooks) if hook is not None)
    for direction in (0, 1):
        if whole[direction] is not None:
            wants |= 0b011 << (direction * 3)  # headers and body
    return hooks, whole, wants | _ALWAYS if wants else 0


def place_for(worker: Worker, config: bytes, name: bytes) -> Place:
    """Finds the filter that a place of the configuration names by its index."""
    try:
        index = msgpack.unpackb(config)
    except ValueError:
        index = None
    place = worker.place(index) if isinstance(index, int) else None
    if place is None:
        shown = name.decode("utf-8", "replace")
        raise FilterError(f"python filter {shown!r}: its configuration is no registered filter")
    return place


def place_unused(place: Place) -> None:
    """The last stream of the last configuration with this filter is over."""
    from moebridge._life import stop_soon

    stop_soon(place)


# -- answers ---------------------------------------------------------------------------------------


def step(stream: Gate, hook: int, value: object, end: bool) -> int:
    """Returns the status number for what a hook returned.

    Args:
        stream: the filter's stream.
        hook: which hook (mb_hook).
        value: what it returned; None if only a whole-message hook is overridden.
        end: it was the end of the message or of its body.
    """
    try:
        flow = _flow(stream, hook, value, end)
        try:
            awaitable = next(flow)
        except StopIteration as stop:
            code: int = stop.value
            return code
        return _suspend(stream, hook, flow, awaitable)
    except BaseException as error:  # noqa: BLE001  (the barrier)
        return failed(stream, hook, error)


def _flow(stream: Gate, hook: int, value: object, end: bool) -> Flow:
    if _is_awaitable(value):
        value = yield value
    direction, phase = divmod(hook, 3)
    code = _code(stream, hook, phase, value)
    called = stream.place.whole[direction]
    if called is None or phase == 2 or _acted(stream, direction):
        return code
    name = WHOLE_NAMES[direction]
    if phase == 0 and code > 1:
        raise FilterError(
            f"on_*_headers of filter {stream.place.name!r} returned {value}, but {name} needs the "
            "body: return CONTINUE or STOP_ITERATION"
        )
    if not end:
        return code or 1  # stop here, hold the body
    if phase == 1:
        stream._gather(direction, taken=code == CODES[1][Status.STOP_NO_BUFFER])
    body = stream._held(direction)
    before = len(body)
    value = called(stream)
    if _is_awaitable(value):
        value = yield value
    code = _code(stream, hook, WHOLE, value)
    if not _acted(stream, direction) and len(body) != before:
        owner: Any = stream
        message = owner.response if direction else owner.request
        message.headers["content-length"] = str(len(body))
    return code


def _is_awaitable(value: object) -> TypeGuard[Awaitable[object]]:
    if value is None or type(value) is Status:
        return False
    return type(value) is CoroutineType or inspect.isawaitable(value)


def _acted(stream: Gate, direction: int) -> bool:
    """Whether the hook that answers now has replied or reset: a running one, or a suspended one."""
    if stream.hook >= 0 or stream.extra is None:
        return stream.acted
    return bool(stream.extra.replied[direction])


def _code(stream: Gate, hook: int, phase: int, value: object) -> int:
    acted = _acted(stream, hook // 3)
    if value is None:
        return _STOPPED[min(phase, 2)] if acted else 0
    codes = CODES[phase]
    name = WHOLE_NAMES[hook // 3] if phase == WHOLE else HOOK_NAMES[hook]
    where = f"{name} of filter {stream.place.name!r}"
    if type(value) is not Status:
        shown = f"{value!r:.80}"
        raise FilterError(f"{where} returned {shown}: return None or a Status")
    code = codes.get(value)
    if code is None:
        allowed = ", ".join(status.name for status in codes)
        raise FilterError(f"{where} returned {value.name}, which it cannot: {allowed}")
    if value is Status.LOCAL_REPLY and not acted:
        raise FilterError(f"{where} returned LOCAL_REPLY without stream.respond()")
    return code


# -- async hooks -----------------------------------------------------------------------------------


def _suspend(stream: Gate, hook: int, flow: Flow, awaitable: Awaitable[object]) -> int:
    worker = stream.place.worker
    if worker.loop is None:
        flow.close()
        if isinstance(awaitable, CoroutineType):
            awaitable.close()
        raise FilterError(f"filter {stream.place.name!r} is async, but no asyncio loop runs here")
    extra = extra_of(stream)
    direction = hook // 3
    extra.replied[direction] = stream.acted
    extra.resumed[direction] = False
    if extra.id is None:
        extra.id = stream._info_number(0)
    task = worker.loop.create_task(
        _drive(stream, hook, flow, awaitable), context=_context(worker, extra.id or 0)
    )
    extra.tasks[direction] = task
    return PENDING


def _context(worker: Worker, stream_id: int) -> contextvars.Context:
    context = worker.contexts.get(stream_id)
    if context is None:
        context = worker.contexts[stream_id] = contextvars.copy_context()
    return context


async def _drive(stream: Gate, hook: int, flow: Flow, awaitable: Awaitable[object]) -> None:
    direction = hook // 3
    try:
        timeout_s = stream.place.timeout_s
        try:
            async with asyncio.timeout(timeout_s or None):
                while True:
                    awaitable = flow.send(await awaitable)
        except StopIteration as stop:
            code = stop.value
    except BaseException as error:
        flow.close()
        if stream._over():
            if isinstance(error, asyncio.CancelledError):
                raise
            _barrier.report(stream.place.name, HOOK_NAMES[hook], error)
            return
        code = failed(stream, hook, error)
    if stream._over() or stream.extra is None:
        return
    extra: Extra = stream.extra
    extra.tasks[direction] = None
    if extra.resumed[direction] and not extra.replied[direction]:
        code = 0
    stream._finish(direction, code)


def completed(stream: Gate, value: object) -> None:
    """on_complete returned something: an awaitable goes on with a frozen copy of the stream."""
    if not _is_awaitable(value):
        if value is not Status.CONTINUE:
            error = FilterError(f"on_complete returned {value!r:.80}: return None")
            failed(stream, COMPLETE, error)
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

    async def run() -> None:
        try:
            await awaitable
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  (the barrier)
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


# -- what a filter asks for ------------------------------------------------------------------------


def respond(stream: Gate, status: object, headers: object, body: object, details: object) -> Status:
    """Checks and sends a local reply."""
    rc = stream._reply(
        _reply.check_status(status),
        _reply.check_headers(headers),
        _reply.check_body(body),
        _reply.check_details(details),
    )
    if rc == _EPHASE:
        raise FilterError("respond(): the response was started already; reset() breaks it off")
    if rc < 0:
        raise FilterError(f"respond(): the core refused it ({rc})")
    replied(stream)
    return Status.LOCAL_REPLY


def replied(stream: Gate) -> None:
    """The stream was answered or reset: by the hook that runs, else by those that wait."""
    if stream.hook < 0 and stream.extra is not None:
        for direction, task in enumerate(stream.extra.tasks):
            stream.extra.replied[direction] = task is not None


def resume(stream: Gate) -> None:
    """Lets both directions go on, those that this filter has stopped."""
    some = False
    for direction in (0, 1):
        if stream.extra is not None and stream.extra.tasks[direction] is not None:
            stream.extra.resumed[direction] = some = True  # acts when that hook ends
        elif stream._resume(direction) >= 0:
            some = True
    if not some:
        raise FilterError(
            f"resume(): filter {stream.place.name!r} has stopped neither request nor response"
        )


_events = itertools.count(1)


def post(stream: Gate, fn: Callable[[], object]) -> bool:
    """Has `fn` called on the stream's worker. Thread: any; the GIL makes each line atomic."""
    if not callable(fn):
        raise TypeError(f"post() takes a function, not {type(fn).__name__}")
    if stream._gone():
        return False
    extra = stream.extra
    if extra is None:
        extra = stream.extra = Extra()
    event = next(_events)
    extra.posted[event] = fn
    if stream._post(event):
        return True
    extra.posted.pop(event, None)
    return False


def scheduled(stream: Gate, event: int) -> None:
    """A posted function is due."""
    fn = stream.extra.posted.pop(event, None) if stream.extra is not None else None
    if fn is None:
        return
    try:
        fn()
    except BaseException as error:  # noqa: BLE001  (the barrier)
        _fail(stream, "post", 0, error)


# -- the barrier -----------------------------------------------------------------------------------


def failed(stream: Gate, hook: int, error: BaseException) -> int:
    """A hook raised: 500 or reset, or with fail_open the filter is skipped.

    Returns:
        The status number that the hook answers.
    """
    if not _fail(stream, HOOK_NAMES[hook], hook // 3, error):
        return 0
    return _STOPPED[hook % 3]


def _fail(stream: Gate, name: str, direction: int, error: BaseException) -> bool:
    """Returns whether the stream was ended."""
    place = stream.place
    _barrier.report(place.name, name, error)
    if not place.worker.closed:
        place.errors.add(1)
    if stream._over():
        return True
    if place.fail_open and not _acted(stream, direction):
        stream._skip()
        return False
    if stream._reply(500, [], b"", b"python_filter_exception") < 0:
        stream.reset("python_filter_exception")
    return True


def check_thread(worker: Worker, what: str) -> None:
    """Raises WrongThread on any thread but the worker's."""
    import threading

    if worker.thread != threading.get_ident():
        raise WrongThread(f"{what} is for the worker's thread")
