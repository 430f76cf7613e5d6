"""The same file of filters, as it is and compiled with Cython, does the same."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import moebridge as mb

from ..conftest import ProxyMaker
from ..support.client import RawClient, fetch
from ..support.upstream import Upstream

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "compiled_filter"
KINDS = ["as it is", "compiled"]
Load = Callable[[str], ModuleType]

#: What may differ between the interpreter's functions and Cython's: each is a hook here.
HOOKS = '''
from __future__ import annotations

import asyncio

import moebridge as mb


class Raises(mb.HttpFilter):
    def on_request_headers(self, stream: mb.Stream) -> None:
        raise ValueError(stream.request.path)


class Keeps(mb.HttpFilter):
    def on_load(self) -> None:
        self.kept: list[mb.Stream] = []

    def on_request_headers(self, stream: mb.Stream) -> None:
        self.kept.append(stream)

    def path(self, stream: mb.Stream) -> str:
        return stream.request.headers["host"]


class Waits(mb.HttpFilter):
    def on_worker_start(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []

    async def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        path = stream.request.path
        self.begun.append(path)
        try:
            await (asyncio.Event().wait() if path == "/wait" else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled.append(path)
            raise
        stream.request.headers["x-waited"] = stream.request.headers["x-who"]
        return stream.respond(403) if path == "/no" else None


class Leaves(mb.HttpFilter):
    """Its stream is gone when its coroutine comes to its first wait."""

    def on_request_headers(self, stream: mb.Stream) -> object:
        stream.reset()
        return self.later()

    async def later(self) -> None:
        await asyncio.get_running_loop().create_future()


class Trailers(mb.HttpFilter):
    async def on_complete(self, stream: mb.Stream) -> None:
        await asyncio.sleep(0)
        self.seen = (dict(stream.request.trailers), stream.response.headers["x-t"], stream.state)

    def on_response_headers(self, stream: mb.Stream) -> None:
        stream.response.headers["x-t"] = "1"
        stream.state["a"] = 1


class Looks(mb.HttpFilter):
    def on_load(self) -> None:
        self.found = 0

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        self.found += data.count(b"o") + len(memoryview(data))
'''


def compile_in(folder: Path) -> None:
    command = [sys.executable, "-W", "error", "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Unknown type" not in done.stdout + done.stderr  # a type without its declaration


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example and HOOKS, both compiled by the example's setup.py."""
    folder = tmp_path_factory.mktemp("compiled")
    for file in EXAMPLE.iterdir():
        if file.suffix in {".py", ".pxd"}:
            shutil.copy(file, folder)
    (folder / "hooks.py").write_text(HOOKS)
    (folder / "hooks.pxd").write_text("cimport moebridge as mb\n")
    setup = folder / "setup.py"
    setup.write_text(setup.read_text().replace('"digest_filter.py"', '"[dh]*.py"'))
    compile_in(folder)
    return folder


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def load(compiled: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> Load:
    def load_(name: str) -> ModuleType:
        suffix = EXTENSION_SUFFIXES[0] if kind == "compiled" else ".py"
        loader = (ExtensionFileLoader if kind == "compiled" else SourceFileLoader)(
            name, str(compiled / f"{name}{suffix}")
        )
        spec = importlib.util.spec_from_loader(name, loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        loader.exec_module(module)
        assert module.__file__ is not None
        assert module.__file__.endswith(suffix)
        return module

    return load_


def address_of(proxy: mb.Proxy) -> str:
    return proxy.addresses["main"]


@pytest.mark.parametrize("body", [b"", b"hello", bytes(range(256)) * 400], ids=len)
def test_example_hashes_bodies(
    load: Load, kind: str, make_proxy: ProxyMaker, upstream: Upstream, body: bytes
) -> None:
    expected = 0x811C9DC5
    for byte in body:
        expected = ((expected ^ byte) * 0x01000193) % 2**32
    address = address_of(make_proxy(load("digest_filter").Digest()))
    answer = fetch(address, "/", method="POST", body=body)
    assert answer.status == 200
    assert answer.get("x-digest-from") == ("so" if kind == "compiled" else "py")
    assert upstream.requests[0].body == body
    assert upstream.requests[0].get("x-body-digest") == f"{expected:08x}"


def test_example_reads_its_configuration(
    load: Load, make_proxy: ProxyMaker, upstream: Upstream
) -> None:
    digest = load("digest_filter").Digest
    address = address_of(make_proxy(digest(header="x-other", required="X-Key")))
    assert fetch(address).body == b"no X-Key\n"
    assert fetch(address, fields=[("x-key", "1")]).status == 200
    assert [request.get("x-other") for request in upstream.requests] == ["811c9dc5"]
    with pytest.raises(mb.ConfigError, match="header: expected str, got int"):
        digest(header=1)


def test_annotations_of_the_compiled_file_are_types(load: Load, kind: str) -> None:
    hook = load("digest_filter").Digest(required="x").on_request_headers
    with pytest.raises(
        TypeError if kind == "compiled" else AttributeError, match=r"stream|request"
    ):
        hook("no stream")


def test_bodies_are_read_by_a_compiled_file(load: Load, make_proxy: ProxyMaker) -> None:
    looks = load("hooks").Looks()
    answer = fetch(address_of(make_proxy(looks)))
    assert looks.found == answer.body.count(b"o") + len(answer.body) > 0


def test_exception_in_a_hook_is_told_with_its_line(
    load: Load, make_proxy: ProxyMaker, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = make_proxy(load("hooks").Raises())
    assert fetch(address_of(proxy), "/here").status == 500
    assert proxy.stats()["py.Raises.errors"] == 1
    line = 1 + HOOKS.splitlines().index("        raise ValueError(stream.request.path)")
    (shown,) = [record.getMessage() + (record.exc_text or "") for record in caplog.records]
    assert "ValueError: /here" in shown
    assert f'hooks.py", line {line}, in ' in shown


def test_kept_stream_is_gone_after_its_end(load: Load, make_proxy: ProxyMaker) -> None:
    filter_ = load("hooks").Keeps()
    proxy = make_proxy(filter_)
    assert fetch(address_of(proxy)).status == 200
    proxy.stop()
    with pytest.raises(mb.StreamGone):
        filter_.path(filter_.kept[0])


def test_async_hook_waits_changes_and_answers(
    load: Load, make_proxy: ProxyMaker, upstream: Upstream
) -> None:
    address = address_of(make_proxy(load("hooks").Waits()))
    for path, status in (("/", 200), ("/no", 403)):
        assert fetch(address, path, fields=[("x-who", "ann")]).status == status
    assert [request.get("x-waited") for request in upstream.requests] == ["ann"]


def test_async_hook_is_cancelled_when_the_client_goes(load: Load, make_proxy: ProxyMaker) -> None:
    filter_ = load("hooks").Waits()
    proxy = make_proxy(filter_)
    with RawClient(address_of(proxy)) as client:
        client.send(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        until(lambda: filter_.begun == ["/wait"])
        client.abort()
    until(lambda: filter_.cancelled == ["/wait"])


def test_coroutine_whose_stream_is_gone_is_closed(load: Load, make_proxy: ProxyMaker) -> None:
    said: list[str] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda args: said.append(str(args.exc_value))
    try:
        proxy = make_proxy(load("hooks").Leaves())
        with RawClient(address_of(proxy)) as client:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert client.is_closed()
        proxy.stop()
    finally:
        sys.unraisablehook = hook
    assert said == []


def test_async_on_complete_has_a_frozen_copy(load: Load, make_proxy: ProxyMaker) -> None:
    filter_: Any = load("hooks").Trailers()
    proxy = make_proxy(filter_)
    assert fetch(address_of(proxy)).status == 200
    proxy.stop()
    assert filter_.seen == ({}, "1", {"a": 1})


def until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(1000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it never came true")
