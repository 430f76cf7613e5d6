"""What clients of gRPC get when the proxy or a filter answers, and what the access log says."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from tests.e2e.grpc.conftest import GrpcProxyMaker
from tests.e2e.grpc.service import WAIT_S, Calls, Service, metadata_of
from tests.e2e.support.client import RawClient
from tests.e2e.support.envoy_config import access_log

Refused = grpc.RpcError


def refusal(calls: Calls, *metadata: tuple[str, str], method: str = "Unary") -> grpc.Call:
    """Makes a call that fails."""
    call = calls.channel.unary_unary(f"/test.Service/{method}")
    with pytest.raises(Refused) as caught:
        call(b"x" * 100_000, metadata=metadata, timeout=WAIT_S)
    assert isinstance(caught.value, grpc.Call)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, grpc.StatusCode.INTERNAL),
        (401, grpc.StatusCode.UNAUTHENTICATED),
        (403, grpc.StatusCode.PERMISSION_DENIED),
        (404, grpc.StatusCode.UNIMPLEMENTED),
        (429, grpc.StatusCode.UNAVAILABLE),
        (500, grpc.StatusCode.UNKNOWN),
        (503, grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_refusal_of_a_python_filter(calls: Calls, status: int, code: grpc.StatusCode) -> None:
    call = refusal(calls, ("x-refuse", str(status)))
    assert call.code() is code
    assert call.details() == "refused: 50%\n"
    assert metadata_of(call.initial_metadata() or call.trailing_metadata())


def test_connection_is_good_after_refusals(calls: Calls) -> None:
    for _ in range(20):
        refusal(calls, ("x-refuse", "403"))
        assert calls.unary(b"y" * 100_000, timeout=WAIT_S) == b"y" * 100_000


def test_timeout_of_a_route(service: Service, start_proxy: GrpcProxyMaker) -> None:
    proxy = start_proxy(service.address, route={"timeout": "0.1s"})
    with Calls(proxy.addresses["main"]) as calls:
        call = refusal(calls, ("x-id", "r"), method="Hang")
    assert call.code() is grpc.StatusCode.UNAVAILABLE
    assert call.details() == "upstream request timeout"
    assert service.seen["r"].over.wait(WAIT_S)


def test_no_route(service: Service, start_proxy: GrpcProxyMaker) -> None:
    proxy = start_proxy(service.address, route={"prefix": "/other"})
    with Calls(proxy.addresses["main"]) as calls:
        assert refusal(calls).code() is grpc.StatusCode.UNIMPLEMENTED


def test_access_log_has_the_status(
    service: Service, start_proxy: GrpcProxyMaker, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    text = "%RESPONSE_CODE% %GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%\n"
    proxy = start_proxy(service.address, hcm={"access_log": [access_log(log, text)]})
    with Calls(proxy.addresses["main"]) as calls:
        calls.unary(b"", timeout=WAIT_S)
        refusal(calls, method="Fail")
        refusal(calls, ("x-refuse", "401"))
    proxy.stop()
    assert log.read_text("ascii").splitlines() == [
        "200 OK OK 0",
        "200 NotFound NOT_FOUND 5",
        "200 Unauthenticated UNAUTHENTICATED 16",
    ]


def test_streams_outlive_the_default_request_timeout(
    service: Service, start_proxy: GrpcProxyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that is no gRPC, begun later, runs into it first."""
    monkeypatch.setattr("moebridge.config.lower_hcm.REQUEST_TIMEOUT_MS", 100)
    proxy = start_proxy(service.address)
    outbox: queue.Queue[bytes | None] = queue.Queue()
    with Calls(proxy.addresses["main"]) as calls:
        call = calls.echo(iter(outbox.get, None), timeout=100)
        outbox.put(b"one")
        assert next(call) == b"one"
        with RawClient(proxy.addresses["main"]) as client:
            client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf")
            assert client.read_response().status == 408
        outbox.put(b"two")
        assert next(call) == b"two"
        outbox.put(None)
        assert list(call) == []


def test_request_timeout_of_the_file_is_of_grpc_too(
    service: Service, start_proxy: GrpcProxyMaker
) -> None:
    proxy = start_proxy(service.address, hcm={"request_timeout": "0.1s"})
    outbox: queue.Queue[bytes | None] = queue.Queue()
    with Calls(proxy.addresses["main"]) as calls:
        call = calls.count.future(iter(outbox.get, None), timeout=100)
        error: Any = call.exception(WAIT_S)
        assert error.code() is grpc.StatusCode.UNKNOWN
        assert call.details() == "request timeout"
        outbox.put(None)
