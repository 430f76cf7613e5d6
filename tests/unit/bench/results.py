"""Results made up for the tests of what is done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.moebridge_bench.measure import Result, make_row


def made_up(
    rows: Mapping[str, Sequence[float]],
    *,
    base: str | None = "nginx",
    title: str = "small answers",
    missing: Mapping[str, str] | None = None,
) -> Result:
    below = None if base is None else rows[base]
    return {
        "title": title,
        "unit": "us of CPU a request",
        "load": "wrk -t1 -c32 -d1s",
        "rounds": 3,
        "base": base,
        "rows": {
            name: make_row(f"the row <{name}>", samples, base=below)
            for name, samples in rows.items()
        },
        "missing": dict(missing or {}),
    }
