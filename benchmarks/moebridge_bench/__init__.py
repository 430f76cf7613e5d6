"""The comparison with other proxies: `moebridge bench --help`.

Reading order: `measure` (what a measure is and gives), `cases` (the loads that are compared by
CPU time), `cpu_case` (how), `peer` (a proxy that takes part; `nginx`, `envoy` and the others say
how each is started), `figures`, `command`.

A new measure is a file of its own with a class that has what `measure.Measure` says: a name, a
title, and a `run` that returns rows of figures in one unit. It goes into `measures.MEASURES`; the
command, the table and the JSON do the rest. Its proxies come from `peers.PEERS` by the names of
their rows; one that is not installed is named in the result's `missing`, and is no failure.

`benchmarks/` is a source root for this package. Inside, imports are relative, and tests in the
checkout know it as `benchmarks.moebridge_bench`: mypy gives a file one name only.
"""
