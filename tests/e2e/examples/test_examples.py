"""Each example runs, says what it promises, and warns of nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.sync import client as ws_client
from websockets.sync import server as ws_server

from ..support.client import fetch
from ..support.command import Command, run_command
from ..support.upstream import Upstream
from ..tcp.servers import Server, connect, read_all

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
ENVOY_FILE = EXAMPLES / "envoy_file" / "envoy.yaml"


def run_to_its_end(*words: str, timeout_s: float = 60, path: str | None = None) -> str:
    env = {**os.environ, **({} if path is None else {"PATH": path})}
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=env,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@contextmanager
def serving(example: str, upstream: Upstream | Server) -> Iterator[str]:
    words = [sys.executable, "-W", "error", str(EXAMPLES / example)]
    with subprocess.Popen(
        [*words, "127.0.0.1:0", upstream.address], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            word, address = process.stdout.readline().split()
            assert word == "listening"
            yield address
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_readme_filter(upstream: Upstream) -> None:
    with serving("readme_filter.py", upstream) as address:
        assert fetch(address).body == b"unknown key\n"
        assert fetch(address, fields=[("x-api-key", "s3cret")]).status == 200
    assert upstream.requests[0].get("x-user") == "ann"


def test_async_filter_asks_once_for_requests_at_the_same_time(upstream: Upstream) -> None:
    with serving("async_filter.py", upstream) as address:
        fields = [("authorization", "Bearer ann-1")]
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda: statuses.append(fetch(address, fields=fields).status))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert statuses == [200] * 5
        assert fetch(address).status == 401
    assert {request.get("x-user") for request in upstream.requests} == {"ann"}


def test_tcp_filter() -> None:
    with Server() as server, serving("tcp_filter.py", server) as address:
        with connect(address) as peer:
            peer.sendall(b"fri")
            peer.sendall(b"end\nhello")
            assert peer.recv(5) == b"hello"
        with connect(address) as peer:
            peer.sendall(b"enemy\nhello")
            assert read_all(peer) == b"no\n"
        assert server.count == 1


def test_websocket_filter() -> None:
    def echo(connection: ws_server.ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with ws_server.serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        upstream: Any = SimpleNamespace(address=f"127.0.0.1:{server.socket.getsockname()[1]}")
        with (
            serving("websocket_filter.py", upstream) as address,
            ws_client.connect(f"ws://{address}/") as client,
        ):
            for message, expected in (("hello", "HELLO"), (b"hello", b"hello")):
                client.send(message)
                assert client.recv(20) == expected
        server.shutdown()
        thread.join(20)


def test_gateway_in_asyncio() -> None:
    lines = run_to_its_end(str(EXAMPLES / "gateway_in_asyncio.py")).splitlines()
    assert [line.lower() for line in lines] == [
        *[f"x-gateway: upstream, /{number}" for number in range(3)],
        "requests: 3",
    ]


def test_reload() -> None:
    output = run_to_its_end(str(EXAMPLES / "reload.py"))
    for version in range(1, 6):
        assert f"version {version}: no stream is left" in output
        assert f"answers 200, version {version}" in output
    assert "refused, version 5 stays: version: expected int, got str" in output


def test_envoy_file() -> None:
    assert run_command("validate", "-c", str(ENVOY_FILE)).returncode == 0
    with Command("run", "-c", str(ENVOY_FILE)) as command:
        for host, path, body in (
            ("gold.example.test", "/", b"gold\n"),
            ("tin.example.test:80", "/", b"others\n"),
            ("elsewhere.test", "/", b"others\n"),
            ("tin.example.test", "/plain", b"no tenant is asked for here\n"),
        ):
            assert fetch(command.address, path, fields=[("host", host)]).body == body
        assert command.terminate() == 0


@pytest.mark.parametrize("path", [None, "/nonexistent"], ids=["as it is", "without wrk"])
def test_demo(path: str | None) -> None:
    output = run_to_its_end(str(EXAMPLES / "demo.py"), "1", timeout_s=110, path=path)
    for name in ("no filter", "C filter", "Python filter"):
        lines = [line for line in output.splitlines() if line.startswith(name)]
        assert len(lines) == 2, output  # what it did, what it cost
        assert " us " in lines[1]
    seen = "x-demo-request: seen     x-demo-response: seen    2"
    assert output.count(seen) == 2
