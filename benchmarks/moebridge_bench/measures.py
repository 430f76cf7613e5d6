"""All that `moebridge bench` measures, in the order in which it does."""

from __future__ import annotations

from . import latency, uploads
from .cases import CASES
from .handshakes import Handshakes
from .idle_connections import IdleConnections
from .measure import Measure
from .more_cases import MORE_CASES
from .route_apply import RouteApply
from .startup import Startup

__all__ = ["MEASURES"]

MEASURES: tuple[Measure, ...] = (
    *CASES,
    Handshakes(),
    *latency.MEASURES,
    *uploads.MEASURES,
    IdleConnections(),
    *MORE_CASES,
    RouteApply(),
    Startup(),
)
