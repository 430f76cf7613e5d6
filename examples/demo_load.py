"""What the demo measures with: proxies in processes of their own, load, CPU time."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONNECTIONS = 16
REQUEST = b"GET / HTTP/1.1\r\nhost: demo.test\r\n\r\n"

#: An upstream that answers by itself, as fast as the core can.
UPSTREAM = """
static_resources:
  listeners:
  - name: upstream
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: upstream
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                direct_response: {status: 200, body: {inline_string: "hello from the upstream\\n"}}
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""  # noqa: E501


@contextlib.contextmanager
def moebridge(*args: str) -> Iterator[tuple[str, int]]:
    """Runs `moebridge run ...`; gives its address and its process id."""
    words = [sys.executable, "-m", "moebridge", "run", *args, "--log-level", "warning"]
    with subprocess.Popen(words, cwd=HERE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            match = re.fullmatch(r"listening \S+ http://(\S+)\n", line)
            if match is None:
                sys.exit(f"demo: a proxy did not start: {line}{process.stderr.read()}")
            yield match[1], process.pid
        finally:
            process.terminate()


def cpu_us(pid: int) -> float:
    """CPU time of all threads of a process, in microseconds."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total_ns += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:  # a kernel without it: ticks of 10 ms
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")
    return total_ns / 1000


def load(address: str, seconds: float) -> int:
    """Sends requests on keep-alive connections; returns how many were answered."""
    if shutil.which("wrk"):
        words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", f"http://{address}/"]
        text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in text or "Socket errors" in text:
            sys.exit(f"demo: wrong answers under load:\n{text}")
        found = re.search(r"(\d+) requests in", text)
        assert found is not None, text
        return int(found[1])
    return asyncio.run(_load(address, seconds))


async def _load(address: str, seconds: float) -> int:
    """The same without wrk."""
    host, _, port = address.rpartition(":")
    until = time.monotonic() + seconds

    async def client() -> int:
        reader, writer = await asyncio.open_connection(host, int(port))
        answered = 0
        while time.monotonic() < until:
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            if not head.startswith(b"HTTP/1.1 200 ") or length is None:
                sys.exit(f"demo: a wrong answer under load: {head!r}")
            await reader.readexactly(int(length[1]))
            answered += 1
        writer.close()
        await writer.wait_closed()
        return answered

    return sum(await asyncio.gather(*(client() for _ in range(CONNECTIONS))))
