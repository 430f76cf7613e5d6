"""The measures of `moebridge bench` that are not by CPU time, each in the small."""

from __future__ import annotations

import http.client
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.moebridge_bench.handshakes import run_handshakes
from benchmarks.moebridge_bench.idle_connections import IdleConnections
from benchmarks.moebridge_bench.latency import run_at_rate
from benchmarks.moebridge_bench.many_routes import many_routes
from benchmarks.moebridge_bench.measure import Options
from benchmarks.moebridge_bench.nginx import start_upstream
from benchmarks.moebridge_bench.secure import make_certificate
from benchmarks.moebridge_bench.standing import stand
from benchmarks.moebridge_bench.startup import Startup
from benchmarks.moebridge_bench.uploads import UPLOAD, UploadMemory

import moebridge as mb

ONCE = Options(rounds=1, seconds=1, rows=("moebridge+python", "moebridge+look"))


def be_quiet(_line: str) -> None:
    pass


class TlsServer(socketserver.ThreadingTCPServer):
    """Gives each connection a session that could be resumed."""

    daemon_threads = True
    versions: set[str | None] = set()

    def __init__(self, folder: Path) -> None:
        files = make_certificate(folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(files.chain, files.key)
        super().__init__(("127.0.0.1", 0), _TlsHandler)


class _TlsHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server: Any = self.server
        with suppress(OSError), server.context.wrap_socket(self.request, server_side=True) as tls:
            server.versions.add(tls.version())
            tls.recv(65536)


@contextmanager
def served(server: socketserver.TCPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_handshakes_are_full_ones_of_tls_1_3(tmp_path: Path) -> None:
    server = TlsServer(tmp_path)
    with served(server):
        address = f"127.0.0.1:{server.server_address[1]}"
        handshakes, _ = run_handshakes(address, duration_s=1)
    counted = server.context.session_stats()
    assert counted["accept_good"] >= handshakes > 0
    assert counted["hits"] == 0
    assert server.versions == {"TLSv1.3"}


def test_load_at_a_rate_has_as_many_requests_as_were_asked_for() -> None:
    with start_upstream(64) as upstream:
        times_us, load = run_at_rate(
            f"http://{upstream.address}/", per_s=400, duration_s=1, connections=20
        )
    assert 200 < len(times_us) <= 400
    assert all(time_us > 0 for time_us in times_us)
    assert load == "h2load --h1 -t1 -c20 -n400 --rps=20.000 -r1 --rate-period=1ms"


def test_idle_connections_are_measured_while_all_are_open() -> None:
    # What the process has freed by then is used first: up to 2 MiB, beside other tests.
    result = IdleConnections(connections=6000, first=3000).run(be_quiet, ONCE)
    assert list(result["rows"]) == ["nginx", "moebridge+python"]
    (each_kib,) = result["rows"]["moebridge+python"]["samples"]
    assert 0.5 < each_kib < 4


def test_upload_memory_is_far_below_one_upload() -> None:
    result = UploadMemory().run(be_quiet, ONCE)
    (mib,) = result["rows"]["moebridge+look"]["samples"]
    assert 0 <= mib < 16


def test_run_takes_longer_than_the_interpreter() -> None:
    rows = Startup().run(be_quiet, ONCE)["rows"]
    assert rows["python"]["samples"] < rows["import"]["samples"]
    assert rows["python"]["samples"] < rows["run"]["samples"]


def test_rows_that_are_up_answer_as_the_upstream() -> None:
    rows = ("nginx", "moebridge+async", "moebridge+regex", "moebridge+cython")
    wanted = Options(rows=rows)
    with stand(rows, be_quiet, wanted, name="x", base="nginx", connections=4) as standing:
        assert list(standing.processes) == list(rows)


def test_request_takes_the_first_route_that_matches() -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(start_upstream(64)).address
        proxy = mb.Proxy.from_config(many_routes(0, upstream, hosts=20, clusters=20))
        proxy.start()
        stack.callback(proxy.stop)
        host, _, port = proxy.addresses["main"].rpartition(":")
        client = http.client.HTTPConnection(host, int(port), timeout=10)
        stack.callback(client.close)

        def cluster_of(path: str, **headers: str) -> str:
            before = proxy.stats()
            client.request("GET", path, headers={"Host": "h3.example", **headers})
            assert client.getresponse().read()
            key, after = "cluster.{}.upstream_rq_total", proxy.stats()
            names = [f"c{n}" for n in range(20)] + ["up"]
            (found,) = [n for n in names if after[key.format(n)] > before[key.format(n)]]
            return found

        assert cluster_of("/area0/item") == "c1"
        assert cluster_of("/area2/item") == "c3"
        assert cluster_of("/area8/item") == "c9"
        assert cluster_of("/area8/item", **{"x-tenant": "t3"}) == "c3"
        assert cluster_of("/area8/item", **{"x-tenant": "t4"}) == "c9"
        assert cluster_of("/area0/item", **{"x-tenant": "t3"}) == "c1"


def test_uploads_are_of_10_mib() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        command = ["wrk", "-t1", "-c1", "-d1s", "-s", str(UPLOAD), url]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL):
            listener.accept()[0].close()  # wrk sees whether somebody listens
            with listener.accept()[0] as client:
                head = client.recv(4096)
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 10485760\r\n" in head
