"""Writes the tables of figures in README.md and docs/ from benchmarks/results/.

    python tools/render_figures.py           # writes what changed
    python tools/render_figures.py --check   # exit 1 if a document differs from the results

A table stands between `<!-- figures: begin NAME -->` and `<!-- figures: end -->`; without a name it
is the summary.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "docs" / "performance.md",
    ROOT / "docs" / "network_filters.md",
)
_BLOCK = re.compile(r"(<!-- figures: begin ?([a-z]*) -->\n).*?(<!-- figures: end -->)", re.DOTALL)
_MICRO = (
    ("A hook that does nothing", "test_hook_call::test_hook_call[{}]"),
    ("Read one of 12 headers", "test_headers::test_{}[get]"),
    ("Set it", "test_headers::test_{}[set]"),
)
#: Targets that `moebridge bench` does not measure: case, row, ns, suite, what is taken off.
_MICRO_TARGETS = (
    ("hook", "C", 60, "test_hook_call::test_hook_call[c]", None),
    ("hook", "Python", 60, "test_hook_call::test_hook_call[python]", None),
    ("headers[...]", "Python", 100, "test_headers::test_python[get]", None),
    ("headers[...] =", "Python", 100, "test_headers::test_python[set]", None),
    (
        "basic_auth",
        "Python",
        1200,
        "test_twins::test_twin[python-basic_auth]",
        "test_twins::test_twin[c-basic_auth]",
    ),
)
_HOOK_INSTRUCTIONS = 300
_PLAIN = (
    ("Read the head of a small request", "test_parse_write::test_head[read-small]"),
    ("Read that of a browser: 20 headers", "test_parse_write::test_head[read-browser]"),
    ("Write the small one", "test_parse_write::test_head[write-small]"),
    ("Write the browser's", "test_parse_write::test_head[write-browser]"),
    ("Exchange without sockets, no filter", "test_groups::test_group[set-0]"),
    ("... with 1 Python filter (2 headers set)", "test_groups::test_group[set-1]"),
    ("... with 10 of them", "test_groups::test_group[set-10]"),
)


def load(name: str) -> Any:
    """Returns the results of one benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def _tools(made: Any) -> str:
    newer = [f"{name} {made[name]}" for name in ("envoy", "haproxy", "h2load") if name in made]
    return ", ".join([*newer, f"wrk {made['wrk'].split('-')[0]}"])


def _environment(results: Any) -> str:
    made = results["environment"]
    load_1, load_5 = made["load_average"][:2]
    return (
        f"{made['cpu']}, {made['cpus']} CPUs, Linux {made['kernel'].split('-')[0]}, "
        f"{made['interpreter']}, nginx {made['nginx']}, {_tools(made)}; "
        f"load average {load_1} and {load_5} when it began; commit {made['commit']}, "
        f"{made['date']}: `{made['command']}`."
    )


def _case(case: Any) -> list[str]:
    lines = [f"| | {case['unit']} |", "| --- | --- |"]
    if case["base"]:
        lines = [f"{lines[0]} of {case['base']} |", f"{lines[1]} --- |"]
    for row in case["rows"].values():
        figure, ratio = row["figure"], row.get("ratio")
        line = f"| {row['title']} "
        line += f"| {figure['median']:.1f} ({figure['low']:.1f} to {figure['high']:.1f}) |"
        if ratio:
            line += f" {_figure(ratio)} |"
        lines.append(line)
    for name, why in case["missing"].items():
        lines.append(f"| {name} | not measured: {why} |" + (" |" if case["base"] else ""))
    return lines


def summary() -> list[str]:
    """The table of the README."""
    results = load("bench")
    case = results["cases"]["small"]
    return [
        f"{case['title']}, one worker each: CPU of the proxy for one request, median and 95 %",
        "interval of interleaved rounds.",
        "",
        *_case(case),
        "",
        _environment(results),
    ]


def _cases(*names: str) -> list[str]:
    results = load("bench")
    lines = []
    for case in (results["cases"][name] for name in names):
        lines += [f"**{case['title']}** (`{case['load']}`, {case['rounds']} rounds)", ""]
        lines += [*_case(case), ""]
    return lines[:-1]


def peers() -> list[str]:
    """The comparison with other proxies over HTTP/1.1."""
    return [_environment(load("bench")), "", *_cases("small", "browser", "connections", "body")]


def protocols() -> list[str]:
    """HTTP/2 and TLS beside other proxies."""
    return [*_cases("h2", "tls", "handshakes"), "", _environment(load("bench"))]


def parts() -> list[str]:
    """What else is bounded."""
    return _cases(
        "latency", "latency-p99", "uploads", "upload-memory", "idle", "routes", "async",
        "route-apply", "startup",
    )  # fmt: skip


