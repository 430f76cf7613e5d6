"""h2spec, the conformance tests of HTTP/2, as a program built from tests/tools/h2spec."""

from __future__ import annotations

import functools
import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

__all__ = ["Case", "build_h2spec", "run_h2spec"]

ROOT = Path(__file__).resolve().parents[3]
MODULE = ROOT / "tests/tools/h2spec"
PROGRAM = ROOT / "build/tools/h2spec"
PACKAGE = "github.com/summerwind/h2spec/cmd/h2spec"
BUILD_S = 900
RUN_S = 300


class Case(NamedTuple):
    """One case and what went wrong with it ("": nothing)."""

    section: str
    name: str
    failure: str


@functools.cache
def build_h2spec() -> Path:
    """Builds the program, once for each change of its pinned versions, and returns it."""
    pins = [MODULE / "go.mod", MODULE / "go.sum"]
    if not PROGRAM.exists() or PROGRAM.stat().st_mtime < max(pin.stat().st_mtime for pin in pins):
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        # Another test run may be starting it just now.
        fresh = PROGRAM.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            ["go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", fresh, PACKAGE],
            cwd=MODULE,
            check=False,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        fresh.replace(PROGRAM)
    return PROGRAM


def run_h2spec(address: str, spec: str, report: Path, *, tls: bool = False) -> list[Case]:
    """Runs the cases of one part ("generic", "http2", "hpack") against a server.

    The strict ones are among them. `report` is written as JUnit's XML.
    """
    host, _, port = address.rpartition(":")
    options = ["--strict", "-o", "5", "-j", str(report), *(["-t", "-k"] if tls else [])]
    done = subprocess.run(
        [build_h2spec(), "-h", host, "-p", port, *options, spec],
        check=False,
        capture_output=True,
        text=True,
        timeout=RUN_S,
    )
    assert report.exists(), done.stdout + done.stderr
    cases = []
    for case in ET.parse(report).getroot().iter("testcase"):
        said = "".join(text for child in case for text in child.itertext()).strip()
        cases.append(Case(case.get("package", ""), case.get("classname", ""), said))
    assert (done.returncode == 0) == all(not case.failure for case in cases), done.stdout
    return cases
