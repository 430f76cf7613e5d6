"""A live proxy between a client and an upstream that keeps every byte."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.e2e.support.core import Core
from tests.e2e.support.envoy_config import cluster, http_config
from tests.protocol.readers import Recorder

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TRAILERS = {
    "@type": f"type.googleapis.com/{OPTIONS}",
    "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
}


@dataclass
class Outcome:
    """What came of a client's bytes."""

    answer: bytes
    forwarded: list[bytes]

    @property
    def statuses(self) -> list[int]:
        """Of the final responses; the bodies are empty or one line, so that a split does."""
        heads = self.answer.split(b"HTTP/1.1 ")[1:]
        return [int(head[:3]) for head in heads if head[:1] != b"1"]


class Proxy:
    """Gives bytes to the proxy, a connection at a time."""

    def __init__(self, core: Core, recorder: Recorder) -> None:
        self.core = core
        self.recorder = recorder
        host, _, port = core.address.rpartition(":")
        self._where = (host, int(port))

    def give(self, data: bytes) -> Outcome:
        """Sends bytes, ends the connection's half, and reads what comes."""
        self.recorder.clear()
        answer = bytearray()
        with socket.create_connection(self._where, 20) as client:
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            try:
                while piece := client.recv(65536):
                    answer += piece
            except ConnectionResetError:
                pass
        return Outcome(bytes(answer), self.recorder.received())


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy for all examples of a module."""
    with Recorder() as recorder:
        options = {
            "http_protocol_options": {"enable_trailers": True},
            "delayed_close_timeout": "0s",
        }
        backend = cluster(recorder.address, typed_extension_protocol_options={OPTIONS: TRAILERS})
        with Core(http_config([backend], hcm=options), tmp_path_factory.mktemp("core")) as core:
            yield Proxy(core, recorder)
