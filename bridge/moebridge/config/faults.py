"""Where in a configuration something is, and the list of what is wrong with it.

A path is a linked pair, so that reading ten thousand routes builds no text: it becomes
`static_resources.listeners[0].name` only when a fault is reported.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator

from moebridge.errors import Fault

__all__ = ["Faults", "Path", "ROOT", "describe", "nearest", "render"]

#: (parent, field name, map key or list index); None is the document itself.
Path = tuple["Path", "str | int"] | None

ROOT: Path = None

#: More faults than this help nobody; the last line says how many were left out.
MAX_FAULTS = 200


def render(path: Path) -> str:
    """The path as text, with Envoy's names: `a.b[0].c["key with.dots"]`."""
    parts: list[str] = []
    while path is not None:
        path, step = path
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif step.replace("_", "a").isalnum():
            parts.append(f".{step}")
        else:
            parts.append(f"[{quoted(step)}]")
    return "".join(reversed(parts)).removeprefix(".")


def quoted(text: str, limit: int = 80) -> str:
    """The text on one line in double quotes, cut to `limit` characters."""
    shown = text if len(text) <= limit else text[: limit - 3] + "..."
    return '"' + shown.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


def describe(value: object) -> str:
    """What kind of value this is, for `expected X, got Y`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return f"number {value}" if -(10**20) < value < 10**20 else "a number of many digits"
        case float():
            return f"number {value}"
        case str():
            return f"string {quoted(value, 40)}"
        case bytes():
            return "bytes"
        case dict():
            return "object"
        case list() | tuple():
            return "list"
    return f"a Python {type(value).__name__}"


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for the known name that is nearest, or ""."""
    lowered = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name[:100].lower(), lowered, n=1, cutoff=0.6)
    return f" (did you mean {lowered[found[0]]}?)" if found else ""


class Faults:
    """Collects what is wrong; reading goes on, so that all is reported at once."""

    def __init__(self) -> None:
        """An empty list."""
        self._seen: dict[tuple[str, str], None] = {}
        self.count = 0
        self._secrets = 0

    @contextlib.contextmanager
    def secret(self) -> Iterator[None]:
        """Within it, faults say what was expected and nothing of what was found."""
        self._secrets += 1
        try:
            yield
        finally:
            self._secrets -= 1

    def add(self, path: Path, message: str) -> None:
        """Notes a fault; the same one twice (through an alias) counts once."""
        if self._secrets:
            message = message.partition(", got ")[0]
        if len(self._seen) < MAX_FAULTS:
            self._seen[render(path), message] = None
        self.count += 1

    def list(self) -> list[Fault]:
        """All that was noted, in order."""
        found = [Fault(path, message) for path, message in self._seen]
        if self.count > MAX_FAULTS and len(found) == MAX_FAULTS:
            found.append(Fault("", f"{self.count - MAX_FAULTS} more faults are not shown"))
        return found
