"""Endpoints that are no IPv4 address: Unix sockets, by path and abstract, and IPv6."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.support.client import fetch
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import access_log, http_config

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer:
            data = b""
            while b"\r\n\r\n" not in data and (more := peer.recv(4096)):
                data += more
            if data:
                peer.sendall(ANSWER)


@contextmanager
def serving(family: socket.AddressFamily, address: Any) -> Iterator[Any]:
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener,))
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def one_endpoint(address: dict[str, Any]) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    assignment = {"cluster_name": "backend", "endpoints": endpoints}
    return {"name": "backend", "type": "STATIC", "load_assignment": assignment}


@pytest.mark.parametrize("kind", ["path", "abstract", "ipv6"])
def test_endpoint_is_reached_and_named(kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        if kind == "ipv6":
            port = stack.enter_context(serving(socket.AF_INET6, ("::1", 0)))[1]
            address = {"socket_address": {"address": "::1", "port_value": port}}
            name = f"[::1]:{port}"
        else:
            name = f"@{tmp_path.name}" if kind == "abstract" else str(tmp_path / "s")
            bound = "\0" + name[1:] if kind == "abstract" else name
            stack.enter_context(serving(socket.AF_UNIX, bound))
            address = {"pipe": {"path": name}}
        log = access_log(tmp_path / "log", "%UPSTREAM_HOST%\n")
        config = http_config([one_endpoint(address)], hcm={"access_log": [log]})
        core = stack.enter_context(Core(config, tmp_path))
        for _ in range(3):
            assert fetch(core.address).body == b"ok"
        core.stats()  # answered in a later turn: the log is written
        assert (tmp_path / "log").read_text("utf-8") == f"{name}\n" * 3


def test_socket_that_is_not_there_is_a_connect_failure(tmp_path: Path) -> None:
    log = access_log(tmp_path / "log", "%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n")
    address = {"pipe": {"path": str(tmp_path / "nobody")}}
    config = http_config([one_endpoint(address)], hcm={"access_log": [log]})
    with Core(config, tmp_path) as core:
        assert fetch(core.address).status == 503
        core.stats()
        assert (tmp_path / "log").read_text("utf-8").startswith("UF delayed_connect_error:_No_such")
