"""Listener filters and filter chains in Envoy's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["chain", "direct_chain", "listener_filter"]

_FILTERS = "type.googleapis.com/envoy.extensions.filters.listener"
_HCM = (
    "type.googleapis.com/envoy.extensions.filters.network"
    ".http_connection_manager.v3.HttpConnectionManager"
)
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_MESSAGES = {
    "proxy_protocol": "ProxyProtocol",
    "tls_inspector": "TlsInspector",
    "http_inspector": "HttpInspector",
    "original_dst": "OriginalDst",
    "original_src": "OriginalSrc",
}


def listener_filter(name: str, **fields: Any) -> Mapping[str, Any]:
    """One of Envoy's listener filters by the last part of its name."""
    message = f"{_FILTERS}.{name}.v3.{_MESSAGES[name]}"
    return {
        "name": f"envoy.filters.listener.{name}",
        "typed_config": {"@type": message, **fields},
    }


def chain(
    routes: list[Any], match: Mapping[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """A filter chain whose connection manager has these routes.

    Args:
        routes: of its only virtual host.
        match: its filter_chain_match.
        fields: further fields of the chain; `hcm` are those of the connection manager.
    """
    manager = {
        "@type": _HCM,
        "stat_prefix": fields.get("name", "ingress"),
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
        **fields.pop("hcm", {}),
    }
    found = {"filters": [{"name": "hcm", "typed_config": manager}], **fields}
    return found | ({"filter_chain_match": match} if match is not None else {})


def direct_chain(
    name: str, match: Mapping[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """A filter chain that answers with its name."""
    answer = {"status": 200, "body": {"inline_string": name}}
    routes = [{"match": {"prefix": "/"}, "direct_response": answer}]
    return chain(routes, match, name=name, **fields)
