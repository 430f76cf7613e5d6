"""Upstreams over TLS: whom the proxy believes, what it shows, and what it says when it does not."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import moebridge as mb

from ..support.certificates import Authority, Certificate
from .conftest import Starter, bootstrap, count, of_files, trust, wait_for

NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name a.test; ssl_certificate {cert}; ssl_certificate_key {key}; {more}
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{
      return 200 "$ssl_protocol $ssl_server_name $server_protocol $ssl_session_reused {dn}";
    }}
  }}
}}
"""

NginxMaker = Callable[..., str]
#: The whole body of an answer when the handshake failed: Envoy's words.
HANDSHAKE_FAILED = (
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection "
    "failure"
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[NginxMaker]:
    """Starts nginx as a TLS server: `nginx(certificate, more="...")` gives its address."""
    with ExitStack() as stack:

        def run(certificate: Certificate, *, more: str = "", http2: bool = False) -> str:
            folder = tmp_path / f"nginx-{certificate.cert_file.stem}"
            folder.mkdir()
            port = _free_port()
            config = folder / "nginx.conf"
            config.write_text(
                NGINX.format(
                    folder=folder,
                    port=port,
                    cert=certificate.cert_file,
                    key=certificate.key_file,
                    more=more,
                    dn="$ssl_client_s_dn",
                ).replace(" ssl;", " ssl http2;" if http2 else " ssl;")
            )
            process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)])
            stack.callback(process.wait)
            stack.callback(process.terminate)
            _await_port(port)
            return f"127.0.0.1:{port}"

        yield run


def _await_port(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.01)
        else:
            return


def get(proxy: mb.Proxy) -> tuple[int, str]:
    """Status and body through the proxy."""
    try:
        with urllib.request.urlopen(f"http://{proxy.addresses['main']}/", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_nginx_is_believed_and_its_session_resumed(
    authority: Authority, start: Starter, nginx: NginxMaker
) -> None:
    address = nginx(authority.issue("a.test"), more="keepalive_requests 1;")
    proxy = start(
        bootstrap(address, to_upstream={"sni": "a.test", "common_tls_context": trust(authority)})
    )
    assert get(proxy) == (200, "TLSv1.2 a.test HTTP/1.1 . ")
    assert get(proxy) == (200, "TLSv1.2 a.test HTTP/1.1 r ")
    assert count(proxy, "cluster.backend.ssl.session_reused") == 1
    assert count(proxy, "cluster.backend.ssl.versions.TLSv1.2") == 2


def test_tls13_and_http2_are_spoken_where_configured(
    authority: Authority, start: Starter, nginx: NginxMaker
) -> None:
    address = nginx(authority.issue("a.test"), http2=True)
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    versions = {"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}}
    for choice, protocol in (
        ({"explicit_http_config": {"http2_protocol_options": {}}}, "HTTP/2.0"),
        ({"explicit_http_config": {"http_protocol_options": {}}}, "HTTP/1.1"),
        ({"auto_config": {}}, "HTTP/2.0"),
    ):
        proxy = start(
            bootstrap(
                address,
                to_upstream={
                    "sni": "a.test",
                    "common_tls_context": trust(authority, **versions),
                },
                cluster={
                    "typed_extension_protocol_options": {
                        options: {"@type": f"type.googleapis.com/{options}", **choice}
                    }
                },
            )
        )
        assert get(proxy) == (200, f"TLSv1.3 a.test {protocol} . ")


def test_proxy_shows_its_certificate(
    authority: Authority, start: Starter, nginx: NginxMaker
) -> None:
    more = f"ssl_client_certificate {authority.file}; ssl_verify_client on;"
    address = nginx(authority.issue("a.test"), more=more)
    mine = authority.issue("proxy.test", client=True)
    shown = start(
        bootstrap(
            address,
            to_upstream={
                "sni": "a.test",
                "common_tls_context": trust(authority, tls_certificates=[of_files(mine)]),
            },
        )
    )
    assert get(shown) == (200, "TLSv1.2 a.test HTTP/1.1 . CN=proxy.test")
    hidden = start(
        bootstrap(address, to_upstream={"sni": "a.test", "common_tls_context": trust(authority)})
    )
    assert get(hidden)[0] == 400  # nginx says so in HTTP


def test_upstreams_that_are_not_who_they_should_be(
    authority: Authority, start: Starter, nginx: NginxMaker, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = Authority(folder, "other authority")
    cases: list[tuple[Certificate, dict[str, Any], str]] = [
        (authority.issue("b.test"), {"sni": "a.test"}, "fail_verify_san"),
        (authority.issue("a.test", file="expired", days=(-9, -1)), {"sni": "a.test"}, "error"),
        (other.issue("a.test", file="stranger"), {"sni": "a.test"}, "error"),
        (
            authority.issue("a.test", file="no-name"),
            {},
            "fail_verify_san",
        ),  # the address is no name
    ]
    for certificate, context, counter in cases:
        address = nginx(certificate)
        context["common_tls_context"] = trust(authority)
        proxy = start(bootstrap(address, to_upstream=context))
        assert get(proxy) == (503, HANDSHAKE_FAILED)
        name = counter if counter.startswith("fail") else "fail_verify_error"
        assert count(proxy, f"cluster.backend.ssl.{name}") >= 1
        wait_for(proxy, "cluster.backend.upstream_cx_connect_fail")


def test_names_are_verified_unless_that_is_switched_off(
    authority: Authority, start: Starter, nginx: NginxMaker
) -> None:
    address = nginx(authority.issue("a.test"))
    by_default = start(bootstrap(address, to_upstream={"sni": "a.test"}))
    assert get(by_default)[0] == 503  # the system does not know the authority
    off = {"validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"}}
    switched_off = start(bootstrap(address, to_upstream={"common_tls_context": off}))
    assert get(switched_off)[0] == 200
    address_in_it = nginx(authority.issue("127.0.0.1"))
    by_address = start(
        bootstrap(address_in_it, to_upstream={"common_tls_context": trust(authority)})
    )
    assert get(by_address)[0] == 200


def test_body_that_ends_without_close_notify_is_broken(
    authority: Authority, start: Starter
) -> None:
    """A body framed by the end of the connection: an attacker could have cut it."""
    certificate = authority.issue("a.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(20)

    def serve() -> None:
        for orderly in (True, False):
            plain, _ = listening.accept()
            tls = context.wrap_socket(plain, server_side=True)
            tls.recv(65536)
            tls.sendall(b"HTTP/1.1 200 OK\r\n\r\nsome bytes")
            if orderly:
                tls.unwrap()
            tls.close()

    server = threading.Thread(target=serve)
    server.start()
    proxy = start(
        bootstrap(
            f"127.0.0.1:{listening.getsockname()[1]}",
            to_upstream={"sni": "a.test", "common_tls_context": trust(authority)},
        )
    )
    assert get(proxy) == (200, "some bytes")
    connection = http.client.HTTPConnection(proxy.addresses["main"], timeout=20)
    connection.request("GET", "/")
    with connection.getresponse() as answer, pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()
    server.join(20)
    listening.close()
