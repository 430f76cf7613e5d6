"""Memory of a process and all below it."""

from __future__ import annotations

from pathlib import Path

from .cpu import tree

__all__ = ["Memory", "anonymous_bytes"]


def _kib(file: Path, field: str) -> int:
    """A line of /proc as `VmHWM:  1234 kB`."""
    for line in file.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise ValueError(f"{file} has no {field}")


def anonymous_bytes(pid: int) -> int:
    """Returns what a tree of processes has in RAM; what several of them share counts in parts.

    Without files that are mapped: their share falls when any other process maps them, too.
    """
    return sum(_kib(Path(f"/proc/{one}/smaps_rollup"), "Pss_Anon") for one in tree(pid)) * 1024


class Memory:
    """A tree of processes from now on.

    Source: proc(5): VmRSS, VmHWM; 5 written to clear_refs sets the peak to what there is now.

    Args:
        pid: of the process.
    """

    def __init__(self, pid: int) -> None:
        self._pids = tree(pid)
        for one in self._pids:
            Path(f"/proc/{one}/clear_refs").write_text("5")
        self._before = self._sum("VmRSS")

    def _sum(self, field: str) -> int:
        return sum(_kib(Path(f"/proc/{one}/status"), field) for one in self._pids) * 1024

    def peak_growth_bytes(self) -> int:
        """Returns how far it was above the beginning at most; processes peak each for itself."""
        return self._sum("VmHWM") - self._before
