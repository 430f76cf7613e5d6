"""Fixtures of the tests of gRPC: a service, a proxy with two Python filters before it, a client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.grpc.service import Calls, Service
from tests.e2e.support.envoy_config import cluster, http_config, to

import moebridge as mb

_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_FILTERS = Path(__file__).with_name("filters.py")
ROUTER = {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"}

GrpcProxyMaker = Callable[..., mb.Proxy]


def python_filter(name: str) -> dict[str, Any]:
    """A filter of filters.py, as it stands in a file."""
    return {
        "name": name,
        "typed_config": {
            "@type": f"{_EXTENSIONS}.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {"name": "moebridge"},
            "filter_name": f"{_FILTERS}:{name}",
        },
    }


def h2_cluster(address: str, **fields: Any) -> Any:
    """A cluster that is spoken to by HTTP/2."""
    options = {
        "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return cluster(address, typed_extension_protocol_options={_HTTP_OPTIONS: options}, **fields)


def grpc_config(
    address: str,
    *,
    filters: tuple[Any, ...] | None = None,
    hcm: dict[str, Any] | None = None,
    route: dict[str, Any] | None = None,
    backend: dict[str, Any] | None = None,
    **parts: Any,
) -> dict[str, Any]:
    """A bootstrap for calls of gRPC: no timeouts for routes, both Python filters unless told."""
    chain = (python_filter("Mark"), python_filter("CountBytes")) if filters is None else filters
    manager = {
        "http_filters": [*chain, {"name": "router", "typed_config": ROUTER}],
        **(hcm or {}),
    }
    routes = [to(**{"timeout": "0s", **(route or {})})]
    return http_config(
        [h2_cluster(address, **(backend or {}))], routes=routes, hcm=manager, **parts
    )


@pytest.fixture
def service() -> Iterator[Service]:
    """The service, in clear text."""
    with Service() as running:
        yield running


@pytest.fixture
def start_proxy() -> Iterator[GrpcProxyMaker]:
    """Starts proxies: `start_proxy(address, ...)`, the rest as of `grpc_config`."""
    with ExitStack() as stack:

        def start(address: str, **parts: Any) -> mb.Proxy:
            proxy = mb.Proxy.from_config(grpc_config(address, **parts))
            proxy.start()
            stack.callback(proxy.stop)
            return proxy

        yield start


@pytest.fixture
def proxy(service: Service, start_proxy: GrpcProxyMaker) -> mb.Proxy:
    """A proxy before `service`."""
    return start_proxy(service.address)


@pytest.fixture
def calls(proxy: mb.Proxy) -> Iterator[Calls]:
    """A client of `proxy`."""
    with Calls(proxy.addresses["main"]) as client:
        yield client
