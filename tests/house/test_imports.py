"""`import moebridge` is quick: what only a running proxy needs is imported when one is made."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# The loop, the readers of configurations and what these bring with them.
HEAVY = {"asyncio", "ssl", "yaml", "importlib.metadata", "concurrent.futures", "argparse"}
HEAVY |= {"msgspec", "logging"}
LATER = {"_engine", "_loop", "_plan", "_server", "_sources", "filter_load"}


def loaded_by(code: str, dispatch: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        env={**os.environ, "MOEBRIDGE_DISPATCH": dispatch},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("dispatch", ["cython", "cffi"])
def test_import_loads_neither_asyncio_nor_the_reader_of_configurations(dispatch: str) -> None:
    found = loaded_by("import moebridge", dispatch)
    assert "moebridge.proxy" in found
    assert not HEAVY & found
    assert not {f"moebridge.{name}" for name in LATER} & found
    assert not any(name.split(".")[:2] == ["moebridge", "config"] for name in found)


def test_a_proxy_loads_them() -> None:
    make = "import moebridge; moebridge.Proxy(listen='127.0.0.1:0', upstream='127.0.0.1:9')"
    found = loaded_by(make, "cython")
    assert {"asyncio", "moebridge._engine", "moebridge.config.simple"} <= found
