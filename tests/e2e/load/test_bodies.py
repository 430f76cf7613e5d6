"""Large bodies through Python body filters: right, in bounded memory, with back-pressure."""

from __future__ import annotations

import hashlib
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.load.figure import command
from tests.e2e.load.proxy_process import ProxyProcess, eventually

MIB = 1 << 20
WARM_UP = 16 * MIB
GROWTH_MAX = 8 * MIB
#: What the kernel's socket buffers (both ways, both connections) and the proxy may hold.
IN_FLIGHT_MAX = 40 * MIB
BUFFER_BYTES = 64 * 1024
CHAIN: list[tuple[str, dict[str, Any]]] = [
    ("LookAtPieces", {}),
    ("native:body_scan", {"pattern": "moebridge"}),
    ("CountByte", {"byte": 65}),
]
#: How often the proxy stopped taking a body since its receiver was slow, and went on.
PAUSES = {
    "request": (
        "upstream_flow_control_backed_up_total",
        "upstream_flow_control_drained_total",
    ),
    "response": (
        "upstream_flow_control_paused_reading_total",
        "upstream_flow_control_resumed_reading_total",
    ),
}
#: Not a power of two, so that pieces begin everywhere in it.
BLOCK = hashlib.shake_256(b"moebridge").digest(3 * MIB // 4 + 1)


class Meter:
    """One side of a transfer: how much, which bytes; the receiver waits at `hold_at`."""

    def __init__(self, hold_at: int | None = None) -> None:
        self.bytes = 0
        self.digest = hashlib.sha256()
        self.hold_at = hold_at
        self.held = threading.Event()
        self.go_on = threading.Event()

    def take(self, data: memoryview) -> None:
        self.digest.update(data)
        self.bytes += len(data)
        if self.hold_at is not None and self.hold_at <= self.bytes and not self.held.is_set():
            self.held.set()
            assert self.go_on.wait(60)


def send_body(peer: socket.socket, size: int, meter: Meter, *, chunked: bool) -> None:
    view = memoryview(BLOCK)
    while meter.bytes < size:
        piece = view[: size - meter.bytes]
        if chunked:
            peer.sendall(b"%x\r\n" % len(piece))
        sent = 0
        while sent < len(piece):
            now = peer.send(piece[sent:])
            meter.take(piece[sent : sent + now])
            sent += now
        if chunked:
            peer.sendall(b"\r\n")
    if chunked:
        peer.sendall(b"0\r\n\r\n")


def receive_body(peer: socket.socket, early: bytes, size: int, meter: Meter) -> None:
    meter.take(memoryview(early))
    room = memoryview(bytearray(256 * 1024))
    while meter.bytes < size:
        got = peer.recv_into(room)
        assert got, f"ended after {meter.bytes} of {size} bytes"
        meter.take(room[:got])


def receive_head(peer: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = peer.recv(4096)
        assert piece, data
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.lower(), rest


class Peer(threading.Thread):
    """An upstream that takes one body, or gives one, on each connection."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.meters: list[Meter] = []
        self.start()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                self.serve(peer, self.meters.pop())

    def serve(self, peer: socket.socket, meter: Meter) -> None:
        head, early = receive_head(peer)
        size = int(head.partition(b"x-size: ")[2].partition(b"\r\n")[0])
        if head.startswith(b"post"):
            receive_body(peer, early, size, meter)
            peer.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        else:
            peer.sendall(
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            send_body(peer, size, meter, chunked=True)
        peer.recv(1)


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    client.settimeout(60)
    client.connect((host, int(port)))
    return client


def ask(client: socket.socket, method: str, size: int) -> None:
    framing = f"content-length: {size}\r\n" if method == "POST" else ""
    head = f"{method} / HTTP/1.1\r\nhost: load.test\r\nx-size: {size}\r\n{framing}\r\n"
    client.sendall(head.encode())


def unchunked(client: socket.socket, meter: Meter) -> None:
    """Reads a chunked body; the framing is read by the byte, the data in large pieces."""
    room = memoryview(bytearray(256 * 1024))
    reader = client.makefile("rb", buffering=256 * 1024)
    while size := int(reader.readline(), 16):
        while size:
            got = reader.readinto(room[: min(size, len(room))])  # type: ignore[attr-defined]
            assert got
            meter.take(room[:got])
            size -= got
        assert reader.readline() == b"\r\n"
    assert reader.readline() == b"\r\n"


def upload(proxy: ProxyProcess, peer: Peer, size: int, hold_at: int) -> dict[str, Any]:
    """One upload; the upstream stops reading at `hold_at` until the proxy is seen to wait."""
    sent, received = Meter(), Meter(hold_at)
    peer.meters.append(received)
    with connect(proxy.address) as client:
        ask(client, "POST", size)
        sender = threading.Thread(
            target=send_body, args=(client, size, sent), kwargs={"chunked": False}, daemon=True
        )
        sender.start()
        held = _hold(proxy, PAUSES["request"], sent, received)
        sender.join(100)
        head, rest = receive_head(client)
    assert head.startswith(b"http/1.1 200 ")
    assert not rest
    return _figures(size, sent, received, held)


def download(proxy: ProxyProcess, peer: Peer, size: int, hold_at: int) -> dict[str, Any]:
    """One download; the client stops reading at `hold_at` until the proxy is seen to wait."""
    sent, received = Meter(), Meter(hold_at)
    peer.meters.append(sent)
    with connect(proxy.address) as client:
        ask(client, "GET", size)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 200 ")
        receiver = threading.Thread(target=unchunked, args=(client, received), daemon=True)
        receiver.start()
        held = _hold(proxy, PAUSES["response"], sent, received)
        receiver.join(100)
    return _figures(size, sent, received, held)


def _hold(
    proxy: ProxyProcess, counters: tuple[str, str], sent: Meter, received: Meter
) -> dict[str, int]:
    """Waits until the proxy has stopped reading, since nobody reads from it; lets it go on."""
    assert received.held.wait(60)
    last = -1

    def waits() -> bool:
        nonlocal last
        read = proxy.stat("downstream_cx_rx_bytes_total") + proxy.stat("upstream_cx_rx_bytes_total")
        stands, last = read == last, read
        return stands and proxy.stat(counters[0]) > proxy.stat(counters[1])

    eventually("the proxy waits", waits)
    held = {"in_flight_bytes": sent.bytes - received.bytes, "rss_bytes": proxy.rss_bytes()}
    received.go_on.set()
    return held


def _figures(size: int, sent: Meter, received: Meter, held: dict[str, int]) -> dict[str, Any]:
    assert (sent.bytes, received.bytes) == (size, size)
    assert sent.digest.digest() == received.digest.digest()
    return {"bytes": size, "sha256": received.digest.hexdigest()[:16], "held": held}


def matches(size: int) -> int:
    whole, rest = divmod(size, len(BLOCK))
    return whole * BLOCK.count(b"A") + BLOCK[:rest].count(b"A")


def transfer(direction: str, size: int) -> dict[str, Any]:
    """One body through the proxy, after a warm-up; asserts all that is claimed."""
    run = upload if direction == "request" else download
    counter = PAUSES[direction][0]
    peer = Peer()
    with ProxyProcess(peer.address, CHAIN, timeout_s=0, request_timeout_s=0) as proxy:
        run(proxy, peer, WARM_UP, WARM_UP // 4)
        before = proxy.forget_peak()
        pauses = proxy.stat(counter)
        figures = run(proxy, peer, size, size // 4)
        growth = proxy.peak_rss_bytes() - before
        seen = proxy.facts()
        pauses = proxy.stat(counter) - pauses
        leases = proxy.stat("server.leases")
    peer.listener.close()
    assert seen[f"{direction}_bytes"] == size + WARM_UP
    assert seen[f"{direction}_matches"] == matches(size) + matches(WARM_UP)
    assert pauses > 0
    assert 0 < figures["held"]["in_flight_bytes"] < IN_FLIGHT_MAX
    assert growth < GROWTH_MAX
    assert leases == 0
    return {
        **figures,
        "rss_before_bytes": before,
        "rss_growth_bytes": growth,
        "pauses": pauses,
        "pieces": seen[f"{direction}_pieces"],
        "leases_after": leases,
    }


@pytest.mark.parametrize("direction", ["request", "response"])
def test_body_of_64_mib_passes_python_filters_in_bounded_memory(direction: str) -> None:
    transfer(direction, 64 * MIB)


@pytest.mark.long
@pytest.mark.parametrize("direction", ["request", "response"])
def test_body_of_1_gib_passes_python_filters_in_bounded_memory(direction: str) -> None:
    transfer(direction, 1024 * MIB)


def measure(_folder: Path, full: bool) -> dict[str, Any]:
    """Both directions."""
    size = (1024 if full else 64) * MIB
    return {direction: transfer(direction, size) for direction in ("request", "response")}


if __name__ == "__main__":
    command("test_bodies", "bodies through Python filters: digests, RSS growth, pauses", measure)
