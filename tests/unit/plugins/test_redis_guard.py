"""redis_guard against a server that answers as Redis does, in pieces of any size."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import moebridge as mb
from moebridge_plugins.redis_guard import RedisGuard, Session


class Counter:
    """Stands for a counter."""

    def __init__(self) -> None:
        self.count = 0

    def inc(self) -> None:
        self.count += 1


class Data:
    """Stands for a Buffer."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __bytes__(self) -> bytes:
        return self.data

    def replace(self, data: bytes) -> None:
        self.data = data

    def drain(self, length: int) -> None:
        self.data = self.data[length:]


class Conn:
    """Stands for a Connection; what the client gets is in `client`."""

    def __init__(self) -> None:
        self.state = Session()
        self.client = b""
        self.closed = ""

    def write(self, data: bytes) -> None:
        self.client += data

    def close(self, how: str = "flush", *, details: str) -> None:
        self.closed = f"{how} {details}"


class Guard:
    """A client, the filter, and what reached the server."""

    def __init__(self, **config: Any) -> None:
        made: Any = RedisGuard(**config)
        self.made = made
        self.counters: dict[str, Counter] = {}
        self.made.counter = self._counter
        self.made.on_load()
        self.conn: Any = Conn()
        self.server = b""

    def _counter(self, name: str, labels: dict[str, str] | None = None) -> Counter:
        key = name if labels is None else f"{name}:{labels['command']}"
        return self.counters.setdefault(key, Counter())

    def send(self, data: bytes) -> None:
        piece = Data(data)
        self.made.on_data(self.conn, piece)
        self.server += piece.data

    def answer(self, data: bytes) -> None:
        piece = Data(data)
        self.made.on_write(self.conn, piece)
        self.conn.client += piece.data


def bulk(*words: str) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words]
    return b"".join(parts)


def error(name: str) -> bytes:
    return f"-ERR command '{name}' is not allowed\r\n".encode()


def test_a_denied_command_is_answered_and_never_seen_by_the_server() -> None:
    guard = Guard()
    guard.send(bulk("FLUSHALL"))
    assert guard.server == b""
    assert guard.conn.client == error("FLUSHALL")
    assert guard.counters["denied:FLUSHALL"].count == 1


# What the server answers to each command that it may get.
ANSWERS = {
    "GET": b"$5\r\nhello\r\n",
    "PING": b"+PONG\r\n",
    "LRANGE": b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
    "INCR": b":12\r\n",
    "BAD": b"-ERR unknown\r\n",
    "HGETALL": b"%1\r\n+k\r\n$-1\r\n",
}
DENIED = ("FLUSHALL", "KEYS", "CONFIG", "SHUTDOWN")


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in [*sizes, len(data)]:
        if data:
            pieces.append(data[: max(size, 1)])
            data = data[max(size, 1) :]
    return pieces


@given(
    names=st.lists(st.sampled_from([*ANSWERS, *DENIED]), max_size=8),
    sizes=st.lists(st.integers(1, 40), max_size=12),
    reply_sizes=st.lists(st.integers(1, 12), max_size=20),
    lag=st.integers(0, 8),
    singly=st.booleans(),
)
def test_replies_come_in_the_order_of_the_commands(
    names: list[str], sizes: list[int], reply_sizes: list[int], lag: int, singly: bool
) -> None:
    guard = Guard()
    wire = b"".join(bulk(name, "x") for name in names)
    pieces = [wire[i : i + 1] for i in range(len(wire))] if singly else pieces_of(wire, sizes)
    pending: list[bytes] = []
    served = 0

    def serve(some: int) -> None:
        for piece in pending[:some]:
            guard.answer(piece)
        del pending[:some]

    for piece in pieces:
        guard.send(piece)
        passed = [n for n in names if n in ANSWERS and bulk(n, "x")]
        got = guard.server.count(b"*2\r\n")
        if guard.server.endswith(b"$1\r\nx\r\n") and got > served:
            text = b"".join(ANSWERS[n] for n in passed[served:got])
            served = got
            pending += (
                [text[i : i + 1] for i in range(len(text))]
                if singly
                else pieces_of(text, reply_sizes)
            )
        serve(max(len(pending) - lag, 0))
    serve(len(pending))
    assert guard.server == b"".join(bulk(n, "x") for n in names if n in ANSWERS)
    assert guard.conn.client == b"".join(ANSWERS.get(n) or error(n) for n in names)
    assert guard.conn.state.order.is_idle


