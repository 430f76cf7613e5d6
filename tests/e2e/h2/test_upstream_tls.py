"""Upstreams behind TLS and PROXY headers (nginx), and the protocol that is spoken with them."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import UpstreamMaker
from tests.e2e.h2.conftest import protocol
from tests.e2e.h2.test_upstream import burst
from tests.e2e.support.certificates import Authority, Certificate
from tests.e2e.support.client import RawClient, fetch
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import access_log, cluster, http_config
from tests.e2e.support.h2_upstream import H2Upstream
from tests.e2e.support.ports import free_port, wait_for_port

NginxMaker = Callable[..., str]
CoreMaker = Callable[..., Core]
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
RAW = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
PROXY = (
    "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3"
    ".ProxyProtocolUpstreamTransport"
)
SAYS = (
    "$server_protocol $ssl_server_name $ssl_client_verify $proxy_protocol_addr"
    " $connection $request_uri"
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[NginxMaker]:
    """Starts nginx: `nginx("ssl http2", "more directives;")`; gives its address.

    It answers with what SAYS says.
    """
    with ExitStack() as stack:

        def make(listen: str, extra: str = "") -> str:
            port = free_port()
            folder = tmp_path / f"nginx-{port}"
            folder.mkdir()
            config = folder / "nginx.conf"
            config.write_text(
                f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;\n"
                "events { worker_connections 256; }\n"
                "http { access_log off;\n"
                f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n"
                f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;\n"
                f"scgi_temp_path {folder}/s;\n"
                f"server {{ listen 127.0.0.1:{port} {listen}; {extra}\n"
                f'location / {{ return 200 "{SAYS}"; }}\n'
                "location /path/ { return 200 $request_uri; } } }\n",
                "ascii",
            )
            process = subprocess.Popen(["nginx", "-c", config, "-p", folder])
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
            wait_for_port(port)
            return f"127.0.0.1:{port}"

        yield make


@pytest.fixture
def make_core(tmp_path: Path) -> Iterator[CoreMaker]:
    """Starts cores with one cluster: `make_core(address, **fields of it)`; they log to `log`."""
    with ExitStack() as stack:

        def make(address: str, **fields: Any) -> Core:
            log = access_log(
                tmp_path / "log",
                "%RESPONSE_FLAGS% %UPSTREAM_PROTOCOL% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n",
            )
            config = http_config([cluster(address, **fields)], hcm={"access_log": [log]})
            return stack.enter_context(Core(config, tmp_path))

        yield make


def ssl(certificate: Certificate) -> str:
    return f"ssl_certificate {certificate.cert_file}; ssl_certificate_key {certificate.key_file};"


def tls(authority: Authority, *, sni: str = "up.test", **common: Any) -> dict[str, Any]:
    """The transport socket of a cluster that trusts `authority`."""
    trusted = {"trusted_ca": {"filename": str(authority.file)}}
    context = {"validation_context": trusted, **common}
    typed = {"@type": TLS, "sni": sni, "common_tls_context": context}
    return {"transport_socket": {"name": "tls", "typed_config": typed}}


def behind_proxy_header(version: str, inner: dict[str, Any] | None = None) -> dict[str, Any]:
    raw = {"transport_socket": {"name": "raw", "typed_config": {"@type": RAW}}}
    typed = {"@type": PROXY, "config": {"version": version}, **(inner or raw)}
    return {"transport_socket": {"name": "proxy", "typed_config": typed}}


def words(core: Core) -> list[str]:
    response = fetch(core.address)
    assert response.status == 200, response.body
    return response.body.decode().split(" ")


@pytest.mark.parametrize(
    ("listen", "choice", "spoken"),
    [
        ("ssl http2", "auto_config", "HTTP/2.0"),
        ("ssl", "auto_config", "HTTP/1.1"),
        ("ssl http2", "http2", "HTTP/2.0"),
        ("ssl http2", "http", "HTTP/1.1"),
    ],
)
def test_protocol_is_agreed_on_by_alpn(
    nginx: NginxMaker,
    make_core: CoreMaker,
    authority: Authority,
    tmp_path: Path,
    listen: str,
    choice: str,
    spoken: str,
) -> None:
    address = nginx(listen, ssl(authority.issue("up.test")))
    core = make_core(address, **tls(authority), **protocol(choice))
    assert words(core)[:2] == [spoken, "up.test"]
    stats = core.stats()
    name = "upstream_cx_http2_total" if spoken == "HTTP/2.0" else "upstream_cx_http1_total"
    assert stats[f"cluster.backend.{name}"] == 1
    assert stats["cluster.backend.ssl.handshake"] == 1
    logged = (tmp_path / "log").read_text("ascii")
    assert logged == f"- {spoken.removesuffix('.0')} -\n"


def test_certificate_of_ours_is_shown(
    nginx: NginxMaker, make_core: CoreMaker, authority: Authority
) -> None:
    own = authority.issue("client.test", client=True)
    extra = f"ssl_verify_client on; ssl_client_certificate {authority.file};"
    address = nginx("ssl http2", ssl(authority.issue("up.test")) + extra)
    certificate = {
        "certificate_chain": {"filename": str(own.cert_file)},
        "private_key": {"filename": str(own.key_file)},
    }
    fields = tls(authority, tls_certificates=[certificate])
    core = make_core(address, **fields, **protocol("http2"))
    assert words(core)[:3] == ["HTTP/2.0", "up.test", "SUCCESS"]


def test_certificate_of_a_stranger_is_refused(
    nginx: NginxMaker, make_core: CoreMaker, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "stranger")
    address = nginx("ssl http2", ssl(stranger.issue("up.test")))
    core = make_core(address, **tls(Authority(tmp_path)), **protocol("auto_config"))
    assert fetch(core.address).status == 503
    stats = core.stats()
    assert stats["cluster.backend.upstream_cx_connect_fail"] == 1
    assert stats["cluster.backend.upstream_cx_active"] == 0
    flags, spoken, reason = (tmp_path / "log").read_text("ascii").rstrip("\n").split(" ", 2)
    assert (flags, spoken) == ("UF", "-")
    assert "verify" in reason.lower()


def test_server_that_ends_its_connections_loses_nothing(
    nginx: NginxMaker, make_core: CoreMaker, authority: Authority
) -> None:
    """nginx names the last stream after so many requests and goes on with a new connection."""
    address = nginx("ssl http2", ssl(authority.issue("up.test")) + "keepalive_requests 20;")
    core = make_core(address, **tls(authority), **protocol("auto_config"))

    outcome = burst(core, 300, prefix="/path")
    assert outcome == Counter({(200, True): 300})
    assert core.stats()["cluster.backend.upstream_cx_http2_total"] >= 15


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("secure", [False, True])
def test_proxy_header_says_who_the_client_is(
    nginx: NginxMaker, make_core: CoreMaker, authority: Authority, version: str, secure: bool
) -> None:
    listen = "proxy_protocol ssl" if secure else "proxy_protocol"
    address = nginx(listen, ssl(authority.issue("up.test")) if secure else "")
    inner = tls(authority) if secure else None
    core = make_core(address, **behind_proxy_header(version, inner))
    connections = set()
    for _ in range(2):
        with RawClient(core.address) as client:
            for _ in range(3):
                said = client.request("GET", "/").body.decode().split(" ")
                assert said[3] == "127.0.0.1"
                connections.add(said[4])
    assert len(connections) == 2  # one for each client, used again by nobody else


@pytest.mark.parametrize("flag", ["--http1.1", "--http2-prior-knowledge"])
def test_upstream_is_spoken_to_as_the_client_speaks(
    make_core: CoreMaker, make_upstream: UpstreamMaker, flag: str
) -> None:
    h2 = flag != "--http1.1"
    with H2Upstream() as many:
        address = many.address if h2 else make_upstream().address
        core = make_core(address, **protocol("use_downstream_protocol_config"))
        done = subprocess.run(
            [
                "curl",
                "-s",
                flag,
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                f"http://{core.address}/x",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.stdout == "200"
        stats = core.stats()
    assert stats["cluster.backend.upstream_cx_http2_total"] == int(h2)
    assert stats["cluster.backend.upstream_cx_http1_total"] == int(not h2)
