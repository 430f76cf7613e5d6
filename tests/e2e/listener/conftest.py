"""Fixtures of the listener tests: the core with listener filters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import access_log, http_config
from tests.e2e.support.upstream import Upstream

CoreMaker = Callable[..., Core]
LogReader = Callable[[Core], list[str]]

LOG_FORMAT = (
    "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
    " %DOWNSTREAM_LOCAL_ADDRESS%"
    " %DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol)%\n"
)
WAIT_S = 20


@pytest.fixture
def make_core(upstream: Upstream, tmp_path: Path) -> Iterator[CoreMaker]:
    """Starts cores: `make_core(listener={...}, hcm={...})` in front of `upstream`."""
    with ExitStack() as stack:

        def make(*, hcm: dict[str, Any] | None = None, **listener: Any) -> Core:
            manager = {"access_log": [access_log(tmp_path / "log", LOG_FORMAT)], **(hcm or {})}
            config = http_config(upstream.address, hcm=manager, listener=listener)
            return stack.enter_context(Core(config, tmp_path))

        yield make


@pytest.fixture
def log(tmp_path: Path) -> LogReader:
    """Reads the access log: addresses of the client and of the listener, and what TLVs said."""

    def read(core: Core) -> list[str]:
        core.stats()  # answered in a later turn of the loop: the lines of this one are written
        return (tmp_path / "log").read_text("latin-1").splitlines()

    return read


def count(core: Core, name: str) -> int:
    """The value of a counter or gauge, 0 where there is none."""
    found = core.stats().get(name, 0)
    assert isinstance(found, int)
    return found


def listener_count(core: Core, name: str) -> int:
    """A counter of the listener `main`."""
    return count(core, f"listener.{core.address.replace(':', '_')}.{name}")


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits until it is true; each look at statistics lets the core go on."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "it did not come"
