"""Filter chains chosen by what the first bytes of a connection say."""

from __future__ import annotations

import ssl

import pytest
from tests.e2e.listener.conftest import CoreMaker, count, listener_count, wait_for
from tests.e2e.support.client import RawClient
from tests.e2e.support.core import Core
from tests.e2e.support.listener_config import direct_chain, listener_filter

HTTP = listener_filter("http_inspector")
TLS = listener_filter("tls_inspector")
PROXY = listener_filter("proxy_protocol")


def client_hello(name: str | None, alpn: tuple[str, ...] = ()) -> bytes:
    """What Python's ssl sends first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(received, sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()


def chosen(core: Core, data: bytes, *, bytewise: bool = False) -> str:
    """The chain that a connection gets which begins with these bytes."""
    names = [key.split(".")[1] for key in core.stats() if key.endswith(".downstream_cx_total")]
    chains = [name for name in names if "_" not in name]
    before = {name: count(core, f"http.{name}.downstream_cx_total") for name in chains}
    unmatched = listener_count(core, "no_filter_chain_match")
    with RawClient(core.address) as client:
        if bytewise:
            client.send_bytewise(data)
        else:
            client.send(data)
        found: list[str] = []

        def decided() -> bool:
            found[:] = [
                name
                for name in chains
                if count(core, f"http.{name}.downstream_cx_total") > before[name]
            ]
            if listener_count(core, "no_filter_chain_match") > unmatched:
                found.append("none")
            return bool(found)

        wait_for(decided)
        if found == ["none"]:
            assert client.is_closed()
    assert len(found) == 1
    return found[0]


@pytest.fixture
def one_port(make_core: CoreMaker) -> Core:
    """One port for TLS by name, HTTP/1, h2c and all else."""
    return make_core(
        listener_filters=[TLS, HTTP],
        filter_chains=[
            direct_chain("exact", {"server_names": ["www.example.com"]}),
            direct_chain("wild", {"server_names": ["*.example.com"]}),
            direct_chain("alpn", {"transport_protocol": "tls", "application_protocols": ["h2"]}),
            direct_chain("tls", {"transport_protocol": "tls"}),
            direct_chain("h2c", {"application_protocols": ["h2c"]}),
            direct_chain("h1", {"application_protocols": ["http/1.0", "http/1.1"]}),
        ],
        default_filter_chain=direct_chain("else"),
    )


CASES = {
    "exact": client_hello("www.example.com", ("h2",)),
    "wild": client_hello("a.b.EXAMPLE.com"),
    "alpn": client_hello("other.test", ("http/1.1", "h2")),
    "tls": client_hello(None),
    "h2c": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "h1": b"GET / HTTP/1.1\r\n",
    "else": b"\x00\x01\x02\x03",
}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("want", CASES)
def test_one_port_serves_each_kind_of_client(one_port: Core, want: str, bytewise: bool) -> None:
    assert chosen(one_port, CASES[want], bytewise=bytewise) == want


def test_what_is_found_is_counted(one_port: Core) -> None:
    for data in CASES.values():
        chosen(one_port, data)
    stats = one_port.stats()
    found = {key: value for key, value in stats.items() if "_inspector." in key}
    assert found.pop("tls_inspector.bytes_processed")
    assert found == {
        "tls_inspector.client_hello_too_large": 0,
        "tls_inspector.tls_found": 4,
        "tls_inspector.tls_not_found": 3,
        "tls_inspector.alpn_found": 2,
        "tls_inspector.alpn_not_found": 2,
        "tls_inspector.sni_found": 3,
        "tls_inspector.sni_not_found": 1,
        "http_inspector.read_error": 0,
        "http_inspector.http_not_found": 1,
        "http_inspector.http10_found": 0,
        "http_inspector.http11_found": 1,
        "http_inspector.http2_found": 1,
    }


def test_a_request_is_answered_by_its_chain(one_port: Core) -> None:
    with RawClient(one_port.address) as client:
        assert client.request().body == b"h1"
        assert client.request().body == b"h1"


def test_a_connection_that_matches_no_chain_is_closed(make_core: CoreMaker) -> None:
    core = make_core(
        listener_filters=[TLS],
        filter_chains=[direct_chain("tls", {"transport_protocol": "tls"})],
    )
    assert chosen(core, b"GET / HTTP/1.1\r\n\r\n") == "none"
    assert chosen(core, client_hello("a")) == "tls"
    assert listener_count(core, "no_filter_chain_match") == 1


def test_a_name_is_not_known_without_the_inspector(make_core: CoreMaker) -> None:
    """As in Envoy: the inspector is there when it is configured."""
    core = make_core(
        filter_chains=[direct_chain("named", {"server_names": ["www.example.com"]})],
        default_filter_chain=direct_chain("else"),
    )
    assert chosen(core, CASES["exact"]) == "else"


def test_a_client_hello_that_is_too_long_is_closed(make_core: CoreMaker) -> None:
    core = make_core(
        listener_filters=[listener_filter("tls_inspector", max_client_hello_size=300)],
        filter_chains=[direct_chain("all")],
    )
    with RawClient(core.address) as client:
        client.send(client_hello("www.example.com"))
        assert client.is_closed()
    assert count(core, "tls_inspector.client_hello_too_large") == 1


def test_what_is_no_client_hello_is_closed_where_that_is_wanted(make_core: CoreMaker) -> None:
    strict = listener_filter("tls_inspector", close_connection_on_client_hello_parsing_errors=True)
    core = make_core(listener_filters=[strict], filter_chains=[direct_chain("all")])
    with RawClient(core.address) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.is_closed()


def test_a_request_line_without_end_is_closed(make_core: CoreMaker) -> None:
    core = make_core(listener_filters=[HTTP], filter_chains=[direct_chain("all")])
    with RawClient(core.address) as client:
        client.send(b"GET /" + b"a" * 65536)
        assert client.is_closed()
    assert count(core, "http_inspector.read_error") == 1


def test_inspectors_look_behind_a_proxy_header(make_core: CoreMaker) -> None:
    core = make_core(
        listener_filters=[PROXY, TLS, HTTP],
        filter_chains=[
            direct_chain(
                "far", {"source_prefix_ranges": [{"address_prefix": "192.0.2.0", "prefix_len": 24}]}
            ),
            direct_chain("port", {"destination_port": 8443}),
            direct_chain("named", {"server_names": ["www.example.com"]}),
        ],
        default_filter_chain=direct_chain("else"),
    )
    line = b"PROXY TCP4 %b 198.51.100.9 5555 %d\r\n"
    assert chosen(core, line % (b"192.0.2.9", 443) + CASES["h1"]) == "far"
    assert chosen(core, line % (b"192.0.3.9", 8443) + CASES["h1"]) == "port"
    assert chosen(core, line % (b"192.0.3.9", 443) + CASES["exact"]) == "named"
    assert chosen(core, line % (b"192.0.3.9", 443) + CASES["h1"], bytewise=True) == "else"


def test_waiting_costs_no_turns(make_core: CoreMaker) -> None:
    """Bytes that stay in the socket wake nobody."""
    core = make_core(listener_filters=[TLS], filter_chains=[direct_chain("all")])
    with RawClient(core.address) as client:
        client.send(CASES["exact"][:50])
        wait_for(lambda: listener_count(core, "downstream_pre_cx_active") == 1)
        before = count(core, "loop.iterations")
        for _ in range(20):
            core.stats()
        assert count(core, "loop.iterations") - before < 100
