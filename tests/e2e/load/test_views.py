"""Views of bodies that filters keep: the bytes never change, and every lease comes back."""

from __future__ import annotations

import gc
import queue
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.load.figure import command
from tests.e2e.load.peers import CountingUpstream, LoadClient
from tests.e2e.load.proxy_process import eventually

import moebridge as mb

#: native/base/slab.h: MB_SLAB_LEASED_BYTES_MAX.
LEASED_MAX = 64 << 20
THREADS = 3
BLOCK = bytes(range(256)) * 256


class Keep(mb.HttpFilter):
    """Gives every piece's views, with a copy of their bytes, to `kept`."""

    class Config(mb.Config):
        bytes_each: int = 0

    config: Config

    def on_load(self) -> None:
        self.kept: queue.SimpleQueue[tuple[memoryview, bytes] | None] = queue.SimpleQueue()
        self.count = 0

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        self._keep(data)
        self._keep(stream.request.body)

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        self._keep(data)
        self._keep(stream.response.body)

    def _keep(self, data: mb.Buffer) -> None:
        views = data.slices()
        if len(data):
            views.append(memoryview(data))
        for view in views:
            self.count += 1
            self.kept.put((view, bytes(view)))


class Handler(threading.Thread):
    """Slices, checks and drops views on a thread of its own, long after their streams."""

    def __init__(self, keep: Keep, number: int, most: int) -> None:
        super().__init__()
        self.most = most
        self.keep = keep
        self.random = random.Random(number)
        self.held: list[tuple[memoryview, bytes]] = []
        self.checked = 0
        self.wrong = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while (item := self.keep.kept.get()) is not None:
                self.take(*item)
                while len(self.held) > self.most:
                    self.drop(self.held.pop(self.random.randrange(len(self.held))))
        except BaseException as error:  # noqa: BLE001  (the test raises it)
            self.error = error

    def take(self, view: memoryview, expected: bytes) -> None:
        assert view.readonly
        with pytest.raises(TypeError):
            view[0:1] = b"x"
        begin = self.random.randrange(len(view) + 1)
        end = self.random.randrange(begin, len(view) + 1)
        part = view[begin:end]
        if self.random.random() < 0.5:
            view.release()  # the slice keeps the bytes
        else:
            self.held.append((view, expected))
        self.held.append((part, expected[begin:end]))

    def drop(self, item: tuple[memoryview, bytes]) -> None:
        view, expected = item
        self.checked += 1
        self.wrong += view != expected
        if self.random.random() < 0.5:
            view.release()

    def finish(self) -> None:
        for item in self.held:
            self.drop(item)
        self.held.clear()


