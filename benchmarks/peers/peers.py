"""The proxies that are compared, each with one worker, and the upstream behind all of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["MISSING", "SETTINGS", "Moebridge", "Nginx", "Process", "Upstream", "start_peer"]

_FILTERS = Path(__file__).with_name("filters.py")
_LISTENING = re.compile(r"listening \S+ http://(\S+)")
_HEADERS = ("x-bench-request", "x-bench-response")
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
        for side, name in zip(("request", "response"), _HEADERS, strict=True)
    }
}
#: What is on and off on each side; goes into the results.
SETTINGS = {
    "nginx": "1 worker; HTTP/1.1 to the upstream with a keep-alive pool; access log off; "
    "keepalive_requests without bound; all else as it is by default (proxy_buffering on)",
    "moebridge": "1 worker; edge profile of `moebridge run --listen`: all timeouts, x-request-id, "
    "x-forwarded-*, path normalisation, statistics on; access log off, as by default",
    "upstream": "nginx, 1 worker, sendfile, no access log",
}


def MISSING() -> list[str]:  # noqa: N802
    """Returns the programs that are not installed."""
    return [name for name in ("nginx", "wrk") if shutil.which(name) is None]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A server in the background: up when it accepts, ended with SIGTERM."""

    pid: int
    address: str

    def __init__(self, command: Sequence[str], *, stderr: int | None = None) -> None:
        self.command = list(command)
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=stderr, text=True, env=dict(os.environ)
        )
        self.pid = self._process.pid

    def wait_for(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        for _ in range(500):
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.01)
            else:
                self.address = address
                return
        raise RuntimeError(f"{self.command}: does not accept on {address}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _NginxProcess(Process):
    """nginx with a configuration of its own, in a folder of its own."""

    def __init__(self, server: str, http: str, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._folder = folder
        root = Path(folder.name)
        address = f"127.0.0.1:{_free_port()}"
        temp = "".join(
            f"  {name}_temp_path {root};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (root / "nginx.conf").write_text(
            "daemon off; master_process on; worker_processes 1;\n"
            f"pid {root}/pid; error_log {root}/error.log crit;\n"
            "worker_rlimit_nofile 65536;\n"
            "events { worker_connections 16384; }\n"
            "http {\n"
            f"{temp}"
            "  access_log off; sendfile on; keepalive_timeout 3600s;\n"
            "  keepalive_requests 1000000000;\n"
            f"{http}"
            f"  server {{ listen {address} backlog=4096;\n{server}  }}\n"
            "}\n"
        )
        super().__init__(["nginx", "-p", str(root), "-c", str(root / "nginx.conf")])
        self.wait_for(address)

    def stop(self) -> None:
        super().stop()
        self._folder.cleanup()


def Upstream(body_bytes: int) -> Process:  # noqa: N802
    """Nginx that answers every path with the same bytes; `/check` says which header came."""
    folder = tempfile.TemporaryDirectory(prefix="moebridge-bench-")
    root = Path(folder.name)
    root.chmod(0o755)
    (root / "body").write_bytes((b"0123456789abcdef" * (body_bytes // 16 + 1))[:body_bytes])
    if body_bytes <= 1024:
        body = f'return 200 "{(root / "body").read_text()}";'
    else:
        body = f"root {root}; try_files /body =404;"
    server = (
        "    default_type text/plain;\n"
        f"    location / {{ {body} }}\n"
        f'    location /check {{ add_header x-saw "$http_x_bench_request"; {body} }}\n'
    )
    return _NginxProcess(server, "  open_file_cache max=8;\n", folder)


def Nginx(upstream: str, *, connections: int, filter_: str) -> Process:  # noqa: N802
    """The yardstick. `filter_`: "" or "headers" (the same two headers by its own directives)."""
    change = ""
    if filter_:
        change = f"      proxy_set_header {_HEADERS[0]} set;\n      add_header {_HEADERS[1]} set;\n"
    return _NginxProcess(
        "    location / {\n"
        "      proxy_pass http://up;\n"
        "      proxy_http_version 1.1;\n"
        '      proxy_set_header Connection "";\n'
        f"{change}"
        "    }\n",
        f"  upstream up {{ server {upstream}; keepalive {connections * 2}; "
        "keepalive_requests 1000000000; }\n",
        tempfile.TemporaryDirectory(prefix="moebridge-bench-"),
    )


class Moebridge(Process):
    """`moebridge run` with filters named as on its command line."""

    def __init__(self, upstream: str, filters: Sequence[str]) -> None:
        named = [word for filter_ in filters for word in ("--filter", filter_)]
        command = [sys.executable, "-m", "moebridge", "run", "--listen", "127.0.0.1:0"]
        super().__init__([*command, "--upstream", upstream, *named], stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        stderr = self._process.stderr
        lines: list[str] = []
        for line in stderr:
            lines.append(line)
            if found := _LISTENING.search(line):
                self.wait_for(found[1])
                break
        else:
            raise RuntimeError(f"{self.command}: {''.join(lines)}")
        threading.Thread(target=lambda: [None for _ in stderr], daemon=True).start()


def start_peer(name: str, upstream: str, *, connections: int) -> Process:
    """Starts a proxy by the name of its row."""
    kind, _, filter_ = name.partition("+")
    if kind == "nginx":
        return Nginx(upstream, connections=connections, filter_=filter_)
    python = f"{_FILTERS}:SetHeaders"
    filters = {
        "": [],
        "c": [f"native:header_mutation={json.dumps(_C_FILTER)}"],
        "python": [python],
        "python10": [python] * 10,
        "look": [f"{_FILTERS}:LookAtBody"],
        "count": [f"{_FILTERS}:CountBody"],
    }
    return Moebridge(upstream, filters[filter_])
