"""Configurations in Envoy's shape, made of the parts that a test cares about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["access_log", "cluster", "direct", "http_config", "to"]

Part = Mapping[str, Any]

_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_HCM = f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = f"{_EXTENSIONS}.filters.http.router.v3.Router"
_FILE_LOG = f"{_EXTENSIONS}.access_loggers.file.v3.FileAccessLog"


def _endpoint(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    socket = {"address": host.strip("[]"), "port_value": int(port)}
    return {"endpoint": {"address": {"socket_address": socket}}}


def cluster(upstreams: str | Sequence[str], *, name: str = "backend", **fields: Any) -> Part:
    """A cluster, STATIC unless `type` says else."""
    addresses = [upstreams] if isinstance(upstreams, str) else list(upstreams)
    endpoints = [{"lb_endpoints": [_endpoint(address) for address in addresses]}]
    assignment = {"cluster_name": name, "endpoints": endpoints}
    return {"name": name, "type": "STATIC", "load_assignment": assignment, **fields}


def to(name: str = "backend", *, prefix: str = "/", **fields: Any) -> Part:
    """A route to a cluster."""
    return {"match": {"prefix": prefix}, "route": {"cluster": name, **fields}}


def direct(status: int, body: str = "", *, prefix: str = "/") -> Part:
    """A route that answers itself."""
    said = {"status": status, **({"body": {"inline_string": body}} if body else {})}
    return {"match": {"prefix": prefix}, "direct_response": said}


def access_log(path: Path, text: str = "", json: Part | None = None) -> Part:
    """A file access log; Envoy's default format without `text` and `json`."""
    log: dict[str, Any] = {"@type": _FILE_LOG, "path": str(path)}
    if text:
        log["log_format"] = {"text_format_source": {"inline_string": text}}
    elif json is not None:
        log["log_format"] = {"json_format": json}
    return {"name": "log", "typed_config": log}


def http_config(
    upstreams: str | Sequence[str] | Sequence[Part] = (),
    *,
    routes: Iterable[Part] | None = None,
    hcm: Part | None = None,
    router: Part | None = None,
    listener: Part | None = None,
    network_filters: Iterable[Part] = (),
) -> dict[str, Any]:
    """A bootstrap with one listener, `main`.

    Args:
        upstreams: addresses of the cluster `backend`, or whole clusters.
        routes: the routes of the only virtual host; default: all to `backend`.
        hcm: fields of the connection manager.
        router: fields of the router filter.
        listener: fields of the listener.
        network_filters: network filters before the connection manager.
    """
    if isinstance(upstreams, str) or (upstreams and isinstance(upstreams[0], str)):
        clusters: list[Any] = [cluster(upstreams)]  # type: ignore[arg-type]
    else:
        clusters = list(upstreams)
    host = {"name": "all", "domains": ["*"], "routes": list([to()] if routes is None else routes)}
    manager = {
        "@type": _HCM,
        "stat_prefix": "ingress",
        "route_config": {"virtual_hosts": [host]},
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER, **(router or {})}}],
        **(hcm or {}),
    }
    filters = [*network_filters, {"name": "hcm", "typed_config": manager}]
    main = {
        "name": "main",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": filters}],
        **(listener or {}),
    }
    return {"static_resources": {"listeners": [main], "clusters": clusters}}
