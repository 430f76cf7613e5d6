"""Other ways to write a filter in Python: mitmproxy's addons, and ASGI inside Envoy (pyvoy).

Both bring dependencies with narrow versions, so they are looked for in a virtual environment of
their own (`--peers-venv`) or on PATH.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .peer import Peer, Process, Setup, free_port, needs, new_folder

__all__ = ["PEERS", "SETTINGS"]

SETTINGS = {
    "mitmproxy": "mitmdump in reverse mode, quiet, with an addon that sets the headers; all else "
    "as it is by default: whole messages are held, a connection to the upstream for each client",
    "pyvoy-origin": "an ASGI application on a thread inside Envoy, asyncio, that gives the answer "
    "itself: there is no upstream, so it does half of what a proxy does (the command line of pyvoy "
    "1.3 starts no upstream in clear text)",
}
_ADDON = Path(__file__).with_name("mitmproxy_addon.py")
_ORIGIN = Path(__file__).with_name("asgi_origin.py")


def _start_mitmproxy(setup: Setup) -> Process:
    folder = new_folder()
    port = free_port()
    command = [
        *(setup.tools.path("mitmdump"), "-q", "--mode", f"reverse:http://{setup.upstream}"),
        *("--listen-host", "127.0.0.1", "--listen-port", str(port)),
        *("--set", f"confdir={folder.name}", "-s", str(_ADDON)),
    ]
    return Process(command, folder=folder).wait_for(f"127.0.0.1:{port}")


def _start_pyvoy(setup: Setup) -> Process:
    port = free_port()
    program = setup.tools.path("pyvoy")
    command = [program, "--address", "127.0.0.1", "--port", str(port)]
    folder = new_folder()  # alone, since all that lies beside the application could be imported
    shutil.copy(_ORIGIN, folder.name)
    # Its Envoy looks for the interpreter of the environment, and for the application.
    env = {
        "PATH": os.pathsep.join([str(Path(program).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": folder.name,
    }
    process = Process([*command, f"{_ORIGIN.stem}:app"], env=env, folder=folder)
    return process.wait_for(f"127.0.0.1:{port}")


PEERS = (
    Peer(
        name="mitmproxy",
        title="mitmproxy, Python addon: one header on request and response",
        start=_start_mitmproxy,
        missing=needs("mitmdump"),
        sets_headers=True,
        slow=True,
    ),
    Peer(
        name="pyvoy-origin",
        title="pyvoy: ASGI in Envoy, gives the answer itself (no upstream)",
        start=_start_pyvoy,
        missing=needs("pyvoy"),
        answers=True,
    ),
)