@contextmanager
def handlers(keep: Keep, most: int) -> Iterator[list[Handler]]:
    threads = [Handler(keep, number, most) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for _ in threads:
            keep.kept.put(None)
        for thread in threads:
            thread.join(60)


def load(folder: Path, *, requests: int, most: int) -> dict[str, Any]:
    """Requests whose bodies' views are kept, at most so many by a thread.

    Asserts all that is claimed.
    """
    keep = Keep()
    with CountingUpstream() as upstream:
        proxy = mb.Proxy(
            listen="127.0.0.1:0", upstream=upstream.address, filters=[keep], timeout_s=60
        )
        proxy.start()
        address = proxy.addresses["main"]
        with handlers(keep, most) as threads:
            for number, target in enumerate(("/echo", "/bytes/3000", "/chunked")):
                first_id = 1 + number * requests
                with LoadClient(
                    address,
                    folder,
                    requests=requests,
                    first_id=first_id,
                    connections=40,
                    target=target,
                    body=700,
                    chunked=int(target == "/chunked"),
                ) as client:
                    answers = client.answers()
                assert len(answers) == requests
                assert {answer.outcome for answer in answers.values()} == {"ok"}
                bad = [a for a in answers.values() if a.status != 200 or "bad" in a.body]
                assert not bad, bad[:3]
        held = sum(len(thread.held) for thread in threads)
        leases = proxy.stats()["server.leases"]
        # The streams are long over: their bytes are what they were.
        for thread in threads:
            if thread.error is not None:
                raise thread.error
            thread.finish()
        gc.collect()
        after = leases_left(proxy)
        assert leases > 0
        proxy.stop()
        stats = proxy.stats()
    checked = sum(thread.checked for thread in threads)
    assert sum(thread.wrong for thread in threads) == 0
    assert keep.count <= checked <= 2 * keep.count
    assert stats["bridge.views_exported"] >= keep.count
    return {
        "views": keep.count,
        "checked": checked,
        "wrong": 0,
        "held_at_the_end": held,
        "leases_held": leases,
        "copied_past_the_cap_bytes": stats["bridge.bytes_copied"],
        "leases_after": after,
    }


def leases_left(proxy: mb.Proxy) -> int:
    """What is left when the worker has taken back what other threads gave back."""
    proxy.call_soon(int)  # a turn
    eventually("no leases", lambda: proxy.stats()["server.leases"] == 0)
    return int(proxy.stats()["server.leases"])


def test_kept_views_never_change_and_their_leases_come_back(tmp_path: Path) -> None:
    load(tmp_path, requests=1500, most=2000)


@pytest.mark.long
def test_100_000_kept_views_never_change(tmp_path: Path) -> None:
    figures = load(tmp_path, requests=10_000, most=1_000_000)
    assert figures["held_at_the_end"] >= 100_000


class KeepAll(mb.HttpFilter):
    """Keeps a view of all there is."""

    def on_load(self) -> None:
        self.views: list[memoryview] = []

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:  # noqa: ARG002
        self.views += data.slices()


def take(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer:
        end = b""
        while end != b"\r\n0\r\n\r\n":
            end = (end + peer.recv(1 << 20))[-7:]
        peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        peer.recv(1)


def test_views_past_the_cap_are_copies_and_right() -> None:
    """A filter may not pin all of the worker's memory."""
    keep = KeepAll()
    size = LEASED_MAX + LEASED_MAX // 4
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=take, args=(listener,), daemon=True).start()
        proxy = mb.Proxy(
            listen="127.0.0.1:0",
            upstream=f"127.0.0.1:{listener.getsockname()[1]}",
            filters=[keep],
            timeout_s=0,
        )
        proxy.start()
        host, _, port = proxy.addresses["main"].rpartition(":")
        with socket.create_connection((host, int(port)), 60) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(size // len(BLOCK)):
                client.sendall(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK))
            client.sendall(b"0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        copied = proxy.stats()["bridge.bytes_copied"]
        whole = b"".join(keep.views)
        assert whole == BLOCK * (size // len(BLOCK))
        del whole
        # What fits under the cap was lent, what is past it copied.
        assert size - LEASED_MAX <= copied < size
        keep.views.clear()
        assert leases_left(proxy) == 0
        proxy.stop()


def test_views_outlive_the_proxy() -> None:
    keep = KeepAll()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=take, args=(listener,), daemon=True).start()
        upstream = f"127.0.0.1:{listener.getsockname()[1]}"
        proxy = mb.Proxy(listen="127.0.0.1:0", upstream=upstream, filters=[keep])
        proxy.start()
        host, _, port = proxy.addresses["main"].rpartition(":")
        with socket.create_connection((host, int(port)), 60) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
            client.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BLOCK), BLOCK))
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        proxy.stop()
    del proxy
    gc.collect()
    assert b"".join(keep.views) == BLOCK
    dropping = threading.Thread(target=keep.views.clear)
    dropping.start()
    dropping.join()


def measure(folder: Path, full: bool) -> dict[str, Any]:
    """The load."""
    if full:
        return load(folder, requests=10_000, most=1_000_000)
    return load(folder, requests=1500, most=2000)


if __name__ == "__main__":
    command("test_views", "views of bodies kept, sliced and dropped on other threads", measure)
