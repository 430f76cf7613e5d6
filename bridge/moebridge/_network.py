"""What hooks of network filters do that is not plain: wrong answers, coroutines, the end.

As `_runtime`, for connections; both dispatchers come here with everything that is neither `None`
nor a status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from moebridge import _barrier
from moebridge._tasks import is_awaitable, outlive
from moebridge.connection_info import snapshot
from moebridge.errors import FilterError
from moebridge.metadata import unpack
from moebridge.status import Status

if TYPE_CHECKING:
    from moebridge._dispatch import Connection

__all__ = ["HOOK_NAMES", "close_kind", "closed", "hooks_of", "resume", "step", "where"]

#: Names of the hooks, by the dispatchers' numbers.
HOOK_NAMES: Final = ("on_connect", "on_data", "on_write", "on_close")
_DIRECTIONS: Final = (0, 0, 1, 0)
_CLOSE: Final = 3

# Bits of mb_network_hook: each of ours, and `scheduled` and `destroy`.
_BITS: Final = (1 << 16, 1 << 17, 1 << 18, 1 << 19)
_ALWAYS: Final = 1 << 20 | 1 << 21

_CODES: Final = {Status.CONTINUE: 0, Status.STOP_ITERATION: 1}
_KINDS: Final = {"flush": 0, "now": 1, "reset": 2}


def hooks_of(filter_: Any) -> tuple[tuple[Any, ...], int]:
    """Finds what a filter's class overrides.

    Returns:
        Bound hooks by number, None where not overridden, and the bits of the hooks that the core
        shall call.
    """
    from moebridge.network_filter import NetworkFilter

    def own(name: str) -> Any:
        inherited = getattr(NetworkFilter, name)
        bound = getattr(filter_, name)
        if not callable(bound):
            raise FilterError(f"{type(filter_).__name__}.{name} is no method: {bound!r:.80}")
        return None if getattr(bound, "__func__", bound) is inherited else bound

    hooks = tuple(own(name) for name in HOOK_NAMES)
    wants = sum(bit for bit, hook in zip(_BITS, hooks, strict=True) if hook is not None)
    return hooks, wants | _ALWAYS if wants else 0


def where(hook: int) -> tuple[str, int, int]:
    """Returns name and direction of a hook, and the status that it answers when it fails."""
    return HOOK_NAMES[hook], _DIRECTIONS[hook], 1


def step(connection: Connection, hook: int, value: object) -> int:
    """Returns the status number for what a hook returned."""
    try:
        if not is_awaitable(value):
            return _answered(connection, hook, False, value)
        return connection._suspend(hook, _DIRECTIONS[hook], False, value, _answered)
    except BaseException as error:  # noqa: BLE001  (the barrier)
        return _barrier.failed(connection, hook, error)


def _answered(connection: Connection, hook: int, _end: bool, value: object) -> int:
    if value is None:
        return 0
    name = f"{HOOK_NAMES[hook]} of filter {connection.place.name!r}"
    if type(value) is not Status:
        raise FilterError(f"{name} returned {value!r:.80}: return None or a Status")
    code = _CODES.get(value)
    if code is None:
        raise FilterError(
            f"{name} returned {value.name}, which it cannot: CONTINUE, STOP_ITERATION"
        )
    return code


def resume(connection: Connection) -> None:
    """Lets both directions go on, those that this filter has stopped."""
    some = False
    for direction in (0, 1):
        if connection._resume_later(direction) or connection._resume(direction) >= 0:
            some = True
    if not some:
        raise FilterError(
            f"resume(): filter {connection.place.name!r} has stopped neither direction"
        )


def close_kind(how: object) -> int:
    """Returns the number of a kind of closing."""
    kind = _KINDS.get(how) if isinstance(how, str) else None
    if kind is None:
        raise ValueError(f"close(): {how!r:.40} is none of {', '.join(_KINDS)}")
    return kind


def closed(connection: Connection, value: object) -> None:
    """on_close returned something: an awaitable goes on with a frozen copy of the connection."""
    if not is_awaitable(value):
        if value is not Status.CONTINUE:
            error = FilterError(f"on_close returned {value!r:.80}: return None")
            _barrier.failed(connection, _CLOSE, error)
        return
    everything = connection._metadata_get(b"", b"")
    connection._freeze(snapshot(connection), unpack(everything) if everything else {})
    outlive(connection.place.worker, connection.place, "on_close", value)
