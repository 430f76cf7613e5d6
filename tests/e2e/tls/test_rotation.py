"""Certificate files that change: new handshakes use them, nothing is lost, bad ones are refused."""

from __future__ import annotations

import logging
import shutil
import socket
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import moebridge as mb

from ..support.certificates import Authority, Certificate
from ..support.upstream import Upstream
from .conftest import Starter, ask, bootstrap, client_context, count, wait_for

UPDATED = "listener.main.server_ssl_socket_factory.ssl_context_update_by_sds"
REJECTED = "listener.main.server_ssl_socket_factory.update_rejected"


class Mounted:
    """Files as Kubernetes mounts them: a link to a folder that is swapped as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0

    def show(self, certificate: Certificate) -> None:
        self._number += 1
        fresh = self.folder / f"..{self._number}"
        fresh.mkdir(parents=True)
        shutil.copy(certificate.cert_file, fresh / "tls.crt")
        shutil.copy(certificate.key_file, fresh / "tls.key")
        link = self.folder / "..next"
        link.symlink_to(fresh)
        link.rename(self.folder / "data")

    @property
    def context(self) -> dict[str, object]:
        return {
            "common_tls_context": {
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(self.folder / "data/tls.crt")},
                        "private_key": {"filename": str(self.folder / "data/tls.key")},
                    }
                ]
            }
        }


def shown(proxy: mb.Proxy, authority: Authority) -> bytes:
    return ask(proxy.addresses["main"], client_context(authority)).certificate


def test_new_files_are_used_and_nothing_is_lost(
    authority: Authority, upstream: Upstream, start: Starter, tmp_path: Path
) -> None:
    old, new = authority.issue("a.test"), authority.issue("a.test", file="new", rsa_key=True)
    files = Mounted(tmp_path / "mounted")
    files.show(old)
    proxy = start(bootstrap(upstream.address, downstream=files.context))
    context = client_context(authority)
    host, _, port = proxy.addresses["main"].rpartition(":")
    done: list[int] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                done.append(ask(proxy.addresses["main"], context).status)
            except BaseException as error:  # noqa: BLE001 - any loss fails the test
                failures.append(error)

    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="a.test") as kept,
    ):
        worker = threading.Thread(target=load)
        worker.start()
        files.show(new)
        wait_for(proxy, UPDATED)
        stop.set()
        worker.join(20)
        assert shown(proxy, authority) == new.x509.public_bytes(Encoding.DER)
        kept.sendall(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"
    assert not failures
    assert set(done) == {200}


def test_bad_files_keep_the_old_certificate(
    authority: Authority,
    upstream: Upstream,
    start: Starter,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    old, new = authority.issue("a.test"), authority.issue("a.test", file="new")
    files = Mounted(tmp_path / "mounted")
    files.show(old)
    proxy = start(bootstrap(upstream.address, downstream=files.context))
    # Certificate first, its key later: in between they do not belong together.
    (tmp_path / "mounted/data/tls.crt").write_bytes(new.cert_file.read_bytes())
    assert wait_for(proxy, REJECTED) == 1
    assert shown(proxy, authority) == old.x509.public_bytes(Encoding.DER)
    assert any("is not the key of" in record.getMessage() for record in caplog.records)
    (tmp_path / "mounted/data/tls.key").write_bytes(new.key_file.read_bytes())
    assert wait_for(proxy, UPDATED) == 1
    assert shown(proxy, authority) == new.x509.public_bytes(Encoding.DER)
    assert count(proxy, REJECTED) == 1
    assert not any("PRIVATE KEY" in record.getMessage() for record in caplog.records)