def test_a_large_value_of_a_denied_command_is_not_held() -> None:
    guard = Guard(also_deny=["SET"])
    guard.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n")
    for _ in range(10):
        guard.send(b"v" * 100_000)
        assert guard.conn.state.commands.tail == b""
    guard.send(b"\r\n" + bulk("PING"))
    assert guard.server == bulk("PING")
    assert guard.conn.client == error("SET")


def test_a_push_message_is_not_torn_apart() -> None:
    guard = Guard()
    guard.send(bulk("HELLO", "3"))
    guard.answer(b"%1\r\n+proto\r\n:3\r\n")
    guard.answer(b">3\r\n$7\r\nmess")
    guard.send(bulk("KEYS", "*"))
    assert error("KEYS") not in guard.conn.client
    guard.answer(b"age\r\n$1\r\nc\r\n$1\r\nm\r\n")
    assert guard.conn.client.endswith(b"$1\r\nm\r\n" + error("KEYS"))


def confirm(word: str, channel: str, count: int, kind: bytes = b"*") -> bytes:
    return kind + b"3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n:%d\r\n" % (
        len(word),
        word.encode(),
        len(channel),
        channel.encode(),
        count,
    )


@pytest.mark.parametrize("kind", [b"*", b">"])
def test_subscribing_has_a_confirmation_for_each_channel(kind: bytes) -> None:
    guard = Guard()
    if kind == b">":
        guard.send(bulk("HELLO", "3"))
        guard.answer(b"%0\r\n")
    guard.send(bulk("SUBSCRIBE", "a", "b") + bulk("FLUSHALL") + bulk("UNSUBSCRIBE"))
    guard.send(bulk("FLUSHDB") + bulk("PING"))
    message = kind + b"3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
    guard.answer(confirm("subscribe", "a", 1, kind))
    guard.answer(message)
    assert error("FLUSHALL") not in guard.conn.client
    guard.answer(confirm("subscribe", "b", 2, kind))
    assert guard.conn.client.endswith(error("FLUSHALL"))
    guard.answer(message + confirm("unsubscribe", "a", 1, kind))
    guard.answer(confirm("unsubscribe", "b", 0, kind))
    assert guard.conn.client.endswith(error("FLUSHDB"))
    guard.answer(b"+PONG\r\n")
    assert guard.conn.state.order.is_idle


def test_a_refused_subscription_is_one_reply() -> None:
    guard = Guard()
    guard.send(bulk("SUBSCRIBE", "a", "b") + bulk("FLUSHALL"))
    guard.answer(b"-NOPERM no\r\n")
    assert guard.conn.client == b"-NOPERM no\r\n" + error("FLUSHALL")


@pytest.mark.parametrize("singly", [False, True])
def test_a_transaction_with_a_denied_command_is_aborted(singly: bool) -> None:
    guard = Guard()
    guard.send(bulk("MULTI") + bulk("SET", "a", "1") + bulk("FLUSHALL") + bulk("EXEC"))
    guard.send(bulk("GET", "a"))
    want = bulk("MULTI") + bulk("SET", "a", "1") + bulk("DISCARD") + bulk("GET", "a")
    assert guard.server == want
    reply = b"+OK\r\n+QUEUED\r\n+OK\r\n$-1\r\n"
    for piece in [reply[i : i + 1] for i in range(len(reply))] if singly else [reply]:
        guard.answer(piece)
    abort = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
    assert guard.conn.client == b"+OK\r\n+QUEUED\r\n" + error("FLUSHALL") + abort + b"$-1\r\n"


