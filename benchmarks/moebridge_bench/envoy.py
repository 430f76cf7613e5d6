"""Envoy, and the file that moebridge runs too in the cases of HTTP/2 and TLS."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .peer import HEADERS, Peer, Process, Setup, free_port, needs, new_folder
from .secure import Certificate

__all__ = ["PEERS", "SETTINGS", "bootstrap", "python_filter"]

SETTINGS = {
    "h2 and tls": "the same file for Envoy and moebridge: one route, no access log, circuit "
    "breakers out of the way; ECDSA P-256, TLS 1.2 and 1.3 allowed; all else as it is by default",
    "envoy": "1 worker (--concurrency 1), the file of h2 and tls in all cases",
    "envoy+lua": "its Lua filter (LuaJIT): handle:headers():replace on request and response",
}

_TYPE = "type.googleapis.com/"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_DYNAMIC = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"


def _typed(type_: str, **fields: Any) -> dict[str, Any]:
    return {"@type": _TYPE + type_, **fields}


_LUA = "".join(
    f'function envoy_on_{side}(handle) handle:headers():replace("{name}", "set") end\n'
    for side, name in zip(("request", "response"), HEADERS, strict=True)
)


def lua_filter() -> dict[str, Any]:
    """Envoy's own, that sets HEADERS."""
    config = _typed(
        "envoy.extensions.filters.http.lua.v3.Lua", default_source_code={"inline_string": _LUA}
    )
    return {"name": "lua", "typed_config": config}


def python_filter(target: str) -> dict[str, Any]:
    """moebridge's, named as `file.py:Class`."""
    config = _typed(_DYNAMIC, dynamic_module_config={"name": "moebridge"}, filter_name=target)
    return {"name": "python", "typed_config": config}


def _tls(certificate: Certificate, protocols: list[str]) -> dict[str, Any]:
    common = {
        "alpn_protocols": protocols,
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(certificate.chain)},
                "private_key": {"filename": str(certificate.key)},
            }
        ],
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": _typed(
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context=common,
        ),
    }


def bootstrap(
    port: int,
    upstream: str,
    *,
    certificate: Certificate | None,
    filters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """A listener on a loopback port that sends everything to one HTTP/1.1 upstream.

    Args:
        port: of the listener.
        upstream: `HOST:PORT`.
        certificate: for TLS with HTTP/1.1 by ALPN; None: clear text, HTTP/1.1 and HTTP/2.
        filters: before the router.
    """
    host, _, upstream_port = upstream.rpartition(":")
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": _typed("envoy.extensions.filters.http.router.v3.Router"),
    }
    manager = _typed(
        _HCM,
        stat_prefix="bench",
        http_filters=[*filters, router],
        route_config={
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}],
                }
            ]
        },
    )
    chain: dict[str, Any] = {"filters": [{"name": "hcm", "typed_config": manager}]}
    if certificate is not None:
        chain["transport_socket"] = _tls(certificate, ["http/1.1"])
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoint = {"socket_address": {"address": host, "port_value": int(upstream_port)}}
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 100_000)
    cluster = {
        "name": "up",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "up",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}],
        },
    }
    return {
        "static_resources": {
            "listeners": [{"name": "main", "address": address, "filter_chains": [chain]}],
            "clusters": [cluster],
        }
    }


def _start(setup: Setup, *filters: dict[str, Any]) -> Process:
    port = free_port()
    folder = new_folder()
    file = Path(folder.name, "envoy.json")
    document = bootstrap(port, setup.upstream, certificate=setup.certificate, filters=filters)
    file.write_text(json.dumps(document))
    command = [setup.tools.path("envoy"), "-c", str(file), "--use-dynamic-base-id"]
    command += ["--concurrency", "1", "-l", "error"]
    return Process(command, folder=folder).wait_for(f"127.0.0.1:{port}")


PEERS = (
    Peer(name="envoy", title="Envoy", start=_start, missing=needs("envoy")),
    Peer(
        name="envoy+lua",
        title="Envoy, Lua filter: one header on request and response",
        start=lambda setup: _start(setup, lua_filter()),
        missing=needs("envoy"),
        sets_headers=True,
    ),
)
