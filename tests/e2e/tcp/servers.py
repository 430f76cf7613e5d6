"""TCP servers of the tests, each connection on a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType

__all__ = ["Peer", "Server", "connect", "echo", "read_all"]

Peer = socket.socket
Handler = Callable[[Peer], None]
WAIT_S = 30.0


def echo(peer: Peer) -> None:
    """Sends back what comes, and at the end a mark."""
    while piece := peer.recv(65536):
        peer.sendall(piece)
    peer.sendall(b"<end>")


class Server:
    """Serves on 127.0.0.1 between `with` and its end."""

    def __init__(self, handler: Handler = echo) -> None:
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"
        #: Connections that came.
        self.count = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: Peer) -> None:
        peer.settimeout(WAIT_S)
        with peer, contextlib.suppress(OSError):
            self._handler(peer)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Wakes accept(): closing alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)


def connect(address: str) -> Peer:
    """A client."""
    host, _, port = address.rpartition(":")
    peer = socket.create_connection((host, int(port)), WAIT_S)
    peer.settimeout(WAIT_S)
    return peer


def read_all(peer: Peer) -> bytes:
    """Reads to the end."""
    found = b""
    while piece := peer.recv(65536):
        found += piece
    return found
