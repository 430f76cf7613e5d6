"""What `make demo` runs: a proxy with a Python filter and with its C twin, what they do and cost.

    python examples/demo.py [SECONDS]

First, requests through proxies in this process: what each filter did. Then the same filters in
processes of their own under load: CPU time of the proxy for a request. SECONDS is the length of
one of the nine loads; default 2.
"""

import json
import sys
import tempfile
import threading
import urllib.request
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# mypy knows them as examples.demo_filters; Python finds them beside this file.
from demo_filters import Tag  # type: ignore[import-not-found,unused-ignore]
from demo_load import (  # type: ignore[import-not-found,unused-ignore]
    UPSTREAM,
    cpu_us,
    load,
    moebridge,
)

import moebridge as mb
from moebridge_plugins.body_scan import BodyScan

ROUNDS = 3
TWIN: dict[str, Any] = {
    "mutations": {
        f"{side}_mutations": [
            {
                "append": {
                    "header": {"key": f"x-demo-{side}", "value": "seen"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            }
        ]
        for side in ("request", "response")
    }
}
CHAINS: dict[str, list[str]] = {
    "no filter": [],
    "C filter": ["--filter", f"native:header_mutation={json.dumps(TWIN)}"],
    "Python filter": ["--filter", "demo_filters.py:Tag"],
}


class Echo(BaseHTTPRequestHandler):
    """The embedded upstream: says what it got."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answers with the request's header and the length of its body."""
        body = self.rfile.read(int(self.headers["content-length"]))
        said = {"x-demo-request": self.headers["x-demo-request"], "body": len(body)}
        text = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing."""


def post(address: str, body: bytes) -> tuple[dict[str, Any], str | None]:
    """Sends a request; returns what the upstream got, and the response's header."""
    with urllib.request.urlopen(f"http://{address}/", data=body) as response:
        return json.loads(response.read()), response.headers["x-demo-response"]


def show_what_filters_do() -> None:
    """Real traffic through each filter, in this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    upstream = f"127.0.0.1:{server.server_port}"
    body = b"hay " * 100_000 + b"needle" + b" hay" * 100_000 + b"needle"
    chains: dict[str, list[mb.HttpFilter | mb.NativeFilter]] = {
        "no filter": [],
        "C filter": [
            mb.NativeFilter("header_mutation", TWIN),
            mb.NativeFilter("body_scan", {"pattern": "needle"}),
        ],
        "Python filter": [Tag(), BodyScan(pattern="needle")],
    }
    print(f"A POST of {len(body):,} bytes through each proxy, upstream {upstream}:\n")
    print(f"{'':<15}{'upstream got':<25}{'client got':<25}needles counted")
    for name, chain in chains.items():
        proxy = mb.Proxy(listen="127.0.0.1:0", upstream=upstream, filters=chain)
        proxy.start()
        got, answer = post(proxy.addresses["main"], body)
        proxy.stop()
        assert got["body"] == len(body)
        counts = [n for key, n in proxy.stats().items() if "can.matches" in key]
        counted = str(counts[0]) if counts else "-"
        print(f"{name:<15}{_header('request', got['x-demo-request']):<25}", end="")
        print(f"{_header('response', answer):<25}{counted}")
    server.shutdown()
    server.server_close()


def _header(side: str, value: str | None) -> str:
    return "-" if value is None else f"x-demo-{side}: {value}"


def show_what_filters_cost(seconds: float) -> None:
    """CPU time of each proxy for a request, under load."""
    print(f"\nCPU of the proxy for a request, best of {ROUNDS} loads of {seconds:.0f} s each:\n")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "upstream.yaml"
        file.write_text(UPSTREAM)
        upstream, _ = stack.enter_context(moebridge("-c", str(file)))
        proxies = {
            name: stack.enter_context(
                moebridge("--listen", "127.0.0.1:0", "--upstream", upstream, *chain)
            )
            for name, chain in CHAINS.items()
        }
        costs: dict[str, list[float]] = {name: [] for name in proxies}
        requests = dict.fromkeys(proxies, 0)
        for _ in range(ROUNDS):  # interleaved: what disturbs the machine disturbs all
            for name, (address, pid) in proxies.items():
                before = cpu_us(pid)
                count = load(address, seconds)
                costs[name].append((cpu_us(pid) - before) / count)
                requests[name] += count
    base = min(costs["no filter"])
    for name, found in costs.items():
        extra = min(found) - base
        print(f"{name:<15}{min(found):6.2f} us  {extra:+6.2f} us  {requests[name]:>9,} requests")


def main() -> None:
    """Runs both parts."""
    show_what_filters_do()
    show_what_filters_cost(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)


if __name__ == "__main__":
    main()
