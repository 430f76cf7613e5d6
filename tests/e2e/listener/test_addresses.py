"""Where a listener listens: Unix sockets, IPv6, several addresses, options of the sockets."""

from __future__ import annotations

import contextlib
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.listener.conftest import CoreMaker, LogReader, count
from tests.e2e.support.client import RawClient, fetch
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import http_config
from tests.e2e.support.upstream import Upstream

import moebridge as mb

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def pipe(path: object, **fields: Any) -> dict[str, Any]:
    return {"pipe": {"path": str(path), **fields}}


def tcp(host: str = "127.0.0.1", port: int = 0, **fields: Any) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port, **fields}}


def ask_unix(path: str) -> bytes:
    """Asks a server on a Unix socket; `@name` is abstract."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect("\0" + path[1:] if path.startswith("@") else path)
        client.sendall(REQUEST)
        data = b""
        while piece := client.recv(65536):
            data += piece
        return data


def test_a_unix_listener_answers_and_takes_its_file_away(
    make_core: CoreMaker, upstream: Upstream, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    core = make_core(address=pipe(path, mode=0o600), hcm={"use_remote_address": True})
    assert core.addresses == {"main": f"unix://{path}"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask_unix(str(path)).startswith(b"HTTP/1.1 200 ")
    # A client without an address is not told of.
    assert not upstream.requests[0].has("x-forwarded-for")
    assert count(core, f"listener.{path}.downstream_cx_total") == 1
    core.drain()
    assert core.wait() == 0
    assert not path.exists()


def test_an_abstract_listener_answers(make_core: CoreMaker, tmp_path: Path) -> None:
    name = f"@moebridge-test{tmp_path}"
    core = make_core(address=pipe(name))
    assert core.addresses == {"main": f"unix:{name}"}
    assert ask_unix(name).startswith(b"HTTP/1.1 200 ")


def test_a_reload_keeps_the_unix_socket(
    make_core: CoreMaker, upstream: Upstream, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    core = make_core(address=pipe(path))
    inode = path.stat().st_ino
    core.apply(http_config(upstream.address, listener={"address": pipe(path)}))
    assert path.stat().st_ino == inode
    assert ask_unix(str(path)).startswith(b"HTTP/1.1 200 ")
    core.apply(http_config(upstream.address))  # elsewhere now
    assert not path.exists()


def test_each_address_of_a_listener_answers(
    make_core: CoreMaker, log: LogReader, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    further = [{"address": tcp("::1")}, {"address": pipe(path)}, {"address": tcp()}]
    core = make_core(additional_addresses=further)
    assert list(core.addresses) == ["main", "main[1]", "main[2]", "main[3]"]
    assert core.addresses["main[1]"].startswith("[::1]:")
    assert core.addresses["main[2]"] == f"unix://{path}"
    for name in ("main", "main[1]", "main[3]"):
        assert fetch(core.addresses[name]).status == 200
    assert ask_unix(str(path)).startswith(b"HTTP/1.1 200 ")
    locals_ = [line.split(" ")[2] for line in log(core)]
    assert locals_[:3] == [core.addresses[name] for name in ("main", "main[1]", "main[3]")]
    # Statistics are those of the first address.
    first = core.address.replace(":", "_")
    assert count(core, f"listener.{first}.downstream_cx_total") == 4


def test_an_ipv4_client_of_a_dual_stack_listener_has_an_ipv4_address(
    make_core: CoreMaker, log: LogReader
) -> None:
    core = make_core(address=tcp("::", ipv4_compat=True))
    port = core.address.rpartition(":")[2]
    assert fetch(f"127.0.0.1:{port}").status == 200
    assert fetch(f"[::1]:{port}").status == 200
    assert [line.split(" ")[1] for line in log(core)] == ["127.0.0.1", "::1"]


def test_freebind_listens_on_an_address_that_is_not_there(make_core: CoreMaker) -> None:
    core = make_core(address=tcp("192.0.2.77"), freebind=True)
    assert core.address.startswith("192.0.2.77:")


def test_socket_options_are_set(make_core: CoreMaker) -> None:
    keepalive = {
        "level": socket.SOL_SOCKET,
        "name": socket.SO_KEEPALIVE,
        "int_value": 1,
        "state": "STATE_LISTENING",
    }
    core = make_core(socket_options=[keepalive], tcp_fast_open_queue_length=16)
    assert fetch(core.address).status == 200
    port = int(core.address.rpartition(":")[2])
    with RawClient(core.address) as client:
        assert client.request().status == 200
        # Inherited by what is accepted: /proc says that its keep-alive timer (2) runs.
        mine = client.socket.getsockname()[1]
        lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
        timers = [
            fields[5]
            for fields in (line.split() for line in lines)
            if fields[1].endswith(f":{port:04X}") and fields[2].endswith(f":{mine:04X}")
        ]
        assert [timer.split(":")[0] for timer in timers] == ["02"]


def test_an_option_that_the_kernel_refuses_is_told(upstream: Upstream) -> None:
    wrong = {"level": socket.SOL_SOCKET, "name": 9999, "int_value": 1}
    proxy = mb.Proxy.from_config(
        http_config(upstream.address, listener={"socket_options": [wrong]})
    )
    with pytest.raises(mb.ConfigError, match=r"listeners\[0\]\.address: cannot listen on"):
        proxy.start()


def test_an_address_in_use_is_named(upstream: Upstream, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        proxy = mb.Proxy.from_config(
            http_config(
                upstream.address, listener={"additional_addresses": [{"address": pipe(path)}]}
            )
        )
        wanted = r"listeners\[0\]\.additional_addresses\[0\]\.address: cannot listen on .*in use"
        with pytest.raises(mb.ConfigError, match=wanted):
            proxy.start()
    assert path.exists()


def test_a_listener_that_does_not_bind_has_no_address(upstream: Upstream, tmp_path: Path) -> None:
    config = http_config(upstream.address)
    listeners = config["static_resources"]["listeners"]
    listeners.append({**listeners[0], "name": "unbound", "bind_to_port": False})
    with Core(config, tmp_path) as core:
        assert list(core.addresses) == ["main"]
        assert fetch(core.address).status == 200


def test_the_proxy_tells_of_each_address(upstream: Upstream, tmp_path: Path) -> None:
    listener = {"address": pipe(tmp_path / "s"), "additional_addresses": [{"address": tcp()}]}
    proxy = mb.Proxy.from_config(http_config(upstream.address, listener=listener))
    with contextlib.ExitStack() as stack:
        proxy.start()
        stack.callback(proxy.stop)
        assert proxy.addresses["main"] == f"unix://{tmp_path}/s"
        assert fetch(proxy.addresses["main[1]"]).status == 200
        assert ask_unix(f"{tmp_path}/s").startswith(b"HTTP/1.1 200 ")
