"""The four kinds of calls, from a real client to a real server, through Python filters."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import grpc  # type: ignore[import-untyped]
import pytest
from tests.e2e.grpc.service import WAIT_S, Calls, Service, metadata_of

MIB = 1 << 20
HEAD = 5  # of a message


def counted(call: grpc.Call) -> str:
    """What the body filter counted of a call that is over."""
    return str(metadata_of(call.trailing_metadata())["x-counted"])


def test_unary_call_with_metadata_both_ways(calls: Calls, service: Service) -> None:
    sent = (("x-id", "u"), ("x-text", "a b"), ("x-raw-bin", b"\0\xff\x80"))
    answer, call = calls.unary.with_call(b"hello", metadata=sent, timeout=WAIT_S)
    assert answer == b"hello"
    seen = service.seen["u"].metadata
    assert (seen["x-text"], seen["x-raw-bin"]) == ("a b", b"\0\xff\x80")
    assert seen["x-marked"] == "request"
    initial = metadata_of(call.initial_metadata())
    assert (initial["x-initial"], initial["x-bytes-bin"]) == ("1", b"\0\xff")
    assert initial["x-marked"] == "response"
    trailing = metadata_of(call.trailing_metadata())
    assert (trailing["x-trailing"], trailing["x-last-bin"]) == ("2", b"\xfe\0")
    assert counted(call) == f"{HEAD + 5} {HEAD + 5}"
    assert call.code() is grpc.StatusCode.OK


def test_message_without_bytes(calls: Calls) -> None:
    answer, call = calls.unary.with_call(b"", timeout=WAIT_S)
    assert answer == b""
    assert counted(call) == f"{HEAD} {HEAD}"


def test_large_messages_both_ways(calls: Calls) -> None:
    message = bytes(range(256)) * (MIB // 256)
    answer, call = calls.unary.with_call(message, timeout=60)
    assert answer == message
    assert counted(call) == f"{HEAD + MIB} {HEAD + MIB}"


def test_server_streams(calls: Calls) -> None:
    call = calls.repeat(b"m" * 1000, metadata=(("x-count", "500"),), timeout=60)
    assert list(call) == [b"m" * 1000] * 500
    assert counted(call) == f"{HEAD + 1000} {500 * (HEAD + 1000)}"


def test_server_streams_large_messages(calls: Calls) -> None:
    call = calls.repeat(b"m" * MIB, metadata=(("x-count", "8"),), timeout=60)
    assert [len(message) for message in call] == [MIB] * 8


def test_server_streams_nothing(calls: Calls) -> None:
    call = calls.repeat(b"", metadata=(("x-count", "0"),), timeout=WAIT_S)
    assert list(call) == []
    assert counted(call) == f"{HEAD} 0"


def test_client_streams(calls: Calls) -> None:
    answer, call = calls.count.with_call(iter([b"m" * 1000] * 500), timeout=60)
    assert answer == b"500 500000"
    assert counted(call) == f"{500 * (HEAD + 1000)} {HEAD + len(answer)}"


def test_client_streams_large_messages(calls: Calls) -> None:
    assert calls.count(iter([b"m" * MIB] * 8), timeout=60) == b"8 %d" % (8 * MIB)


def test_messages_go_one_by_one_in_both_directions(calls: Calls) -> None:
    """Each message is sent when the answer to the one before has come: nothing may wait."""
    outbox: queue.Queue[bytes | None] = queue.Queue()

    def messages() -> Iterator[bytes]:
        while (message := outbox.get(timeout=WAIT_S)) is not None:
            yield message

    call = calls.echo(messages(), timeout=60)
    sent = 0
    for length in [0, 1, 100, 10_000, 65_536, 1, MIB, 0, 7]:
        outbox.put(b"x" * length)
        assert next(call) == b"x" * length
        sent += HEAD + length
    outbox.put(None)
    assert list(call) == []
    assert counted(call) == f"{sent} {sent}"


def test_error_with_details(calls: Calls) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        calls.fail(b"x", timeout=WAIT_S)
    call = caught.value
    assert isinstance(call, grpc.Call)
    assert call.code() is grpc.StatusCode.NOT_FOUND
    assert call.details() == "nichts über 100%\n"
    assert metadata_of(call.trailing_metadata())["grpc-status-details-bin"] == b"\x08\x05"


def test_unknown_method_is_the_servers_to_refuse(calls: Calls) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        calls.channel.unary_unary("/test.Service/Nothing")(b"", timeout=WAIT_S)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_compressed_messages(calls: Calls, service: Service, size: int) -> None:
    metadata = (("x-id", "z"),)
    message = b"z" * size
    gzip = grpc.Compression.Gzip
    assert calls.unary(message, metadata=metadata, compression=gzip, timeout=WAIT_S) == message
    assert service.seen["z"].messages == [message]


def test_many_calls_on_one_channel(calls: Calls) -> None:
    pending = [
        calls.unary.future(b"%d" % i, metadata=(("x-id", str(i)),), timeout=60) for i in range(100)
    ]
    assert [call.result(WAIT_S) for call in pending] == [b"%d" % i for i in range(100)]


def test_many_streams_at_the_same_time(calls: Calls, service: Service) -> None:
    """All are open before the first of them goes on."""
    outboxes: list[queue.Queue[bytes | None]] = [queue.Queue() for _ in range(50)]

    def messages(outbox: queue.Queue[bytes | None]) -> Iterator[bytes]:
        while (message := outbox.get(timeout=60)) is not None:
            yield message

    streams = [
        calls.echo(messages(outbox), metadata=(("x-id", f"s{i}"),), timeout=100)
        for i, outbox in enumerate(outboxes)
    ]
    for i in range(50):
        assert service.seen[f"s{i}"].began.wait(WAIT_S)
    for round_ in range(3):
        for i, outbox in enumerate(outboxes):
            outbox.put(b"%d %d" % (round_, i))
        for i, stream in enumerate(streams):
            assert next(stream) == b"%d %d" % (round_, i)
    for outbox in outboxes:
        outbox.put(None)
    for stream in streams:
        assert list(stream) == []
