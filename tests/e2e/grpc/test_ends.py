"""How calls end before they are done: deadlines, cancellations, aborts, servers that are gone."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import pytest
from tests.e2e.grpc.conftest import GrpcProxyMaker
from tests.e2e.grpc.service import WAIT_S, Calls, Service

import moebridge as mb

ROOT = Path(__file__).resolve().parents[3]
#: A service in a process of its own, which a test can kill.
SERVER = """
import sys
from tests.e2e.grpc.service import Service
with Service() as service:
    print(service.address, flush=True)
    sys.stdin.read()
"""


def ended_with(call: object) -> grpc.StatusCode:
    """The status of a call that failed."""
    assert isinstance(call, grpc.Call)
    code = call.code()
    assert isinstance(code, grpc.StatusCode)
    return code


def await_no_streams(proxy: mb.Proxy) -> None:
    """Waits until the proxy has none; fails after WAIT_S."""
    end = time.monotonic() + WAIT_S
    names = ("http.ingress.downstream_rq_active", "cluster.backend.upstream_rq_active")
    while True:
        stats = proxy.stats()
        if all(stats[name] == 0 for name in names):
            return
        assert time.monotonic() < end, {name: stats[name] for name in names}
        threading.Event().wait(0.01)


def test_deadline_reaches_the_server_and_ends_its_call(
    calls: Calls, service: Service, proxy: mb.Proxy
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        calls.hang(b"", metadata=(("x-id", "d"),), timeout=1)
    assert ended_with(caught.value) is grpc.StatusCode.DEADLINE_EXCEEDED
    seen = service.seen["d"]
    assert seen.over.wait(WAIT_S)
    assert seen.time_left is not None
    assert 0 < seen.time_left < 1.1  # the client rounds up what it tells
    await_no_streams(proxy)


def test_cancelled_call_is_cancelled_at_the_server(
    calls: Calls, service: Service, proxy: mb.Proxy
) -> None:
    call = calls.hang.future(b"", metadata=(("x-id", "c"),), timeout=100)
    seen = service.seen["c"]
    assert seen.began.wait(WAIT_S)
    assert not seen.over.is_set()
    call.cancel()
    assert seen.over.wait(WAIT_S)
    await_no_streams(proxy)
    assert calls.unary(b"next", timeout=WAIT_S) == b"next"


def test_cancelled_stream_is_cancelled_at_the_server(
    calls: Calls, service: Service, proxy: mb.Proxy
) -> None:
    call = calls.trickle(b"first", metadata=(("x-id", "t"),), timeout=100)
    assert next(call) == b"first"
    call.cancel()
    assert service.seen["t"].over.wait(WAIT_S)
    with pytest.raises(grpc.RpcError):
        next(call)
    assert call.code() is grpc.StatusCode.CANCELLED
    await_no_streams(proxy)


def test_channel_that_closes_cancels_its_calls(service: Service, proxy: mb.Proxy) -> None:
    with Calls(proxy.addresses["main"]) as client:
        call = client.trickle(b"first", metadata=(("x-id", "h"),), timeout=100)
        assert next(call) == b"first"
    assert service.seen["h"].over.wait(WAIT_S)
    await_no_streams(proxy)


def test_server_aborts_in_the_middle_of_a_stream(calls: Calls, proxy: mb.Proxy) -> None:
    outbox: queue.Queue[bytes | None] = queue.Queue()

    def messages() -> Iterator[bytes]:
        while (message := outbox.get(timeout=WAIT_S)) is not None:
            yield message

    call = calls.echo(messages(), timeout=100)
    outbox.put(b"one")
    assert next(call) == b"one"
    outbox.put(b"abort")
    with pytest.raises(grpc.RpcError):
        next(call)
    assert call.code() is grpc.StatusCode.ABORTED
    assert call.details() == "as asked"
    outbox.put(None)
    await_no_streams(proxy)


def test_server_that_answers_before_the_request_ends(calls: Calls, proxy: mb.Proxy) -> None:
    """The trailers end the call although the client would send on."""
    ended = threading.Event()

    def messages() -> Iterator[bytes]:
        yield b"abort"
        ended.wait(WAIT_S)

    call = calls.echo(messages(), timeout=100)
    with pytest.raises(grpc.RpcError):
        next(call)
    assert call.code() is grpc.StatusCode.ABORTED
    await_no_streams(proxy)
    ended.set()


def test_server_that_dies_in_the_middle_of_a_stream(start_proxy: GrpcProxyMaker) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        proxy = start_proxy(server.stdout.readline().strip())
        with Calls(proxy.addresses["main"]) as client:
            call = client.trickle(b"first", timeout=100)
            assert next(call) == b"first"
            server.send_signal(signal.SIGKILL)
            with pytest.raises(grpc.RpcError):
                next(call)
            # The response has begun, it can only be reset: INTERNAL_ERROR, as Envoy.
            assert call.code() is grpc.StatusCode.INTERNAL
            # Nobody listens there any more: the proxy's own answer.
            with pytest.raises(grpc.RpcError) as caught:
                client.unary(b"", timeout=WAIT_S)
            assert ended_with(caught.value) is grpc.StatusCode.UNAVAILABLE
            assert isinstance(caught.value, grpc.Call)
            assert "upstream connect error" in (caught.value.details() or "")
        await_no_streams(proxy)


def test_proxy_that_stops_ends_calls(service: Service, start_proxy: GrpcProxyMaker) -> None:
    proxy = start_proxy(service.address)
    with Calls(proxy.addresses["main"]) as client:
        call = client.trickle(b"first", metadata=(("x-id", "p"),), timeout=100)
        assert next(call) == b"first"
        stopper = threading.Thread(target=proxy.stop)
        stopper.start()
        with pytest.raises(grpc.RpcError):
            next(call)
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        stopper.join(60)
    assert service.seen["p"].over.wait(WAIT_S)
