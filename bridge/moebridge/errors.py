"""The exceptions of moebridge.

`Error` is the base. `ConfigError`: a configuration is wrong, all faults at once. `FilterError`: a
filter did what its phase does not allow. `StreamGone`: a handle was used after its stream's end.
`WrongThread`: a handle was used on a thread that is not its worker's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["ConfigError", "Error", "Fault", "FilterError", "StreamGone", "WrongThread"]


class Error(Exception):
    """Base of all exceptions that moebridge raises on purpose."""


class Fault(NamedTuple):
    """One thing that is wrong in a configuration."""

    #: Where: Envoy's field names, `static_resources.listeners[0].name`; "" = the whole of it.
    path: str
    #: What is wrong and, where that is known, what to do. One line.
    message: str


class ConfigError(Error):
    """A configuration was refused.

    Attributes:
        faults: all that is wrong, in the order of the file; never empty.
        file: the file's name as it was given, "" for objects.
    """

    def __init__(self, faults: str | Iterable[Fault | tuple[str, str]], *, file: str = "") -> None:
        """Makes the error.

        Args:
            faults: (path, message) pairs, or one message about the whole.
            file: the file they are in.
        """
        pairs = [("", faults)] if isinstance(faults, str) else faults
        self.faults: list[Fault] = [Fault(path, message) for path, message in pairs]
        self.file: str = file
        super().__init__(self.faults)

    def __str__(self) -> str:
        """One line for each fault: `FILE: path: message`."""
        return "\n".join(
            ": ".join(part for part in (self.file, fault.path, fault.message) if part)
            for fault in self.faults
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Lets the error cross a process border whole."""
        return _rebuild, (self.faults, self.file)


def _rebuild(faults: list[Fault], file: str) -> ConfigError:
    return ConfigError(faults, file=file)


class FilterError(Error):
    """A filter did what its phase does not allow, or could not be loaded."""


class StreamGone(Error):
    """A stream, its headers or its body were used after the stream had ended."""


class WrongThread(Error):
    """A stream, its headers or its body were used on another thread than their worker's."""
