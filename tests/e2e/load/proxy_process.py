"""A proxy in a process of its own, so that its memory, descriptors and objects can be counted.

`python -m tests.e2e.load.proxy_process` is that process: JSON lines in, JSON lines out, the first
one its description. `ProxyProcess` starts it and asks.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypedDict

import moebridge as mb
from moebridge._dispatch import Worker

__all__ = ["ChainSpec", "Objects", "ProxyProcess", "eventually"]

ROOT = Path(__file__).resolve().parents[3]
FILTERS = "tests.e2e.load.filters"
#: Names (of a class in filters.py, or `native:NAME`) with configurations, in order.
ChainSpec = Sequence[tuple[str, dict[str, Any]]]
DEADLINE_S = 30.0
TYPES = "type.googleapis.com/envoy.extensions"
#: Types that are counted.
MODULES = ("moebridge", "_asyncio", "asyncio", FILTERS)
BUILTINS = {
    f"builtins.{name}"
    for name in ("async_generator", "coroutine", "frame", "generator", "memoryview", "traceback")
} | {"_contextvars.Context"}


class Objects(TypedDict):
    """What a process holds."""

    #: Objects that the garbage collector knows, by type: those of moebridge, tasks, coroutines ...
    types: dict[str, int]
    #: Memory blocks of Python's allocator.
    blocks: int


def eventually(what: str, holds: Callable[[], bool], timeout_s: float = DEADLINE_S) -> None:
    """Waits for a condition that another process or thread makes true."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


class ProxyProcess:
    """A proxy between `with` and its end.

    Args:
        upstream: `ip:port`.
        chain: its filters.
        **options: `SimpleOptions` of mb.Proxy; or `trailers=True`: Envoy's defaults, for a proxy
            that passes trailers on.
    """

    def __init__(self, upstream: str, chain: ChainSpec, **options: Any) -> None:
        described = {"upstream": upstream, "chain": chain, "options": options}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.load.proxy_process"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        self.address: str = self._say(described)

    def _say(self, what: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the proxy has ended with {self.process.wait(10)}"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def ask(self, do: str, **arguments: Any) -> Any:
        """Has the process call one of `_Served`'s methods."""
        return self._say({"do": do, **arguments})

    def stats(self) -> dict[str, int]:
        """All metrics that are numbers."""
        found: dict[str, int] = self.ask("stats")
        return found

    def stat(self, name: str) -> int:
        """One metric, by its name or the end of it; 0 if it is not there."""
        found = self.stats()
        return next((found[key] for key in found if key == name or key.endswith(f".{name}")), 0)

    def objects(self) -> Objects:
        """What it holds after a garbage collection."""
        found: Objects = self.ask("objects")
        return found

    def facts(self) -> dict[str, Any]:
        """What its filters noted."""
        found: dict[str, Any] = self.ask("facts")
        return found

    def reload(self, chain: ChainSpec) -> None:
        """Puts new filters in place of the old ones."""
        self.ask("reload", chain=chain)

    def settle(self) -> None:
        """Waits until no client is connected and no request is on its way."""
        for name in ("downstream_cx_active", "downstream_rq_active", "upstream_rq_active"):
            eventually(name, lambda name=name: self.stat(name) == 0)  # type: ignore[misc]
        eventually("tasks of filters", lambda: self.ask("outstanding") == 0)

    # -- of the process --------------------------------------------------------------------------

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))

    def rss_bytes(self) -> int:
        """Memory that is resident."""
        return self._status("VmRSS")

    def peak_rss_bytes(self) -> int:
        """The most that was resident since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> int:
        """Begins a new peak; returns what is resident now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", "ascii")
        return self.rss_bytes()

    def fds(self) -> int:
        """Open descriptors, without those of pooled connections to the upstream."""
        open_ = len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))
        return open_ - self.stat("upstream_cx_active")

    def __enter__(self) -> ProxyProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
            status = self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        if kind is None:
            assert status == 0, f"the proxy ended with {status}"


