"""Fixtures of all end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import moebridge as mb

from .support.upstream import Handler, Upstream, echo

ProxyMaker = Callable[..., mb.Proxy]
UpstreamMaker = Callable[..., Upstream]


@pytest.fixture
def make_upstream() -> Iterator[UpstreamMaker]:
    """Starts upstreams: `make_upstream(handler)`; they stop with the test."""
    with ExitStack() as stack:

        def make(handler: Handler = echo) -> Upstream:
            return stack.enter_context(Upstream(handler))

        yield make


@pytest.fixture
def upstream(make_upstream: UpstreamMaker) -> Upstream:
    """An upstream that echoes."""
    return make_upstream()


@pytest.fixture
def make_proxy(upstream: Upstream) -> Iterator[ProxyMaker]:
    """Starts proxies: `make_proxy(filter, ..., **options)`, by default in front of `upstream`.

    `.address` of tests is `proxy.addresses["main"]`. The proxies stop with the test.
    """
    with ExitStack() as stack:

        def make(*filters: Any, **options: Any) -> mb.Proxy:
            options.setdefault("upstream", upstream.address)
            proxy = mb.Proxy(listen="127.0.0.1:0", filters=list(filters), **options)
            proxy.start()
            stack.callback(proxy.stop)
            return proxy

        yield make
