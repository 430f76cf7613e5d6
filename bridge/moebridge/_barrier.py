"""The barrier: what a hook raised ends its stream (or skips the filter), is counted and logged.

For each filter and hook at most `BURST` lines in `WINDOW_S` seconds; the next line after that says
how many were left out. `logging` is imported with the first of them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from moebridge._dispatch import Gate

__all__ = ["STOPPED", "fail", "failed", "report"]

BURST = 5
WINDOW_S = 10.0

#: By phase: what a hook answers that failed or replied.
STOPPED: Final = (1, 3, 1)

# (filter, hook) -> [begin of the window, lines in it, left out]
_windows: dict[tuple[str, str], list[float]] = {}


def report(name: str, hook: str, error: BaseException) -> None:
    """Logs an exception of a hook with its stack. Never raises.

    Args:
        name: the filter's name.
        hook: the hook's.
        error: what it raised.
    """
    try:
        left_out = _admit((name, hook), time.monotonic())
        if left_out < 0:
            return
        also = f" ({left_out} more were not logged)" if left_out else ""
        import logging

        logging.getLogger("moebridge.filter").error(
            "filter %s: %s raised %s%s",
            name,
            hook,
            type(error).__name__,
            also,
            exc_info=(type(error), error, error.__traceback__),
            extra={"mb_filter": name, "mb_hook": hook},
        )
    except BaseException:  # noqa: BLE001  (a broken log handler must not break the stream)
        return


def _admit(key: tuple[str, str], now: float) -> int:
    """Returns how many lines were left out before this one, or -1 to leave it out too."""
    window = _windows.get(key)
    if window is None:
        window = _windows[key] = [now, 0, 0]
    if now - window[0] >= WINDOW_S:
        window[0], window[1] = now, 0
    window[1] += 1
    if window[1] > BURST:
        window[2] += 1
        return -1
    left_out, window[2] = int(window[2]), 0
    return left_out


def failed(stream: Gate, hook: int, error: BaseException) -> int:
    """A hook raised: 500, reset or close, or with fail_open the filter is skipped.

    Returns:
        The status number that the hook answers.
    """
    name, direction, stopped = stream._where(hook)
    return stopped if fail(stream, name, direction, error) else 0


def fail(stream: Gate, name: str, direction: int, error: BaseException) -> bool:
    """Returns whether the stream was ended."""
    place = stream.place
    report(place.name, name, error)
    if not place.worker.closed:
        place.errors.add(1)
    if stream._over():
        return True
    if place.fail_open and not stream._acted(direction):
        stream._skip()
        return False
    stream._break()
    return True
