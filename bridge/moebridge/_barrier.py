"""Says what filters raised, without letting a broken filter fill the disk.

For each filter and hook at most `BURST` lines in `WINDOW_S` seconds; the next line after that says
how many were left out.
"""

from __future__ import annotations

import logging
import time

__all__ = ["report"]

BURST = 5
WINDOW_S = 10.0

_logger = logging.getLogger("moebridge.filter")
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
        _logger.error(
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
