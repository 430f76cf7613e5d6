"""Fixtures of the HTTP/2 tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.support.certificates import Authority
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import cluster, direct, http_config, to
from tests.e2e.support.upstream import Upstream

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"

H2CoreMaker = Callable[..., Core]
FrontMaker = Callable[..., Core]

#: The least that the core keeps for a client that does not read.
SMALL = {"per_connection_buffer_limit_bytes": 32768}


def downstream_tls(folder: Path) -> dict[str, Any]:
    """The transport socket of a filter chain; it speaks h2."""
    certificate = Authority(folder).issue("localhost", "127.0.0.1")
    files = {
        "certificate_chain": {"filename": str(certificate.cert_file)},
        "private_key": {"filename": str(certificate.key_file)},
    }
    common = {"tls_certificates": [files], "alpn_protocols": ["h2"]}
    return {"name": "tls", "typed_config": {"@type": TLS, "common_tls_context": common}}


def protocol(choice: str, **options: Any) -> dict[str, Any]:
    """typed_extension_protocol_options of a cluster: explicit http2, auto_config and so on."""
    typed: dict[str, Any] = {"@type": f"type.googleapis.com/{HTTP_OPTIONS}"}
    if choice in ("http", "http2"):
        typed["explicit_http_config"] = {f"{choice}_protocol_options": options}
    else:
        typed[choice] = options
    return {"typed_extension_protocol_options": {HTTP_OPTIONS: typed}}


@pytest.fixture
def h2_core(tmp_path: Path) -> Iterator[H2CoreMaker]:
    """Starts cores in front of an upstream that speaks h2c: `h2_core(address, **cluster fields)`.

    `options` are those of HTTP/2; the others of http_config go by `parts`.
    """
    with ExitStack() as stack:

        def make(
            address: str,
            *,
            options: dict[str, Any] | None = None,
            parts: dict[str, Any] | None = None,
            **fields: Any,
        ) -> Core:
            backend = cluster(address, **protocol("http2", **(options or {})), **fields)
            return stack.enter_context(Core(http_config([backend], **(parts or {})), tmp_path))

        yield make


@pytest.fixture
def front(upstream: Upstream, tmp_path: Path) -> Iterator[FrontMaker]:
    """Starts cores for hostile clients: `front(http2=..., tls=..., **fields of the connection
    manager)`.

    They answer /one and /empty themselves; all else is the upstream's.
    """
    with ExitStack() as stack:

        def make(*, http2: dict[str, Any] | None = None, tls: bool = False, **hcm: Any) -> Core:
            config = http_config(
                upstream.address,
                routes=[direct(200, "1", prefix="/one"), direct(200, prefix="/empty"), to()],
                hcm={"http2_protocol_options": http2 or {}, **hcm},
                listener=SMALL,
            )
            if tls:
                chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
                chain["transport_socket"] = downstream_tls(tmp_path)
            return stack.enter_context(Core(config, tmp_path))

        yield make
