"""A chain of filters on a stage: the core in this process, messages without sockets.

One `run` is one turn of the core's loop with many operations in it (`core.h`: mb_rehearsal), so
the GIL is taken once for all of them and what is timed is the filters, the codecs and the chain.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import moebridge as mb
from moebridge._core_api import ffi, lib
from moebridge._paths import ObjectPaths
from moebridge._plan import ChainItem, Plan, chain_of
from moebridge._server import Server
from moebridge.config.simple import build_simple

__all__ = [
    "BROWSER_REQUEST",
    "EXCHANGE",
    "HOOK",
    "READ",
    "SMALL_REQUEST",
    "SMALL_RESPONSE",
    "WRITE",
    "Stage",
    "c_filter",
]

EXCHANGE: int = lib.MB_REHEARSE_EXCHANGE
HOOK: int = lib.MB_REHEARSE_HOOK
READ: int = lib.MB_REHEARSE_READ
WRITE: int = lib.MB_REHEARSE_WRITE

#: What wrk sends.
SMALL_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
SMALL_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 64\r\nConnection: keep-alive\r\n\r\n" + b"x" * 64
)
#: 20 headers with cookies, as a browser sends them.
BROWSER_REQUEST = (
    b"GET /shop/item-4711/9e3779b1?ref=23 HTTP/1.1\r\nHost: shop.example\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-GB,en;q=0.9,de-DE;q=0.7,de;q=0.6\r\nCache-Control: max-age=0\r\n"
    b"Cookie: session=8b1a9953c4611296a827abf8c47804d7; theme=dark; consent=analytics%3D0; "
    b"cart=eyJpdGVtcyI6W3sic2t1IjoiQTEyMyIsIm4iOjJ9XX0; visited=1730000000.1731111111\r\n"
    b"DNT: 1\r\nOrigin: https://shop.example\r\nPragma: no-cache\r\nPriority: u=0, i\r\n"
    b"Referer: https://shop.example/catalogue/shoes?page=3&sort=price\r\n"
    b'Sec-CH-UA: "Chromium";v="130", "Not?A_Brand";v="99"\r\nSec-CH-UA-Mobile: ?0\r\n'
    b'Sec-CH-UA-Platform: "Linux"\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n'
    b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nUpgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Chrome/130.0.0.0 Safari/537.36\r\n\r\n"
)

_SOURCE = Path(__file__).with_name("native") / "bench_filter.c"


@functools.cache
def _library() -> str:
    """Compiles the C filters once a process."""
    folder = tempfile.TemporaryDirectory(prefix="moebridge-bench-")
    _library_folders.append(folder)
    built = Path(folder.name) / "libbench_filter.so"
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    include = _SOURCE.parents[2] / "native" / "include"
    flags = ["-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{include}"]
    subprocess.run([*compiler, *flags, "-o", str(built), str(_SOURCE)], check=True)
    return str(built)


_library_folders: list[tempfile.TemporaryDirectory[str]] = []


def c_filter(name: str, times: int = 1) -> mb.NativeFilter:
    """A filter of native/bench_filter.c: `noop`, `get`, `set`."""
    return mb.NativeFilter(name, {"times": times}, library=_library())


class Stage:
    """The core with a chain, and one pair of messages.

    Args:
        filters: the chain.
        request: head and body as on the wire.
        response: the same of the answer.
    """

    def __init__(
        self,
        filters: Sequence[ChainItem] = (),
        *,
        request: bytes = SMALL_REQUEST,
        response: bytes = SMALL_RESPONSE,
    ) -> None:
        self._server = Server(log_level=50)
        chain = chain_of(filters)
        model = build_simple("127.0.0.1:0", "127.0.0.1:9", chain.http, max_connections=16)
        paths = ObjectPaths(chain.http_at, chain.network_at)
        plan = Plan(model, paths=paths, objects=chain)
        document, places = plan.load(self._server)
        self._server.run(self._server.start_filters(places))
        self._server.apply(document)
        out = ffi.new("mb_rehearsal **")
        kept = ffi.from_buffer(request), ffi.from_buffer(response)
        slices = [ffi.new("mb_slice *", (data, len(data))) for data in kept]
        result = lib.mb_rehearsal_new(self._server._c, slices[0][0], slices[1][0], out)
        assert result == 0, result
        self._c: Any = out[0]

    def run(self, kind: int, times: int) -> None:
        """Does it that often in one turn of the loop; all must come through."""
        lib.mb_rehearsal_start(self._c, kind, times)
        self._server.worker.run(0)
        assert lib.mb_rehearsal_done(self._c) == times, lib.mb_rehearsal_done(self._c)

    def sent(self) -> tuple[bytes, bytes]:
        """What the last exchange sent: to the upstream, to the client."""
        texts = []
        for direction in (0, 1):
            out = ffi.new("mb_slice *")
            assert lib.mb_rehearsal_sent(self._c, direction, out) == 0
            texts.append(bytes(ffi.buffer(out.ptr, out.len)) if out.len else b"")
        return texts[0], texts[1]

    def stats(self) -> dict[str, Any]:
        """The core's metrics."""
        return self._server.stats()

    def close(self) -> None:
        """Ends the core."""
        lib.mb_rehearsal_free(self._c)
        self._server.close()

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
