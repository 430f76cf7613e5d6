"""What hooks do that is not plain: wrong answers, exceptions, coroutines, whole messages, posts.

Both dispatchers come here with everything that is neither `None` nor a status of the phase.

A whole message (`on_request`, `on_response`). The headers are stopped, the pieces of body are
held; with the last piece the hook is called, and its status goes to the core as that of the hook
which brought the end. A step that waits hands over what it waits for and the next one
(`Step`). A tunnel (an upgrade, CONNECT) is no message: its bytes pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgpack  # type: ignore[import-untyped]

from moebridge import _network, _reply
from moebridge._barrier import STOPPED, fail, failed
from moebridge._tasks import PENDING, completed, is_awaitable
from moebridge.errors import FilterError
from moebridge.status import CODES, HOOK_NAMES, WHOLE_NAMES, Status

if TYPE_CHECKING:
    from moebridge._dispatch import Gate, Place, StreamGate, Worker

# What the dispatchers call; some of it lives in the modules above.
__all__ = [
    "PENDING",
    "answered",
    "completed",
    "failed",
    "hooks_of",
    "place_for",
    "place_unused",
    "post",
    "respond",
    "resume",
    "scheduled",
    "step",
    "where",
]

WHOLE: Final = 3  # the phase of on_request and on_response in CODES
_EPHASE: Final = -5  # MB_EPHASE
_ALWAYS: Final = 0b1_1000_0000  # bits of `scheduled` and `destroy`

#: What a hook answers: its status number, or what it waits for and the function that takes on with
#: what came of that: `then(stream, hook, end, value)`.
Step = int | tuple[Awaitable[object], Callable[[Any, int, bool, object], "Step"]]


# -- registration ----------------------------------------------------------------------------------


def hooks_of(filter_: Any) -> tuple[tuple[Any, ...], tuple[Any, Any], int]:
    """Finds what a filter's class overrides.

    Returns:
        Bound hooks by mb_hook, whole-message hooks by direction (None where not overridden), and
        the bits of the hooks that the core shall call.
    """
    from moebridge.filter import HttpFilter
    from moebridge.network_filter import NetworkFilter

    if isinstance(filter_, NetworkFilter):
        bound, bits = _network.hooks_of(filter_)
        return bound, (None, None), bits

    def own(name: str) -> Any:
        inherited = getattr(HttpFilter, name)
        bound = getattr(filter_, name)
        if not callable(bound):
            raise FilterError(f"{type(filter_).__name__}.{name} is no method: {bound!r:.80}")
        return None if getattr(bound, "__func__", bound) is inherited else bound

    hooks = tuple(own(name) for name in HOOK_NAMES)
    whole = (own(WHOLE_NAMES[0]), own(WHOLE_NAMES[1]))
    wants = sum(1 << number for number, hook in enumerate(hooks) if hook is not None)
    for direction in (0, 1):
        if whole[direction] is not None:
            wants |= 0b011 << (direction * 3)  # headers and body
    return hooks, whole, wants | _ALWAYS if wants else 0


def place_for(worker: Worker, config: bytes, name: bytes, of_network: bool) -> Place:
    """Finds the filter that a place of the configuration names by its index."""
    from moebridge.network_filter import NetworkFilter

    try:
        index = msgpack.unpackb(config)
    except ValueError:
        index = None
    place = worker.place(index) if isinstance(index, int) else None
    if place is None:
        shown = name.decode("utf-8", "replace")
        raise FilterError(f"python filter {shown!r}: its configuration is no registered filter")
    if isinstance(place.filter, NetworkFilter) != of_network:
        kinds = ("an HTTP filter", "a network filter")
        raise FilterError(
            f"python filter {place.name!r} is {kinds[not of_network]}: {kinds[of_network]} is "
            "wanted here"
        )
    return place


def place_unused(place: Place) -> None:
    """The last stream of the last configuration with this filter is over."""
    from moebridge._life import stop_soon

    stop_soon(place)


def where(hook: int) -> tuple[str, int, int]:
    """Returns name and direction of a hook, and the status that it answers when it fails."""
    return HOOK_NAMES[hook], hook // 3, STOPPED[hook % 3]


# -- answers ---------------------------------------------------------------------------------------


def step(stream: StreamGate, hook: int, value: object, end: bool) -> int:
    """Returns the status number for what a hook returned.

    Args:
        stream: the filter's stream.
        hook: which hook (mb_hook).
        value: what it returned; None if only a whole-message hook is overridden.
        end: it was the end of the message or of its body.
    """
    try:
        if is_awaitable(value):
            return stream._suspend(hook, hook // 3, end, value, answered)
        found = answered(stream, hook, end, value)
        return found if isinstance(found, int) else stream._suspend(hook, hook // 3, end, *found)
    except BaseException as error:  # noqa: BLE001  (the barrier)
        return failed(stream, hook, error)


def answered(stream: StreamGate, hook: int, end: bool, value: object) -> Step:
    """The hook has answered: a whole-message hook may be due."""
    direction, phase = divmod(hook, 3)
    code = _code(stream, hook, phase, value)
    called = stream.place.whole[direction]
    if called is None or phase == 2 or stream._acted(direction) or _is_tunnel(stream, direction):
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
    before = len(stream._held(direction))
    value = called(stream)
    then = partial(_whole_answered, before)
    return (value, then) if is_awaitable(value) else then(stream, hook, end, value)


def _whole_answered(before: int, stream: StreamGate, hook: int, _end: bool, value: object) -> int:
    """The whole-message hook has answered; the body had `before` bytes."""
    direction = hook // 3
    code = _code(stream, hook, WHOLE, value)
    body = stream._held(direction)
    if not stream._acted(direction) and len(body) != before:
        owner: Any = stream
        message = owner.response if direction else owner.request
        message.headers["content-length"] = str(len(body))
    return code


def _is_tunnel(stream: StreamGate, direction: int) -> bool:
    """Whether that direction is a tunnel's, or waits to be one: a message that is never whole."""
    owner: Any = stream
    request = owner.request
    if request.method == "CONNECT":
        return direction == 0 or 200 <= owner.response.status < 300
    # The core leaves the field only in a request that asks for a tunnel.
    return "upgrade" in request.headers and (direction == 0 or owner.response.status == 101)


