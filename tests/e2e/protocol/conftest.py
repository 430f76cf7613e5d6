"""Fixtures of the protocol tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.support.client import RawClient
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import access_log, http_config
from tests.e2e.support.upstream import Upstream

CoreMaker = Callable[..., Core]
Outcomes = Callable[[Core], list[str]]

LOG_FORMAT = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"


@pytest.fixture
def make_core(upstream: Upstream, tmp_path: Path) -> Iterator[CoreMaker]:
    """Starts cores: `make_core(**parts of http_config)`, by default in front of `upstream`.

    Unless the connection manager has logs of its own, `outcomes` reads what became of requests.
    """
    with ExitStack() as stack:

        def make(*upstreams: Any, **parts: Any) -> Core:
            hcm = {"access_log": [access_log(tmp_path / "log", LOG_FORMAT)], **parts.pop("hcm", {})}
            where = upstreams[0] if upstreams else upstream.address
            config = http_config(where, hcm=hcm, **parts)
            return stack.enter_context(Core(config, tmp_path))

        yield make


@pytest.fixture
def core(make_core: CoreMaker) -> Core:
    """A core with Envoy's defaults in front of `upstream`."""
    return make_core()


@pytest.fixture
def client(core: Core) -> Iterator[RawClient]:
    """A connection to `core`."""
    with RawClient(core.address) as connection:
        yield connection


@pytest.fixture
def outcomes(tmp_path: Path) -> Outcomes:
    """Reads the access log: a line "status flags details" for each request that is over."""

    def read(core: Core) -> list[str]:
        core.stats()  # answered in a later turn of the loop: the lines of this one are written
        path = tmp_path / "log"
        return path.read_text("latin-1").splitlines() if path.exists() else []

    return read
