"""The peers and the file that puts moebridge between them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.e2e.support.certificates import Authority, Certificate
from tests.e2e.support.envoy_config import cluster, to

FILTERS = Path(__file__).with_name("filters.py")
END_S = 30
_TYPE = "type.googleapis.com/envoy.extensions"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """A server in the background that is up when its ports accept."""

    def __init__(self, command: Sequence[str | Path], *ports: int) -> None:
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + END_S
        for port in ports:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert self._process.poll() is None, self._process.communicate()[1]
                    assert time.monotonic() < deadline, f"{command}: does not accept on {port}"
                    time.sleep(0.01)

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate(timeout=END_S)


@dataclass
class Ports:
    """Of the upstreams."""

    h1: int
    h2c: int
    tls: int


def nginx(folder: Path, certificate: Certificate) -> tuple[Program, Ports]:
    """nginx that says what it saw: HTTP/1.1 and HTTP/2 in clear text, both over TLS."""
    ports = Ports(free_port(), free_port(), free_port())
    (folder / "big").write_bytes(bytes(range(256)) * 4096)
    user = "user root; " if os.geteuid() == 0 else ""  # the folder is ours alone
    temp = "".join(
        f"  {name}_temp_path {folder};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    answers = (
        f"root {folder}; location = /big {{ }} location / {{ default_type text/plain;"
        ' return 200 "$server_protocol $http_x_saw $ssl_server_name"; }'
    )
    secure = f"ssl_certificate {certificate.cert_file}; ssl_certificate_key {certificate.key_file};"
    (folder / "nginx.conf").write_text(
        f"{user}daemon off; worker_processes 1;\n"
        f"pid {folder}/pid; error_log {folder}/error.log crit;\n"
        "events { worker_connections 1024; }\n"
        f"http {{\n{temp}  access_log off; keepalive_requests 1000000;\n"
        f"  server {{ listen 127.0.0.1:{ports.h1}; {answers} }}\n"
        f"  server {{ listen 127.0.0.1:{ports.h2c} http2; {answers} }}\n"
        f"  server {{ listen 127.0.0.1:{ports.tls} ssl http2; {secure} {answers} }}\n"
        "}\n"
    )
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    return Program(command, ports.h1, ports.h2c, ports.tls), ports


# -- configuration ---------------------------------------------------------------------------------


def http_options(**choice: Any) -> dict[str, Any]:
    """typed_extension_protocol_options of a cluster."""
    typed = {"@type": f"type.googleapis.com/{_HTTP_OPTIONS}", **choice}
    return {"typed_extension_protocol_options": {_HTTP_OPTIONS: typed}}


H2 = http_options(explicit_http_config={"http2_protocol_options": {}})
H1 = http_options(explicit_http_config={"http_protocol_options": {}})


def files(certificate: Certificate) -> list[dict[str, Any]]:
    return [
        {
            "certificate_chain": {"filename": str(certificate.cert_file)},
            "private_key": {"filename": str(certificate.key_file)},
        }
    ]


def downstream_tls(certificate: Certificate, *, client_ca: Authority | None = None) -> Any:
    """A listener's transport socket; with `client_ca` it asks for a client's certificate."""
    common: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": files(certificate),
    }
    typed: dict[str, Any] = {"@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext"}
    if client_ca is not None:
        common["validation_context"] = {"trusted_ca": {"filename": str(client_ca.file)}}
        typed["require_client_certificate"] = True
    return {"name": "tls", "typed_config": {**typed, "common_tls_context": common}}


def upstream_tls(authority: Authority, *, client: Certificate | None = None) -> Any:
    """A cluster's transport socket that verifies `localhost`."""
    names = [{"san_type": "DNS", "matcher": {"exact": "localhost"}}]
    common: dict[str, Any] = {
        "validation_context": {
            "trusted_ca": {"filename": str(authority.file)},
            "match_typed_subject_alt_names": names,
        }
    }
    if client is not None:
        common["tls_certificates"] = files(client)
    typed = {
        "@type": f"{_TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "localhost",
        "common_tls_context": common,
    }
    return {"name": "tls", "typed_config": typed}


def python_filters() -> list[dict[str, Any]]:
    made = []
    for name in ("Mark", "Bodies"):
        typed = {
            "@type": f"{_TYPE}.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {"name": "moebridge"},
            "filter_name": f"{FILTERS}:{name}",
        }
        made.append({"name": name, "typed_config": typed})
    return made


def listener(
    name: str, port: int, routes: list[Any], *, tls: Any = None, filters: list[Any] | None = None
) -> dict[str, Any]:
    """A listener with one connection manager that speaks what the client does."""
    router = {"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [*(filters or []), router],
    }
    chain: dict[str, Any] = {"filters": [{"name": "hcm", "typed_config": manager}]}
    if tls is not None:
        chain["transport_socket"] = tls
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def strip(prefix: str, name: str) -> Any:
    """Everything below a prefix goes to a cluster, without the prefix."""
    return to(name, prefix=prefix, prefix_rewrite="/")


def bootstrap(listeners: list[Any], clusters: list[Any]) -> dict[str, Any]:
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def upstreams(ports: Ports, authority: Authority) -> list[Any]:
    """A cluster for each way to nginx, named as its first path segment."""
    secure = {"transport_socket": upstream_tls(authority)}
    return [
        cluster(f"127.0.0.1:{ports.h1}", name="h1", **H1),
        cluster(f"127.0.0.1:{ports.h2c}", name="h2c", **H2),
        cluster(f"127.0.0.1:{ports.tls}", name="tls1", **secure, **H1),
        cluster(f"127.0.0.1:{ports.tls}", name="tls2", **secure, **H2),
    ]
