"""A network filter in C, from its own shared library; beside one in Python."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import moebridge as mb

from ..conftest import ProxyMaker
from .conftest import ServerMaker
from .servers import connect, read_all

SOURCE = Path(__file__).resolve().parents[3] / "examples" / "native_network_filter"
INCLUDE = Path(__file__).resolve().parents[3] / "native" / "include"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example, built as its Makefile builds it."""
    out = tmp_path_factory.mktemp("line_limit") / "libline_limit.so"
    words = ["make", "-s", "-f", str(SOURCE / "Makefile"), f"INCLUDE={INCLUDE}"]
    (out.parent / "line_limit.c").write_bytes((SOURCE / "line_limit.c").read_bytes())
    subprocess.run(words, cwd=out.parent, check=True)
    return str(out)


class Greet(mb.NetworkFilter):
    """Stands in front of it."""

    def on_connect(self, conn: mb.Connection) -> None:
        """Says hello."""
        conn.write(b"hello\n")


def test_a_filter_in_c_ends_the_connection_with_words(
    library: str, make_server: ServerMaker, make_proxy: ProxyMaker
) -> None:
    limit = mb.NativeFilter("line_limit", {"bytes": 10}, library=library, network=True)
    proxy = make_proxy(Greet(), limit, upstream=make_server().address)
    with connect(proxy.addresses["main"]) as peer:
        assert peer.recv(6) == b"hello\n"
        peer.sendall(b"short\n")
        assert peer.recv(6) == b"short\n"
        peer.sendall(b"123456")
        assert peer.recv(6) == b"123456"
        peer.sendall(b"78901")
        assert read_all(peer) == b"line too long\n"
    assert proxy.stats()["line_limit.ended"] == 1


def test_its_refusal_is_told(library: str) -> None:
    limit = mb.NativeFilter("line_limit", {"bytes": "x"}, library=library, network=True)
    proxy = mb.Proxy(listen="127.0.0.1:0", upstream="127.0.0.1:1", filters=[limit])
    with pytest.raises(mb.ConfigError, match="the configuration must be") as caught:
        proxy.start()
    assert "filters[0]" in str(caught.value)


def test_it_is_no_http_filter(library: str) -> None:
    wrong = mb.NativeFilter("line_limit", library=library)
    proxy = mb.Proxy(listen="127.0.0.1:0", upstream="127.0.0.1:1", filters=[wrong])
    with pytest.raises(mb.ConfigError, match="has no filter"):
        proxy.start()
    with pytest.raises(mb.ConfigError, match="no network filter is built in"):
        mb.NativeFilter("body_scan", network=True)