def with_trailers(upstream: str, chain: ChainSpec) -> dict[str, Any]:
    """Envoy's form of a configuration that passes trailers on."""
    filters = [
        {
            "name": f"{name}{number}".replace("native:", ""),
            "typed_config": {
                "@type": f"{TYPES}.filters.http.dynamic_modules.v3.DynamicModuleFilter",
                "dynamic_module_config": {
                    "name": "moebridge_native" if name.startswith("native:") else "moebridge"
                },
                "filter_name": name.removeprefix("native:")
                if name.startswith("native:")
                else f"{FILTERS}:{name}",
                "filter_config": {
                    "@type": "type.googleapis.com/google.protobuf.Struct",
                    "value": config,
                },
            },
        }
        for number, (name, config) in enumerate(chain)
    ]
    router = {"@type": f"{TYPES}.filters.http.router.v3.Router"}
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress_http",
        "http_protocol_options": {"enable_trailers": True},
        "http_filters": [*filters, {"name": "router", "typed_config": router}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                }
            ]
        },
    }
    options = {
        "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
    }
    endpoint = {"endpoint": {"address": _address(upstream)}}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
    }
    listener = {
        "name": "main",
        "address": _address("127.0.0.1:0"),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(text: str) -> dict[str, Any]:
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


# -- inside the process ----------------------------------------------------------------------------


class _Served:
    def __init__(self, upstream: str, chain: ChainSpec, options: dict[str, Any]) -> None:
        self._filters = importlib.import_module(FILTERS)
        if options.pop("trailers", False):
            assert not options
            self._proxy = mb.Proxy.from_config(with_trailers(upstream, chain))
        else:
            self._proxy = mb.Proxy(
                listen="127.0.0.1:0", upstream=upstream, filters=self._made(chain), **options
            )
        self._proxy.start()
        self.address = self._proxy.addresses["main"]

    def _made(self, chain: ChainSpec) -> list[Any]:
        made: list[Any] = []
        for number, (name, config) in enumerate(chain):
            if name.startswith("native:"):
                made.append(mb.NativeFilter(name.removeprefix("native:"), config))
            else:
                made.append(getattr(self._filters, name)(**config))
                mb.options(made[-1], name=f"{name}{number}")
        return made

    def stats(self) -> dict[str, int]:
        return {key: value for key, value in self._proxy.stats().items() if isinstance(value, int)}

    def facts(self) -> Any:
        gc.collect()
        return self._filters.facts()

    def reload(self, chain: ChainSpec) -> None:
        self._proxy.reload(filters=self._made(chain))

    def outstanding(self) -> int:
        return sum(len(worker.outstanding) + len(worker.contexts) for worker in _workers())

    def objects(self) -> Objects:
        # Streams that wait to be used again are no leak, and how many there are is chance.
        for worker in _workers():
            worker.trim()
        gc.collect()
        types: Counter[str] = Counter()
        for item in gc.get_objects():
            kind = type(item)
            name = f"{kind.__module__}.{kind.__qualname__}"
            if name.startswith(MODULES) or name in BUILTINS:
                types[name] += 1
        kept = dict(types)
        return {"types": kept, "blocks": sys.getallocatedblocks()}

    def stop(self) -> None:
        self._proxy.stop()


def _workers() -> list[Worker]:
    return [item for item in gc.get_objects() if type(item) is Worker]


def main() -> None:
    """Serves the commands until standard input ends."""
    logging.basicConfig(level=logging.CRITICAL)
    logging.getLogger("moebridge").setLevel(logging.CRITICAL)
    served: _Served | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if served is None:
                served = _Served(**asked)
                value: Any = served.address
            else:
                value = getattr(served, asked.pop("do"))(**asked)
            answer = {"value": value}
        except Exception as error:  # noqa: BLE001  (the parent raises it)
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    if served is not None:
        served.stop()


if __name__ == "__main__":
    main()
