"""Real clients and servers around moebridge, through a Python header filter and a body filter:
every way in beside every way out."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.envoy.peer import Envoy
from tests.e2e.peers import world
from tests.e2e.support.certificates import Authority
from tests.e2e.support.command import Command
from tests.e2e.support.envoy_config import cluster

BIG = hashlib.sha256(bytes(range(256)) * 4096).hexdigest()
WAYS_OUT = {"h1": "HTTP/1.1", "h2c": "HTTP/2.0", "tls1": "HTTP/1.1", "tls2": "HTTP/2.0"}
WAYS_IN = {
    "h1": ("clear", "--http1.1", "HTTP/1.1"),
    "h2c": ("clear", "--http2-prior-knowledge", "HTTP/2"),
    "tls1": ("tls", "--http1.1", "HTTP/1.1"),
    "tls2": ("tls", "--http2", "HTTP/2"),
}


@dataclass
class Place:
    """What the tests talk to."""

    ca: Path
    clear: int
    tls: int
    mtls: int
    client: tuple[Path, Path]
    authority: Authority

    def url(self, listener: str, path: str) -> str:
        scheme = "http" if listener == "clear" else "https"
        return f"{scheme}://localhost:{getattr(self, listener)}{path}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("peers")
    authority = Authority(folder)
    server = authority.issue("localhost")
    client = authority.issue("client.test", client=True)
    clear, tls, mtls = world.free_port(), world.free_port(), world.free_port()
    with ExitStack() as stack:
        program, ports = world.nginx(folder, server)
        stack.enter_context(program)
        echo = world.free_port()
        stack.enter_context(
            world.Program(["nghttpd", "--no-tls", "--echo-upload", str(echo)], echo)
        )
        names = [*WAYS_OUT, "echo"]
        routes = [world.strip(f"/{name}/", name) for name in names]
        filters = world.python_filters()
        document = world.bootstrap(
            [
                world.listener("clear", clear, routes, filters=filters),
                world.listener(
                    "tls", tls, routes, tls=world.downstream_tls(server), filters=filters
                ),
                world.listener(
                    "mtls",
                    mtls,
                    routes,
                    tls=world.downstream_tls(server, client_ca=authority),
                    filters=filters,
                ),
            ],
            [
                *world.upstreams(ports, authority),
                cluster(f"127.0.0.1:{echo}", name="echo", **world.H2),
            ],
        )
        file = folder / "moebridge.json"
        file.write_text(json.dumps(document))
        command = stack.enter_context(Command("run", "-c", str(file)))
        assert command.address
        files = (client.cert_file, client.key_file)
        yield Place(authority.file, clear, tls, mtls, files, authority)


def curl(place: Place, url: str, *arguments: str | Path) -> tuple[dict[str, str], bytes]:
    """The headers (":" is the status line) and the body."""
    command = ["curl", "-sS", "-i", "--max-time", "30", "--cacert", place.ca, *arguments, url]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return {":": first, **dict(line.lower().split(": ", 1) for line in lines)}, body


@pytest.mark.parametrize("way_out", WAYS_OUT)
@pytest.mark.parametrize("way_in", WAYS_IN)
def test_curl_gets_an_answer_from_nginx_by_every_way(
    place: Place, way_in: str, way_out: str
) -> None:
    listener, how, protocol = WAYS_IN[way_in]
    headers, body = curl(place, place.url(listener, f"/{way_out}/x"), how)
    assert headers[":"].split()[:2] == [protocol, "200"]
    assert (headers["x-mark"], headers["x-protocol"]) == ("set", protocol.lower())
    name = "localhost" if way_out.startswith("tls") else ""
    assert body.decode() == f"{WAYS_OUT[way_out]} set {name}"


@pytest.mark.parametrize("way_out", WAYS_OUT)
@pytest.mark.parametrize("way_in", WAYS_IN)
def test_a_mebibyte_comes_whole_by_every_way(place: Place, way_in: str, way_out: str) -> None:
    listener, how, _ = WAYS_IN[way_in]
    headers, body = curl(place, place.url(listener, f"/{way_out}/big"), how)
    assert headers[":"].split()[1] == "200"
    assert hashlib.sha256(body).hexdigest() == BIG


@pytest.mark.parametrize("way_in", WAYS_IN)
def test_nghttpd_echoes_an_upload(place: Place, way_in: str, tmp_path: Path) -> None:
    listener, how, _ = WAYS_IN[way_in]
    data = bytes(range(256)) * 4096
    (tmp_path / "data").write_bytes(data)
    upload = f"@{tmp_path / 'data'}"
    url = place.url(listener, "/echo/")
    headers, body = curl(place, url, how, "-H", "expect:", "--data-binary", upload)
    assert headers[":"].split()[1] == "200"
    assert body == data


@pytest.mark.parametrize("way_out", ["h1", "tls2"])
@pytest.mark.parametrize("listener", ["clear", "tls"])
def test_h2load_has_every_request_answered(place: Place, listener: str, way_out: str) -> None:
    url = place.url(listener, f"/{way_out}/x")
    command = ["h2load", "-n2000", "-c4", "-m20", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "2000 succeeded, 0 failed" in said, said


def test_openssl_agrees_on_http2_and_verifies_the_certificate(place: Place) -> None:
    to = ["-connect", f"127.0.0.1:{place.tls}", "-servername", "localhost"]
    check = ["-CAfile", str(place.ca), "-verify_hostname", "localhost", "-verify_return_error"]
    done = subprocess.run(
        ["openssl", "s_client", *to, *check, "-alpn", "h2", "-brief"],
        input="",
        capture_output=True,
        text=True,
        errors="replace",  # the server's first frames
        check=False,
        timeout=30,
    )
    said = done.stdout + done.stderr
    assert "Verification: OK" in said, said
    assert "Protocol version: TLSv1.3" in said, said


def test_a_client_without_a_certificate_is_refused(place: Place) -> None:
    command = [
        "curl",
        "-sS",
        "--max-time",
        "10",
        "--cacert",
        str(place.ca),
        place.url("mtls", "/h1/x"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == ""


def test_a_client_with_a_certificate_is_served(place: Place) -> None:
    cert, key = place.client
    headers, _ = curl(place, place.url("mtls", "/h1/x"), "--cert", cert, "--key", key)
    assert headers[":"] == "HTTP/2 200 "


@pytest.fixture
def envoys(place: Place, tmp_path: Path) -> Iterator[int]:
    """client -> Envoy -> moebridge -> Envoy, over mTLS and HTTP/2 between them; the first port."""
    server = place.authority.issue("localhost", file="chain")
    cert = place.authority.issue("client.test", client=True, file="chain-client")
    first, middle, last = world.free_port(), world.free_port(), world.free_port()
    secure = world.downstream_tls(server, client_ca=place.authority)
    onward = {"transport_socket": world.upstream_tls(place.authority, client=cert), **world.H2}

    def hop(port: int, tls: object, target: int, filters: list[Any]) -> dict[str, Any]:
        routes = [world.strip("/", "next")]
        return world.bootstrap(
            [world.listener("main", port, routes, tls=tls, filters=filters)],
            [cluster(f"127.0.0.1:{target}", name="next", **onward)],
        )

    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "saw "}},
        "response_headers_to_add": [
            {"header": {"key": "x-upstream", "value": "%REQ(x-saw)% %PROTOCOL%"}}
        ],
    }
    documents = {
        "last": world.bootstrap([world.listener("main", last, [answer], tls=secure)], []),
        "middle": hop(middle, secure, last, world.python_filters()),
        "first": hop(first, None, middle, []),
    }
    files = {}
    for name, document in documents.items():
        files[name] = tmp_path / f"{name}.json"
        files[name].write_text(json.dumps(document))
        (tmp_path / name).mkdir()
    with (
        Envoy(files["last"], tmp_path / "last"),
        Command("run", "-c", str(files["middle"])) as command,
        Envoy(files["first"], tmp_path / "first"),
    ):
        assert command.address
        yield first


def test_envoy_stands_in_front_and_behind_over_http2_and_mtls(place: Place, envoys: int) -> None:
    headers, body = curl(place, f"http://127.0.0.1:{envoys}/x")
    assert headers[":"].split()[1] == "200"
    assert body == b"saw "
    assert headers["x-upstream"] == "set http/2"
    assert (headers["x-mark"], headers["x-protocol"]) == ("set", "http/2")