def _code(stream: StreamGate, hook: int, phase: int, value: object) -> int:
    has_acted = stream._acted(hook // 3)
    if value is None:
        return STOPPED[min(phase, 2)] if has_acted else 0
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
    if value is Status.LOCAL_REPLY and not has_acted:
        raise FilterError(f"{where} returned LOCAL_REPLY without stream.respond()")
    return code


# -- what a filter asks for ------------------------------------------------------------------------


def respond(
    stream: StreamGate, status: object, headers: object, body: object, details: object
) -> Status:
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
    stream._replied()
    return Status.LOCAL_REPLY


def resume(stream: Gate) -> None:
    """Lets both directions go on, those that this filter has stopped."""
    some = False
    for direction in (0, 1):
        if stream._resume_later(direction) or stream._resume(direction) >= 0:
            some = True
    if not some:
        raise FilterError(
            f"resume(): filter {stream.place.name!r} has stopped neither request nor response"
        )


_events = itertools.count(1)


def post(stream: Gate, fn: Callable[[], object]) -> bool:
    """Has `fn` called on the stream's worker. Thread: any."""
    if not callable(fn):
        raise TypeError(f"post() takes a function, not {type(fn).__name__}")
    if stream._gone():
        return False
    event = next(_events)
    stream._keep_posted(event, fn)
    if stream._post(event):
        return True
    stream._take_posted(event)
    return False


def scheduled(stream: Gate, event: int) -> None:
    """A posted function is due."""
    fn = stream._take_posted(event)
    if fn is None:
        return
    try:
        fn()
    except BaseException as error:  # noqa: BLE001  (the barrier)
        fail(stream, "post", 0, error)