def _micro_targets() -> list[str]:
    """Those that the micro suites and the budgets answer; no interval, but the least round."""
    suite = load("micro")["suites"]["cython"]

    def ns(key: str, of: str | None = None) -> tuple[float, float]:
        off = {"ns": 0.0, "ns_min": 0.0} if of is None else suite[of]
        return suite[key]["ns"] - off["ns"], suite[key]["ns_min"] - off["ns_min"]

    lines = []
    for case, row, bound, key, of in _MICRO_TARGETS:
        found, least = ns(key, of)
        met = "met" if found <= bound else "missed"
        beyond = "" if of is None else " beyond its C twin"
        lines.append(
            f"| {case} | {row} | <= {bound} ns{beyond} | {found:.0f} (least {least:.0f}) | {met} |"
        )
    count = _budgets()["hook in C"]
    met = "met" if count <= _HOOK_INSTRUCTIONS else "missed"
    lines.append(f"| hook | C | <= {_HOOK_INSTRUCTIONS} instructions | {count} | {met} |")
    return lines


def _budgets() -> dict[str, int]:
    found: dict[str, int] = json.loads(
        (ROOT / "tests" / "instructions" / "budgets.json").read_text()
    )
    return found


def targets() -> list[str]:
    """Each target beside what was measured."""
    results = load("bench")
    lines = ["| | row | target | measured | |", "| --- | --- | --- | --- | --- |"]
    for verdict in results["targets"]:
        found = verdict["measured"]
        measured = "-" if found is None else _figure(found)
        met = {True: "met", False: "missed", None: "not measured"}[verdict["met"]]
        case, row = verdict["case"], verdict["row"]
        lines.append(f"| {case} | {row} | {verdict['target']} | {measured} | {met} |")
    return [*lines, *_micro_targets(), "", _environment(results)]


def _figure(figure: Any) -> str:
    return f"{figure['median']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


def micro() -> list[str]:
    """The micro suites, the dispatchers side by side."""
    results = load("micro")
    cython, cffi = (results["suites"][name] for name in ("cython", "cffi"))
    lines = ["| ns | C | Python, Cython | Python, cffi |", "| --- | --- | --- | --- |"]
    for title, key in _MICRO:
        c, python = key.format("c"), key.format("python")
        figures = (cython[c], cython[python], cffi[python])
        lines.append(f"| {title} | " + " | ".join(f"{one['ns']:.0f}" for one in figures) + " |")
    lines += ["", "| ns | Cython | cffi |", "| --- | --- | --- |"]
    for title, key in _PLAIN:
        lines.append(f"| {title} | {cython[key]['ns']:.0f} | {cffi[key]['ns']:.0f} |")
    lines += ["", "| twins: ns an exchange | none | C | Python |", "| --- | --- | --- | --- |"]
    for name in ("header_mutation", "basic_auth", "body_scan"):
        figures_ = [
            cython[f"test_twins::test_twin[{language}-{name}]"]["ns"]
            for language in ("none", "c", "python")
        ]
        lines.append(f"| {name} | " + " | ".join(f"{one:.0f}" for one in figures_) + " |")
    return [*lines, "", _environment(results)]


def instructions() -> list[str]:
    """The budgets of tests/instructions."""
    lines = ["| | instructions |", "| --- | --- |"]
    return lines + [f"| {name} | {number:,} |" for name, number in _budgets().items()]


def redis() -> list[str]:
    """What redis_guard costs."""
    results = load("redis_guard")
    titles = {"direct": "no proxy", "tcp_proxy": "TCP proxy", "redis_guard": "... with redis_guard"}
    lines = ["| | -P 1: commands/s | CPU us | -P 16: commands/s | CPU us |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, title in titles.items():
        cells = []
        for case in ("P1", "P16"):
            row = results["cases"][case][name]
            cost = f"{row['proxy_cpu_us']:.1f}" if name != "direct" else "-"
            cells += [f"{row['commands_per_s']:,}", cost]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return [*lines, "", _environment(results)]


_TABLES = {
    "": summary,
    "peers": peers,
    "protocols": protocols,
    "parts": parts,
    "targets": targets,
    "micro": micro,
    "redis": redis,
    "instructions": instructions,
}


def rendered(text: str) -> str:
    """Returns a document with its tables as the results say."""

    def fill(found: re.Match[str]) -> str:
        return found[1] + "\n".join(_TABLES[found[2]]()) + "\n" + found[3]

    return _BLOCK.sub(fill, text)


def main() -> int:
    """Writes or checks all documents."""
    differs = 0
    for path in DOCUMENTS:
        text = path.read_text()
        wanted = rendered(text)
        if wanted != text:
            differs += 1
            print(f"{path.relative_to(ROOT)}: figures differ from benchmarks/results")
            if "--check" not in sys.argv[1:]:
                path.write_text(wanted)
    return 1 if differs and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
