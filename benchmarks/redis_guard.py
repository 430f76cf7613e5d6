"""What `redis_guard` costs: redis-benchmark against redis-server, directly and through the proxy.

    python -m benchmarks.redis_guard            # writes benchmarks/results/redis_guard.json

Compared: no proxy, the TCP proxy alone, the TCP proxy with `redis_guard` (Python). Unit: commands a
second as redis-benchmark counts them, and CPU microseconds of the proxy per command, from /proc.
Held fixed: 20 clients, SET of 3 bytes, commands one by one (-P 1) and 16 at a time (-P 16); one
worker. The median of some runs, in turns; a shorter first run of each warms up.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.moebridge_bench.cpu import cpu_ns, tree
from benchmarks.moebridge_bench.environment import environment

RESULTS = Path(__file__).with_name("results") / "redis_guard.json"
TYPES = "type.googleapis.com/envoy.extensions.filters.network."
CLIENTS = 20
PIPELINES = (1, 16)
WAIT_S = 20


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answers(port: int) -> bool:
    """Whether a PING through that port comes back."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as peer:
            peer.sendall(b"PING\r\n")
            return peer.recv(7) == b"+PONG\r\n"
    except OSError:
        return False


@contextmanager
def running(port: int, *words: str) -> Iterator[int]:
    """A program that answers PING on that port; yields its process id."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + WAIT_S
        while not answers(port):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{words[0]} does not answer")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(WAIT_S)


def document(port: int, upstream: int, guard: bool) -> dict[str, Any]:
    """Envoy's file: a TCP proxy, with the filter or without."""

    def address(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    kind = f"{TYPES}dynamic_modules.v3.DynamicModuleNetworkFilter"
    module = {"dynamic_module_config": {"name": "moebridge"}, "filter_name": "redis_guard"}
    filters = [{"name": "guard", "typed_config": {"@type": kind, **module}}] if guard else []
    tcp = {"@type": f"{TYPES}tcp_proxy.v3.TcpProxy", "stat_prefix": "redis", "cluster": "redis"}
    filters.append({"name": "tcp", "typed_config": tcp})
    chain = {"filters": filters}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}]
    load = {"cluster_name": "redis", "endpoints": endpoints}
    return {
        "static_resources": {
            "listeners": [
                {"name": "main", "address": address(port), "filter_chains": [chain]},
            ],
            "clusters": [{"name": "redis", "type": "STATIC", "load_assignment": load}],
        }
    }


def commands_a_second(port: int, count: int, pipeline: int) -> float:
    """One run of redis-benchmark."""
    words = ["redis-benchmark", "-p", str(port), "-t", "set", "-n", str(count)]
    done = subprocess.run(
        [*words, "-c", str(CLIENTS), "-P", str(pipeline), "-q"],
        check=True,
        capture_output=True,
        text=True,
    )
    found = re.findall(r"SET: ([0-9.]+) requests per second", done.stdout)
    if not found:
        raise RuntimeError(f"redis-benchmark said {done.stdout[-200:]!r} {done.stderr[-200:]!r}")
    return float(found[-1])


def measure(ways: dict[str, tuple[int, int]], pipeline: int, count: int, runs: int) -> Any:
    """All ways in turns. `ways`: port and process id of the proxy (0: there is none)."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(runs + 1):
        for name, (port, pid) in ways.items():
            before = cpu_ns(tree(pid)) if pid else 0
            done = count if turn > 0 else count // 10
            rate = commands_a_second(port, done, pipeline)
            cost = ((cpu_ns(tree(pid)) if pid else 0) - before) / 1000 / done
            if turn > 0:
                rates[name].append(rate)
                costs[name].append(cost)
    return {
        name: {
            "commands_per_s": round(statistics.median(rates[name])),
            "proxy_cpu_us": round(statistics.median(costs[name]), 2),
            "proxy_cpu_us_runs": [round(cost, 2) for cost in costs[name]],
        }
        for name in ways
    }


def main() -> int:
    """Measures and writes the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-n", dest="count", type=int, default=100_000, help="commands of a run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        server = ("redis-server", "--port", str(port), "--save", "", "--dir", str(folder))
        stack.enter_context(running(port, *server))
        ways = {"direct": (port, 0)}
        for name, guard in (("tcp_proxy", False), ("redis_guard", True)):
            listen = free_port()
            file = folder / f"{name}.json"
            file.write_text(json.dumps(document(listen, port, guard)))
            words = (sys.executable, "-m", "moebridge", "run", "-c", str(file))
            ways[name] = (listen, stack.enter_context(running(listen, *words)))
        cases = {
            f"P{pipeline}": measure(ways, pipeline, options.count, options.runs)
            for pipeline in PIPELINES
        }
    results = {
        "what": "redis-benchmark SET, 20 clients: commands a second, CPU us of the proxy a command",
        "environment": environment(
            f"python -m benchmarks.redis_guard -n {options.count} --runs {options.runs}"
        ),
        "settings": {"count": options.count, "runs": options.runs, "clients": CLIENTS},
        "cases": cases,
    }
    options.output.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(cases, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