def test_a_clean_transaction_passes() -> None:
    guard = Guard()
    wire = bulk("MULTI") + bulk("INCR", "a") + bulk("EXEC") + bulk("FLUSHALL")
    guard.send(wire)
    assert guard.server == wire.removesuffix(bulk("FLUSHALL"))
    guard.answer(b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n")
    assert guard.conn.client == b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n" + error("FLUSHALL")


def test_a_protocol_error_is_answered_in_its_place_and_ends_the_connection() -> None:
    guard = Guard()
    guard.send(bulk("PING") + b"*1\r\n+GET\r\n" + bulk("PING"))
    assert guard.server == bulk("PING")
    assert guard.conn.closed == ""
    guard.answer(b"+PONG\r\n")
    assert guard.conn.client == b"+PONG\r\n-ERR Protocol error: expected '$', got '+'\r\n"
    assert guard.conn.closed == "flush redis_guard_protocol_error"
    guard.send(bulk("PING"))
    assert guard.server == bulk("PING")


def test_rules_name_commands_and_subcommands_in_any_case() -> None:
    guard = Guard(deny=["config|Set", "client|kill"])
    guard.send(
        bulk("CONFIG", "get", "a") + bulk("config", "set", "a", "b") + bulk("Client", "KILL")
    )
    assert guard.server == bulk("CONFIG", "get", "a")
    assert [guard.counters[f"denied:{n}"].count for n in ("CONFIG", "CLIENT")] == [1, 1]
    only = Guard(allow=["GET"], deny=[])
    only.send(bulk("SET", "a", "b") + bulk("GET", "a"))
    assert only.server == bulk("GET", "a")


@pytest.mark.parametrize(
    "wire", [b"flushall\r\n", b'"FLUSHALL"\n', b'"\\x46lushall" async\r\n', b"  KEYS *\r\n"]
)
def test_inline_commands_are_judged_too(wire: bytes) -> None:
    guard = Guard()
    guard.send(wire)
    assert guard.server == b""
    assert guard.conn.client.startswith(b"-ERR command '")


def test_scripts_are_denied_unless_allowed() -> None:
    guard = Guard()
    guard.send(bulk("EVAL", "return 1", "0"))
    assert guard.server == b""
    allowed = Guard(allow_scripts=True)
    allowed.send(bulk("EVAL", "return 1", "0"))
    assert allowed.server == bulk("EVAL", "return 1", "0")


def test_errors_that_wait_are_bounded() -> None:
    guard = Guard(max_waiting_errors=10)
    guard.send(bulk("BLPOP", "a", "0"))
    for _ in range(11):
        guard.send(bulk("KEYS", "*"))
    assert guard.conn.closed == "reset redis_guard_overflow"
    assert guard.counters["overflows"].count == 1


def test_behind_a_stream_a_denied_command_ends_the_connection() -> None:
    guard = Guard(deny=["FLUSHALL"])
    guard.send(bulk("MONITOR"))
    guard.answer(b'+OK\r\n+1.2 [0 a] "PING"\r\n')
    guard.send(bulk("FLUSHALL"))
    assert guard.server == bulk("MONITOR")
    assert guard.conn.closed


def test_errors_before_a_stream_are_still_said() -> None:
    guard = Guard(deny=["FLUSHALL"])
    guard.send(bulk("PING") + bulk("FLUSHALL") + bulk("MONITOR"))
    guard.answer(b"+PONG\r\n+OK\r\n+1.2 x\r\n")
    assert guard.conn.client == b"+PONG\r\n" + error("FLUSHALL") + b"+OK\r\n+1.2 x\r\n"
    assert guard.conn.closed == ""


def test_an_error_behind_a_stream_ends_the_connection() -> None:
    guard = Guard(deny=["FLUSHALL"])
    guard.send(bulk("PING") + bulk("CLIENT", "REPLY", "OFF") + bulk("FLUSHALL"))
    guard.answer(b"+PONG\r\n")
    assert guard.conn.client == b"+PONG\r\n"
    assert guard.conn.closed == "flush redis_guard_protocol_error"


@pytest.mark.parametrize(
    "config", [{"deny": ["A B"]}, {"deny": ["|x"]}, {"max_args": 0}, {"message": "a\nb"}]
)
def test_a_wrong_configuration_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(mb.ConfigError):
        RedisGuard(**config)
