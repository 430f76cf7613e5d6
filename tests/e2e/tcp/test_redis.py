"""redis_guard in front of a real redis-server, with redis-py as the client."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import moebridge as mb
from moebridge_plugins.redis_guard import RedisGuard

from ..conftest import ProxyMaker
from .servers import connect

ClientMaker = Callable[..., Any]
DENIED = r"command '.*' is not allowed"


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A redis-server; its address."""
    folder: Path = tmp_path_factory.mktemp("redis")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "Ready to accept connections" in line:
            break
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    reader.start()
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait(30)
    reader.join(30)
    process.stdout.close()


@pytest.fixture(params=[2, 3])
def client(
    request: pytest.FixtureRequest, make_proxy: ProxyMaker, redis_server: str
) -> Iterator[Any]:
    """A client of each protocol version, through the filter."""
    proxy = make_proxy(RedisGuard(), upstream=redis_server)
    host, _, port = proxy.addresses["main"].rpartition(":")
    with redis.Redis(host=host, port=int(port), protocol=request.param) as made:
        setattr(made, "proxy", proxy)  # noqa: B010  (for the tests; the class has no such name)
        yield made
        direct_host, _, direct_port = redis_server.rpartition(":")
        with redis.Redis(host=direct_host, port=int(direct_port)) as direct:
            direct.flushall()


def test_commands_pass_and_dangerous_ones_do_not(client: Any) -> None:
    assert client.set("a", "1")
    assert client.get("a") == b"1"
    for call in (client.flushall, client.flushdb, client.config_get, client.keys, client.save):
        with pytest.raises(redis.ResponseError, match=DENIED):
            call()
    with pytest.raises(redis.ResponseError, match=DENIED):
        client.execute_command("CONFIG", "SET", "dir", "/")
    assert client.get("a") == b"1"


def test_replies_of_a_pipeline_stay_in_order(client: Any) -> None:
    with client.pipeline(transaction=False) as pipe:
        for index in range(200):
            if index % 3 == 1:
                pipe.keys("*")
            else:
                pipe.set(f"k{index}", index)
                pipe.get(f"k{index}")
        found = pipe.execute(raise_on_error=False)
    at = 0
    for index in range(200):
        if index % 3 == 1:
            assert isinstance(found[at], redis.ResponseError)
            at += 1
        else:
            assert found[at : at + 2] == [True, str(index).encode()]
            at += 2
    assert at == len(found)


def test_a_transaction_with_a_denied_command_changes_nothing(client: Any) -> None:
    client.set("n", 1)
    with client.pipeline(transaction=True) as pipe:
        pipe.incr("n")
        pipe.flushall()
        pipe.incr("n")
        with pytest.raises(redis.ResponseError, match=DENIED):
            pipe.execute()
    assert client.get("n") == b"1"
    with client.pipeline(transaction=True) as pipe:
        pipe.incr("n")
        pipe.incr("n")
        assert pipe.execute() == [2, 3]


def test_subscriptions_get_their_messages(client: Any) -> None:
    with client.pubsub() as subscriber:
        subscriber.subscribe("a", "b")
        subscriber.psubscribe("c*")
        kinds = [subscriber.get_message(timeout=20)["type"] for _ in range(3)]
        assert kinds == ["subscribe", "subscribe", "psubscribe"]
        for channel in ("a", "b", "cc"):
            client.publish(channel, f"to {channel}")
        found = [subscriber.get_message(timeout=20) for _ in range(3)]
        assert [item["data"] for item in found] == [b"to a", b"to b", b"to cc"]
        subscriber.unsubscribe()
        kinds = [subscriber.get_message(timeout=20)["type"] for _ in range(2)]
        assert kinds == ["unsubscribe", "unsubscribe"]
        client.publish("cx", "more")
        assert subscriber.get_message(timeout=20)["data"] == b"more"


def test_large_values_pass_both_ways(client: Any) -> None:
    value = bytes(range(256)) * (10 * 1024 * 1024 // 256)
    assert client.set("large", value)
    assert client.get("large") == value
    with client.pipeline(transaction=False) as pipe:
        pipe.set("large", value[:-1])
        pipe.execute_command("CONFIG", "SET", "dir", value)
        pipe.get("large")
        found = pipe.execute(raise_on_error=False)
    assert found[0] is True
    assert isinstance(found[1], redis.ResponseError)
    assert found[2] == value[:-1]


def test_commands_are_counted_by_name(client: Any) -> None:
    client.set("a", "1")
    client.get("a")
    client.get("a")
    with pytest.raises(redis.ResponseError):
        client.flushall()
    text = client.proxy.prometheus()

    def count(metric: str, command: str) -> int:
        found = re.search(rf'RedisGuard_{metric}{{command="{command}"}} (\d+)', text)
        assert found is not None, text
        return int(found[1])

    assert count("commands", "GET") == 2
    assert count("denied", "FLUSHALL") == 1


def test_blocking_commands_let_errors_wait(make_proxy: ProxyMaker, redis_server: str) -> None:
    proxy = make_proxy(RedisGuard(), upstream=redis_server)
    with connect(proxy.addresses["main"]) as peer, connect(redis_server) as other:
        peer.sendall(b"BLPOP queue 0\r\nKEYS *\r\nPING\r\n")
        other.sendall(b"PUSHED\r\nLPUSH queue x\r\n")
        found = b""
        while not found.endswith(b"+PONG\r\n"):
            found += peer.recv(4096)
    error = b"-ERR command 'KEYS' is not allowed\r\n"
    assert found == b"*2\r\n$5\r\nqueue\r\n$1\r\nx\r\n" + error + b"+PONG\r\n"


def test_garbage_gets_redis_own_words(make_proxy: ProxyMaker, redis_server: str) -> None:
    proxy = make_proxy(mb.options(RedisGuard(), name="guard"), upstream=redis_server)
    with connect(proxy.addresses["main"]) as peer:
        peer.sendall(b"PING\r\n*1\r\n!x\r\nPING\r\n")
        found = b""
        while piece := peer.recv(4096):
            found += piece
    assert found == b"+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n"
