"""One port serves TLS, HTTP/1.1, HTTP/2 in clear text and raw TCP, each by its filter chain."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.peers import world
from tests.e2e.support.certificates import Authority
from tests.e2e.support.command import Command
from tests.e2e.support.envoy_config import cluster

_TYPE = "type.googleapis.com/envoy.extensions.filters"
_INSPECTORS = [
    {
        "name": name,
        "typed_config": {"@type": f"{_TYPE}.listener.{name}.v3.{kind}"},
    }
    for name, kind in (("tls_inspector", "TlsInspector"), ("http_inspector", "HttpInspector"))
]


def echo_server() -> tuple[socket.socket, int]:
    """Echoes what each connection sends until the listening socket is closed."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            with taken:
                while data := taken.recv(65536):
                    taken.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return listening, listening.getsockname()[1]


def chain(name: str, match: dict[str, Any], says: str, tls: Any = None) -> dict[str, Any]:
    """A filter chain whose connection manager answers with a word."""
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": says}},
    }
    whole = world.listener(name, 0, [answer], tls=tls, filters=world.python_filters())
    made: dict[str, Any] = whole["filter_chains"][0]
    return {**made, "name": name, "filter_chain_match": match}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    folder = tmp_path_factory.mktemp("one-port")
    authority = Authority(folder)
    secure = world.downstream_tls(authority.issue("localhost"))
    number = world.free_port()
    listening, echo = echo_server()
    proxy = {
        "@type": f"{_TYPE}.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "raw",
        "cluster": "echo",
    }
    main = world.listener("main", number, [])
    main["listener_filters"] = _INSPECTORS
    main["filter_chains"] = [
        chain("tls", {"transport_protocol": "tls"}, "by tls", secure),
        chain("h2c", {"application_protocols": ["h2c"]}, "by h2c"),
        chain("h1", {"application_protocols": ["http/1.1", "http/1.0"]}, "by h1"),
    ]
    main["default_filter_chain"] = {"filters": [{"name": "tcp", "typed_config": proxy}]}
    document = world.bootstrap([main], [cluster(f"127.0.0.1:{echo}", name="echo")])
    file = folder / "moebridge.json"
    file.write_text(json.dumps(document))
    with ExitStack() as stack:
        stack.callback(listening.close)
        assert stack.enter_context(Command("run", "-c", str(file))).address
        yield number, authority.file


@pytest.mark.parametrize(
    ("scheme", "how", "says"),
    [
        ("http", "--http1.1", "by h1"),
        ("http", "--http2-prior-knowledge", "by h2c"),
        ("https", "--http1.1", "by tls"),
        ("https", "--http2", "by tls"),
    ],
)
def test_http_comes_by_the_chain_of_its_protocol(
    port: tuple[int, Path], scheme: str, how: str, says: str
) -> None:
    number, authority = port
    url = f"{scheme}://localhost:{number}/"
    command = ["curl", "-sS", "--max-time", "20", "--cacert", str(authority), how, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (says, "")


def test_what_is_neither_goes_to_the_default_chain(port: tuple[int, Path]) -> None:
    with socket.create_connection(("127.0.0.1", port[0]), timeout=20) as client:
        client.sendall(b"\x00\x01 neither\n")
        assert client.recv(100) == b"\x00\x01 neither\n"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
