"""The PROXY header in front of a connection, by hand and by HAProxy."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.listener.conftest import CoreMaker, LogReader, count, listener_count, wait_for
from tests.e2e.support.client import RawClient, fetch
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import access_log
from tests.e2e.support.listener_config import listener_filter
from tests.e2e.support.ports import free_port, wait_for_port
from tests.e2e.support.upstream import Upstream
from tests.e2e.tcp.conftest import bootstrap, cluster

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.9 5555 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([192, 0, 2, 7, 198, 51, 100, 9]) + struct.pack("!HH", 5555, 443)


def v2(
    addresses: bytes = V4, family: int = 0x11, *, command: int = 0x21, tlvs: bytes = b""
) -> bytes:
    body = addresses + tlvs
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(body)) + body


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + struct.pack("!H", len(value)) + value


def proxied(make_core: CoreMaker, *, hcm: dict[str, Any] | None = None, **fields: Any) -> Core:
    return make_core(hcm=hcm, listener_filters=[listener_filter("proxy_protocol", **fields)])


def ask(core: Core, *header: bytes, bytewise: bool = False) -> int:
    """Sends the header and a request; the status of the answer."""
    with RawClient(core.address) as client:
        if bytewise:
            client.send_bytewise(b"".join(header) + GET)
        else:
            client.send(b"".join(header) + GET)
        return client.read_response().status


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("header", [LINE, v2(), v2(tlvs=tlv(0x04, b"x" * 5000))])
def test_the_client_is_who_the_header_says(
    make_core: CoreMaker, log: LogReader, upstream: Upstream, header: bytes, bytewise: bool
) -> None:
    core = proxied(make_core, hcm={"use_remote_address": True})
    assert ask(core, header, bytewise=bytewise) == 200
    assert log(core) == ["192.0.2.7:5555 127.0.0.1 198.51.100.9:443 -"]
    assert upstream.requests[0].get("x-forwarded-for") == "192.0.2.7"
    assert upstream.requests[0].get("x-envoy-external-address") == "192.0.2.7"
    version = "v1" if header == LINE else "v2"
    assert count(core, f"proxy_proto.versions.{version}.found") == 1


def test_the_header_counts_for_every_request_of_the_connection(
    make_core: CoreMaker, log: LogReader
) -> None:
    core = proxied(make_core)
    with RawClient(core.address) as client:
        client.send(LINE)
        assert [client.request().status for _ in range(3)] == [200] * 3
    assert log(core) == ["192.0.2.7:5555 127.0.0.1 198.51.100.9:443 -"] * 3


def test_the_log_of_a_tcp_proxy_tells_both_pairs_of_addresses(
    upstream: Upstream, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    both = " ".join(
        f"%DOWNSTREAM_{which}_ADDRESS%"
        for which in ("REMOTE", "LOCAL", "DIRECT_REMOTE", "DIRECT_LOCAL")
    )
    config = bootstrap(
        [cluster("up", upstream.address)],
        listener={"listener_filters": [listener_filter("proxy_protocol")]},
        access_log=[access_log(path, both + "\n")],
    )
    with Core(config, tmp_path) as core:
        with RawClient(core.address) as client:
            client.send(LINE)
            assert client.request().status == 200
            own = client.socket.getsockname()
        wait_for(lambda: count(core, "tcp.t.downstream_cx_active") == 0)
        count(core, "")  # answered in a later turn: the line is written
    assert path.read_text() == (
        f"192.0.2.7:5555 198.51.100.9:443 {own[0]}:{own[1]} {core.address}\n"
    )


def test_ipv6_addresses_are_taken(make_core: CoreMaker, log: LogReader) -> None:
    core = proxied(make_core)
    assert ask(core, b"PROXY TCP6 2001:db8::7 2001:db8::9 5555 443\r\n") == 200
    assert log(core) == ["[2001:db8::7]:5555 127.0.0.1 [2001:db8::9]:443 -"]


@pytest.mark.parametrize(
    "header",
    [b"PROXY UNKNOWN\r\n", v2(b"", 0, command=0x20), v2(command=0x20), v2(b"", 0)],
    ids=["unknown", "local", "local with addresses", "unspec"],
)
def test_without_addresses_those_of_the_socket_are_right(
    make_core: CoreMaker, log: LogReader, header: bytes
) -> None:
    core = proxied(make_core)
    assert ask(core, header) == 200
    (line,) = log(core)
    remote, direct, local, _ = line.split(" ")
    assert remote.startswith("127.0.0.1:")
    assert (direct, local) == ("127.0.0.1", core.address)


def test_tlvs_become_metadata_of_each_stream(make_core: CoreMaker, log: LogReader) -> None:
    rules = [
        {"tlv_type": 0x02, "on_tlv_present": {"key": "authority"}},
        {"tlv_type": 0xE0, "on_tlv_present": {"key": "bytes"}},
        {"tlv_type": 0xE1, "on_tlv_present": {"metadata_namespace": "other", "key": "k"}},
    ]
    core = proxied(make_core, rules=rules)
    tlvs = tlv(2, b"a.example") + tlv(0xE0, b"\xff\x00") + tlv(0xE1, b"x") + tlv(2, b"second")
    assert ask(core, v2(tlvs=tlvs)) == 200
    (line,) = log(core)
    said = line.split(" ", 3)[3]
    assert '"authority":"a.example"' in said  # the first of its kind
    assert '"bytes":"/wA="' in said
    assert "second" not in said
    assert '"k"' not in said


def test_a_connection_without_header_is_closed_unless_allowed(make_core: CoreMaker) -> None:
    core = proxied(make_core)
    with RawClient(core.address) as client:
        client.send(GET)
        assert client.is_closed()
    assert count(core, "proxy_proto.not_found_disallowed") == 1
    assert listener_count(core, "downstream_cx_proxy_proto_error") == 1

    lenient = proxied(make_core, allow_requests_without_proxy_protocol=True, stat_prefix="edge")
    assert ask(lenient) == 200
    assert ask(lenient, LINE) == 200
    assert count(lenient, "proxy_proto.edge.not_found_allowed") == 1
    assert count(lenient, "proxy_proto.edge.versions.v1.found") == 1


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_a_disallowed_version_is_closed(make_core: CoreMaker, version: str) -> None:
    core = proxied(make_core, disallowed_versions=[version])
    headers = {"V1": LINE, "V2": v2()}
    with RawClient(core.address) as client:
        client.send(headers.pop(version) + GET)
        assert client.is_closed()
    assert count(core, f"proxy_proto.versions.{version.lower()}.disallowed") == 1
    assert ask(core, *headers.values()) == 200


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.9 99999 443\r\n", "v1"),
        (b"PROXY TCP4 255.255.255.255 198.51.100.9 1 443\r\n", "v1"),
        (b"PROXY TCP4 0.0.0.0 198.51.100.9 1 443\r\n", "v1"),
        (b"PROXY TCP6 ff02::1 ::1 1 443\r\n", "v1"),
        (b"PROXY " + b"x" * 200, "v1"),
        (v2(command=0x22), "v2"),
        (v2(V4[:8]), "v2"),
        (v2(tlvs=b"\x02\x00\x09a"), "v2"),
        (v2(tlvs=tlv(3, b"\0\0\0\0")), "v2"),
        (v2(bytes([224, 0, 0, 1]) + V4[4:]), "v2"),
    ],
)
def test_a_malformed_header_is_closed_and_counted(
    make_core: CoreMaker, header: bytes, version: str
) -> None:
    core = proxied(make_core)
    with RawClient(core.address) as client:
        client.send(header)
        assert client.is_closed()
    assert count(core, f"proxy_proto.versions.{version}.error") == 1
    assert ask(core, LINE) == 200


def test_a_client_that_ends_within_the_header_is_counted(make_core: CoreMaker) -> None:
    core = proxied(make_core)
    for sent in (b"", LINE[:20], v2()[:14]):
        with RawClient(core.address) as client:
            client.send(sent)
            client.socket.shutdown(1)
            assert client.is_closed()
    wait_for(lambda: listener_count(core, "downstream_listener_filter_remote_close") == 3)
    assert listener_count(core, "downstream_pre_cx_active") == 0


def test_a_header_that_does_not_come_is_not_waited_for(make_core: CoreMaker) -> None:
    filters = [listener_filter("proxy_protocol")]
    core = make_core(listener_filters=filters, listener_filters_timeout="0.2s")
    with RawClient(core.address) as silent, RawClient(core.address) as slow:
        slow.send(LINE[:10])
        assert silent.is_closed()
        assert slow.is_closed()
    assert listener_count(core, "downstream_pre_cx_timeout") == 2
    assert listener_count(core, "downstream_cx_total") == 0
    assert ask(core, LINE) == 200


def test_a_connection_goes_on_after_the_timeout_where_that_is_wanted(
    make_core: CoreMaker, log: LogReader
) -> None:
    filters = [listener_filter("proxy_protocol", allow_requests_without_proxy_protocol=True)]
    core = make_core(
        listener_filters=filters,
        listener_filters_timeout="0.2s",
        continue_on_listener_filters_timeout=True,
    )
    with RawClient(core.address) as client:
        wait_for(lambda: listener_count(core, "downstream_cx_active") == 1)
        assert client.request().status == 200
    assert listener_count(core, "downstream_pre_cx_timeout") == 1
    assert log(core)[0].startswith("127.0.0.1:")


def test_many_that_send_nothing_are_pending_and_then_gone(make_core: CoreMaker) -> None:
    core = proxied(make_core)
    clients = [RawClient(core.address) for _ in range(20)]
    wait_for(lambda: listener_count(core, "downstream_pre_cx_active") == 20)
    for client in clients:
        client.abort()
    wait_for(lambda: listener_count(core, "downstream_pre_cx_active") == 0)
    assert ask(core, LINE) == 200


def test_a_reload_keeps_what_waits_for_its_header(
    make_core: CoreMaker, log: LogReader, upstream: Upstream, tmp_path: Path
) -> None:
    from tests.e2e.listener.conftest import LOG_FORMAT
    from tests.e2e.support.envoy_config import access_log, http_config

    core = proxied(make_core)
    with RawClient(core.address) as client:
        client.send(LINE[:10])
        wait_for(lambda: listener_count(core, "downstream_pre_cx_active") == 1)
        hcm = {"access_log": [access_log(tmp_path / "log", LOG_FORMAT)]}
        core.apply(http_config(upstream.address, hcm=hcm))  # without listener filters
        client.send(LINE[10:] + GET)
        assert client.read_response().status == 200
        assert listener_count(core, "downstream_pre_cx_active") == 0
    assert fetch(core.address).status == 200
    first, second = log(core)
    assert first.startswith("192.0.2.7:5555 ")
    assert second.startswith("127.0.0.1:")


def test_drain_waits_for_what_waits_for_its_header(make_core: CoreMaker) -> None:
    core = proxied(make_core)
    with RawClient(core.address) as client:
        wait_for(lambda: listener_count(core, "downstream_pre_cx_active") == 1)
        core.drain()
        client.send(LINE + GET)
        response = client.read_response()
        assert response.status == 200
        assert response.get("connection") == "close"
        assert client.is_closed()
    assert core.wait() == 0


# -- HAProxy in front ------------------------------------------------------------------------------


@contextmanager
def haproxy(folder: Path, server: str, option: str) -> Iterator[str]:
    """HAProxy in front of `server`; gives its address."""
    port = free_port()
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n  maxconn 100\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n"
        f"listen front\n  bind 127.0.0.1:{port}\n  server core {server} {option}\n",
        "ascii",
    )
    process = subprocess.Popen(["haproxy", "-q", "-db", "-f", config])
    try:
        wait_for_port(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(
    ("option", "version"),
    [
        ("send-proxy", "v1"),
        ("send-proxy-v2", "v2"),
        ("send-proxy-v2 proxy-v2-options crc32c", "v2"),
    ],
)
def test_what_haproxy_sends_is_read(
    make_core: CoreMaker, log: LogReader, tmp_path: Path, option: str, version: str
) -> None:
    core = proxied(make_core)
    with haproxy(tmp_path, core.address, option) as front, RawClient(front) as client:
        port = client.socket.getsockname()[1]
        assert client.request().status == 200
        assert client.request().status == 200
    assert log(core) == [f"127.0.0.1:{port} 127.0.0.1 {front} -"] * 2
    # The look whether HAProxy listens was a connection too.
    assert count(core, f"proxy_proto.versions.{version}.found") == 2
