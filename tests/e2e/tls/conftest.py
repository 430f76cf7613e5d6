"""What tests of TLS share: an authority, configurations, and a client that says what it saw."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import moebridge as mb

from ..support.certificates import Authority, Certificate
from ..support.upstream import Upstream

TYPES = "type.googleapis.com/envoy.extensions."
HCM = f"{TYPES}filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = f"{TYPES}filters.http.router.v3.Router"
DOWNSTREAM = f"{TYPES}transport_sockets.tls.v3.DownstreamTlsContext"
UPSTREAM = f"{TYPES}transport_sockets.tls.v3.UpstreamTlsContext"
WAIT_S = 20


def of_files(certificate: Certificate, **more: Any) -> dict[str, Any]:
    """A TlsCertificate that names the files."""
    return {
        "certificate_chain": {"filename": str(certificate.cert_file)},
        "private_key": {"filename": str(certificate.key_file)},
        **more,
    }


def trust(
    authority: Authority, *, validation: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A common_tls_context that trusts the authority; `validation`: further fields of that."""
    authorities = {"trusted_ca": {"filename": str(authority.file)}}
    return {"validation_context": {**authorities, **(validation or {})}, **more}


def socket_of(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """A transport_socket."""
    return {"name": "envoy.transport_sockets.tls", "typed_config": {"@type": kind, **config}}


def bootstrap(
    upstream: str,
    *,
    downstream: dict[str, Any] | None = None,
    to_upstream: dict[str, Any] | None = None,
    hcm: dict[str, Any] | None = None,
    host: dict[str, Any] | None = None,
    chain: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One listener "main" in front of one cluster "backend"."""
    address, _, port = upstream.rpartition(":")
    manager = {
        "@type": HCM,
        "stat_prefix": "main",
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}],
                    **(host or {}),
                }
            ]
        },
        **(hcm or {}),
    }
    filter_chain: dict[str, Any] = {
        "filters": [{"name": "hcm", "typed_config": manager}],
        **(chain or {}),
    }
    if downstream is not None:
        filter_chain["transport_socket"] = socket_of(DOWNSTREAM, downstream)
    endpoint = {"address": {"socket_address": {"address": address, "port_value": int(port)}}}
    backend: dict[str, Any] = {
        "name": "backend",
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
        **(cluster or {}),
    }
    if to_upstream is not None:
        backend["transport_socket"] = socket_of(UPSTREAM, to_upstream)
    listener = {
        "name": "main",
        "stat_prefix": "main",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [filter_chain],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [backend]}}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Issues what a test needs."""
    return Authority(tmp_path)


Starter = Callable[[dict[str, Any]], mb.Proxy]


@pytest.fixture
def start() -> Iterator[Starter]:
    """Starts proxies from configurations; they stop with the test."""
    with ExitStack() as stack:

        def run(config: dict[str, Any]) -> mb.Proxy:
            proxy = mb.Proxy.from_config(config)
            proxy.start()
            stack.callback(proxy.stop)
            return proxy

        yield run


class Answer(NamedTuple):
    """What a client got over TLS."""

    status: int
    head: str
    body: bytes
    version: str
    alpn: str | None
    reused: bool
    certificate: bytes
    session: ssl.SSLSession | None


def client_context(authority: Authority, certificate: Certificate | None = None) -> ssl.SSLContext:
    """Trusts the authority, and shows the certificate when asked for one."""
    context = ssl.create_default_context(cafile=str(authority.file))
    if certificate is not None:
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context


def ask(
    address: str,
    context: ssl.SSLContext,
    name: str = "a.test",
    *,
    path: str = "/",
    headers: str = "",
    session: ssl.SSLSession | None = None,
) -> Answer:
    """One GET over a connection of its own."""
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=WAIT_S) as plain,
        context.wrap_socket(plain, server_hostname=name, session=session) as tls,
    ):
        tls.sendall(
            f"GET {path} HTTP/1.1\r\nhost: {name}\r\n{headers}connection: close\r\n\r\n".encode()
        )
        received = b""
        while piece := tls.recv(65536):
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        return Answer(
            status=int(head.split(b" ", 2)[1]),
            head=head.decode("latin-1").lower(),
            body=body,
            version=tls.version() or "",
            alpn=tls.selected_alpn_protocol(),
            reused=bool(tls.session_reused),
            certificate=tls.getpeercert(binary_form=True) or b"",
            session=tls.session,
        )


def count(proxy: mb.Proxy, name: str) -> int:
    """A counter; 0 when it is not there yet."""
    return int(proxy.stats().get(name, 0))


def wait_for(proxy: mb.Proxy, name: str, least: int = 1) -> int:
    """Waits until a counter has come so far."""
    end = time.monotonic() + WAIT_S
    while (found := count(proxy, name)) < least:
        assert time.monotonic() < end, f"{name} stays at {found}: {proxy.stats()}"
        time.sleep(0.01)
    return found


def seen(upstream: Upstream, name: str) -> list[str]:
    """A header of each request that the upstream got."""
    return [request.get(name) for request in upstream.requests]
