"""Logging. The core's lines and the bridge's own go to loggers below `moebridge`.

`moebridge.http`, `moebridge.upstream`, `moebridge.config` ... are parts of the core, `.filter` is
what filters raised, `.proxy` the life of the proxy. As a library moebridge sets no handler and no
level; lines of the core below the level of `moebridge` are not even made.
"""

from __future__ import annotations

import logging
import sys
import time

__all__ = ["OFF", "TRACE", "to_stderr"]

#: Levels that logging has no name for: Envoy's `trace` and `off`.
TRACE = 5
OFF = 60


class _Formatter(logging.Formatter):
    """`[2026-01-31 12:00:00.123][info][moebridge.http] text`, as Envoy's, local time."""

    def formatTime(  # noqa: N802  (logging's name)
        self,
        record: logging.LogRecord,
        datefmt: str | None = None,  # noqa: ARG002
    ) -> str:
        """The time with milliseconds."""
        seconds = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}"

    def format(self, record: logging.LogRecord) -> str:
        """One line, more with a stack."""
        level = record.levelname
        record.levelname = level.lower()
        try:
            return super().format(record)
        finally:
            record.levelname = level


def to_stderr(level: int) -> None:
    """What the command does: moebridge's lines from `level` on go to stderr, others' warnings too.

    Args:
        level: of `logging`, or TRACE, or OFF.
    """
    logging.addLevelName(TRACE, "TRACE")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("[%(asctime)s][%(levelname)s][%(name)s] %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("moebridge").setLevel(level)
