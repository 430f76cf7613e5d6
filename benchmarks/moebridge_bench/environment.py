"""What figures depend on, beside the code."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from .cpu import model_name
from .peer import Tools

__all__ = ["environment"]

#: Program -> distribution.
_DISTRIBUTIONS = {"mitmproxy": ("mitmdump", "mitmproxy"), "pyvoy": ("pyvoy", "pyvoy")}
_ROOT = Path(__file__).resolve().parents[2]


def _output(*words: str) -> str:
    """Returns what a program says; "": there is none."""
    try:
        done = subprocess.run(words, cwd=_ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout + done.stderr).strip()


def _commit() -> dict[str, Any]:
    """Of the checkout that this file is in; an installed one has a version instead."""
    if not (_ROOT / "native").is_dir():
        return {"commit": importlib.metadata.version("moebridge"), "changed_files": 0}
    changed = _output("git", "status", "--short", "--", "native", "bridge").splitlines()
    commit = _output("git", "rev-parse", "--short=12", "HEAD")
    return {"commit": commit, "changed_files": len(changed)}


def _first_version(said: str) -> str:
    """`nginx version: nginx/1.22.1`."""
    return next(iter(said.partition("/")[2].split()), "none")


def _envoy_version(said: str) -> str:
    """`<path>  version: <commit>/<version>/Clean/...`."""
    parts = said.rpartition("version: ")[2].split("/")
    return parts[1] if len(parts) > 1 else "none"


def _distribution(tools: Tools, program: str, name: str) -> str:
    """Version of a distribution of the interpreter that lies beside one of its programs."""
    found = tools.find(program)
    if found is None:
        return "none"
    ask = f"import importlib.metadata; print(importlib.metadata.version({name!r}))"
    return _output(str(Path(found).with_name("python")), "-c", ask) or "unknown"


def environment(command: str, tools: Tools | None = None) -> dict[str, Any]:
    """Returns machine, versions and commit.

    Args:
        command: what a reader types to get the figures again.
        tools: where programs are found.
    """
    tools = tools or Tools()
    envoy = tools.find("envoy") or "envoy"
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        **_commit(),
        "cpu": model_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}",
        "dispatch": os.environ.get("MOEBRIDGE_DISPATCH") or "cython",
        "nginx": _first_version(_output("nginx", "-v")),
        "envoy": _envoy_version(_output(envoy, "--version")),
        "haproxy": next(iter(_output("haproxy", "-v").split()[2:]), "none"),
        **{name: _distribution(tools, *where) for name, where in _DISTRIBUTIONS.items()},
        "h2load": _output("h2load", "--version").removeprefix("h2load "),
        "wrk": _output("wrk", "-v").split(" [")[0].removeprefix("wrk "),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "command": command,
    }
