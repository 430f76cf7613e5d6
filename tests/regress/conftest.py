"""Fixtures of tests of bugs that were: those of the end-to-end tests."""

from tests.e2e.conftest import make_upstream, upstream
from tests.e2e.protocol.conftest import core, make_core, outcomes

__all__ = ["core", "make_core", "make_upstream", "outcomes", "upstream"]
