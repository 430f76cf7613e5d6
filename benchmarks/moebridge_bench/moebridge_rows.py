"""moebridge: without a filter, with a C filter, with Python filters."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from .compiled import compile_filters
from .envoy import bootstrap, python_filter
from .peer import HEADERS, Peer, PeerError, Process, Setup, Tools, free_port, needs, new_folder

__all__ = ["PEERS", "SETTINGS"]

SETTINGS = {
    "moebridge": "1 worker; edge profile of `moebridge run --listen`: all timeouts, x-request-id, "
    "x-forwarded-*, path normalisation, statistics on; access log off, as by default",
}
_FILTERS = Path(__file__).with_name("filters.py")
_LISTENING = re.compile(r"listening \S+ https?://(\S+)")
_C_FILTER = {
    "mutations": {
        f"{side}_mutations": [
            {
                "append": {
                    "header": {"key": name, "value": "set"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            }
        ]
        for side, name in zip(("request", "response"), HEADERS, strict=True)
    }
}
_NATIVE = f"native:header_mutation={json.dumps(_C_FILTER)}"
_SET_HEADERS = f"{_FILTERS}:SetHeaders"


def _drain(stderr: IO[str]) -> None:
    """Reads what nobody wants, so that the pipe is never full."""
    with stderr:
        for _ in stderr:
            pass


def start_moebridge(
    arguments: Sequence[str], *, modules: tempfile.TemporaryDirectory[str] | None = None
) -> Process:
    """Starts `moebridge run`.

    Args:
        arguments: of the command.
        modules: a folder that its filters are imported from, and that goes with the process.
    """
    command = [sys.executable, "-m", "moebridge", "run", *arguments]
    env = {"PYTHONPATH": modules.name} if modules is not None else None
    process = Process(command, stderr=subprocess.PIPE, folder=modules, env=env)
    stderr = process.stderr
    lines: list[str] = []
    for line in stderr:
        lines.append(line)
        if found := _LISTENING.search(line):
            threading.Thread(target=_drain, args=(stderr,), daemon=True).start()
            return process.wait_for(found[1])
    process.stop()
    raise PeerError(f"moebridge does not start: {''.join(lines)}")


def _start(setup: Setup, filters: Sequence[str]) -> Process:
    if setup.protocol == "h1":
        named = [word for one in filters for word in ("--filter", one)]
        return start_moebridge(["--listen", "127.0.0.1:0", "--upstream", setup.upstream, *named])
    with new_folder() as folder:  # the file is read when the process accepts
        file = Path(folder, "envoy.json")
        document = bootstrap(
            free_port(),
            setup.upstream,
            certificate=setup.certificate,
            filters=[python_filter(target) for target in filters],
        )
        file.write_text(json.dumps(document))
        return start_moebridge(["-c", str(file)])


def _start_compiled(setup: Setup) -> Process:
    modules = new_folder()
    try:
        module = compile_filters(_FILTERS, Path(modules.name)).name.partition(".")[0]
    except Exception as error:  # those of Cython and of the compiler have no common base
        modules.cleanup()
        raise PeerError(f"{_FILTERS.name} is not compiled: {error}") from error
    listen = ["--listen", "127.0.0.1:0", "--upstream", setup.upstream]
    return start_moebridge([*listen, "--filter", f"{module}:SetHeaders"], modules=modules)


def _here(_tools: Tools) -> None:
    """It is this distribution."""


def _no_cython(tools: Tools) -> str | None:
    if find_spec("Cython") is None:
        return "Cython not installed"
    return needs("cc")(tools)


def _peer(name: str, what: str, *filters: str, sets_headers: bool = False) -> Peer:
    return Peer(
        name=name,
        title=f"moebridge, {what}",
        start=lambda setup: _start(setup, filters),
        missing=_here,
        required=True,
        sets_headers=sets_headers,
    )


PEERS = (
    _peer("moebridge", "no filter"),
    _peer(
        "moebridge+c",
        "C filter: one header on request and response",
        _NATIVE,
        sets_headers=True,
    ),
    _peer(
        "moebridge+python",
        "Python filter: one header on request and response",
        _SET_HEADERS,
        sets_headers=True,
    ),
    _peer(
        "moebridge+python10",
        "10 such Python filters",
        *[_SET_HEADERS] * 10,
        sets_headers=True,
    ),
    Peer(
        name="moebridge+cython",
        title="moebridge, the same file of Python compiled with Cython",
        start=_start_compiled,
        missing=_no_cython,
        sets_headers=True,
    ),
    _peer(
        "moebridge+look",
        "Python filter that looks at each piece of body",
        f"{_FILTERS}:LookAtBody",
    ),
    _peer(
        "moebridge+count",
        "Python filter: data.count(pattern) in each piece",
        f"{_FILTERS}:CountBody",
    ),
)
