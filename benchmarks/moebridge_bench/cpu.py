"""CPU time of a process and all below it, in nanoseconds."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Pinned", "cpu_ns", "model_name", "tree"]


def tree(pid: int) -> list[int]:
    """Returns a process and its descendants."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found.extend(int(child) for child in children.read_text().split())
    return found


def cpu_ns(pids: list[int]) -> int:
    """User and system time of processes, all threads that live.

    Source: /proc/<pid>/task/<tid>/schedstat, whose first number the scheduler keeps in ns;
    /proc/<pid>/stat has only clock ticks of 10 ms.
    """
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def model_name() -> str:
    """Returns what /proc/cpuinfo calls the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "CPU implementer")):
            return line.partition(":")[2].strip()
    return "unknown"


class Pinned:
    """Keeps the measured process on one CPU and all others on the rest, where there are two."""

    def __init__(self) -> None:
        cpus = sorted(os.sched_getaffinity(0))
        self.proxy = {cpus[0]} if len(cpus) > 1 else set(cpus)
        self._cpus = set(cpus)
        self.others = set(cpus[1:]) if len(cpus) > 1 else set(cpus)

    def pin_proxy(self, pid: int) -> None:
        for one in tree(pid):
            for task in Path(f"/proc/{one}/task").iterdir():
                os.sched_setaffinity(int(task.name), self.proxy)

    def pin_self(self) -> None:
        """Also for whatever this process starts from now on."""
        os.sched_setaffinity(0, self.others)

    def unpin_self(self) -> None:
        """As it was before."""
        os.sched_setaffinity(0, self._cpus)
