"""The order of replies on one Redis connection: which of them are whose, and where ours belong.

A client may send many commands before it reads. A command that is not passed on is answered by the
filter, and its answer has to stand between the server's replies to the commands before and after
it. So what is awaited is a queue: runs of ordinary replies, and between them what the filter adds.

Not every message answers a command: push messages of RESP3 (`>`), messages of subscriptions, and
what MONITOR shows come by themselves. And not every command has one reply: (un)subscribing has a
confirmation for each channel.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from moebridge_plugins._resp import Replies, Reply, RespError

__all__ = ["Confirmations", "Ending", "Greeting", "Losing", "Order", "Swap"]

_ERROR: Final = ord("-")
_ARRAY: Final = ord("*")
_PUSH: Final = ord(">")
_MESSAGES: Final = frozenset((b"message", b"pmessage", b"smessage"))


class Swap(NamedTuple):
    """The reply that is awaited is taken away, and this stands in its place."""

    text: bytes


class Ending(NamedTuple):
    """The filter's last words: the connection ends behind them."""

    text: bytes


class Greeting(NamedTuple):
    """The reply to HELLO: unless it is an error the connection speaks this version; 0: RESET."""

    version: int


class Confirmations(NamedTuple):
    """Those of (un)subscribing. `left` None: one for each that there is, or one."""

    word: bytes
    left: int | None


class Losing(NamedTuple):
    """From here on replies cannot be told apart."""


_Awaited = int | bytes | Swap | Ending | Greeting | Confirmations | Losing


class Order:
    """One connection."""

    __slots__ = (
        "_awaited",
        "_channels",
        "_is_resp3",
        "_patterns",
        "_replies",
        "_shards",
        "ended",
        "lost",
    )

    def __init__(self) -> None:
        self._awaited: deque[_Awaited] = deque()
        self._replies = Replies()
        self._is_resp3 = False
        # Subscriptions, as the server counts them.
        self._channels = self._patterns = self._shards = 0
        #: The last words were said.
        self.ended = False
        #: Replies cannot be told apart any more (MONITOR, replication).
        self.lost = False

    def __len__(self) -> int:
        """How many things are awaited, a run of ordinary replies counted once."""
        return len(self._awaited)

    @property
    def is_idle(self) -> bool:
        """Nothing is awaited and no message is under way: something may be said at once."""
        return not self._awaited and not self._replies.kind

    @property
    def skip(self) -> int:
        """Bytes of a value under way: a piece of fewer need not be looked at."""
        return 0 if self._swap_is_due(self._replies.kind) else self._replies.skip

    def passed(self, length: int) -> None:
        """A piece within a value was not looked at."""
        self._replies.skip -= length

    def expect(self, what: _Awaited = 1) -> None:
        """A command has gone on; or bytes: the filter's own answer, in its place."""
        awaited = self._awaited
        if isinstance(what, int) and awaited and isinstance(awaited[-1], int):
            awaited[-1] += what
        else:
            awaited.append(what)
        if isinstance(what, Losing) and len(awaited) == 1:
            self._lose()

    def _lose(self) -> None:
        """What would have to be said later cannot be any more: then these are the last words."""
        self.lost = True
        self.ended = self.ended or any(isinstance(w, bytes | Ending) for w in self._awaited)
        self._awaited.clear()

    def feed(self, data: bytes) -> list[bytes]:
        """Takes a piece of the server's bytes; returns what the client gets, in parts.

        Where that is the same, the only part is `data` itself.
        """
        try:
            found = self._replies.feed(data)
        except RespError:
            self.lost = True
            return [data]
        out: list[bytes] = []
        at = 0
        for reply in found:
            if self._swap_is_due(reply.kind):
                swap = self._awaited.popleft()
                assert isinstance(swap, Swap)
                out += [data[at : reply.start], swap.text]
                at = reply.end
            elif not self._comes_by_itself(reply):
                self._settle(reply)
            ours = self._due()
            if ours:
                out += [data[at : reply.end], *ours]
                at = reply.end
        if self._swap_is_due(self._replies.kind):
            out.append(data[at : self._replies.start])
        else:
            out.append(data[at:] if at else data)
        return out

    def _swap_is_due(self, kind: int) -> bool:
        awaited = self._awaited
        return bool(kind and awaited and isinstance(awaited[0], Swap) and kind != _PUSH)

    def _comes_by_itself(self, reply: Reply) -> bool:
        front = self._awaited[0] if self._awaited else None
        if reply.kind == _PUSH:
            return not (isinstance(front, Confirmations) and reply.word == front.word)
        subscribed = self._channels or self._patterns or self._shards
        is_message = reply.kind == _ARRAY and reply.word in _MESSAGES
        return front is None or bool(is_message and subscribed and not self._is_resp3)

    def _settle(self, reply: Reply) -> None:
        """One reply less is awaited."""
        front = self._awaited[0]
        if isinstance(front, int) and front > 1:
            self._awaited[0] = front - 1
        elif isinstance(front, Confirmations) and reply.word == front.word:
            self._confirm(front, reply)
        else:
            self._awaited.popleft()
            if isinstance(front, Greeting) and reply.kind != _ERROR:
                self._is_resp3 = front.version == 3
                if front.version == 0:
                    self._channels = self._patterns = self._shards = 0

    def _confirm(self, front: Confirmations, reply: Reply) -> None:
        word, left = front
        kind = word.removesuffix(b"subscribe").removesuffix(b"un")
        there = {b"": self._channels, b"p": self._patterns, b"s": self._shards}[kind]
        left = max(there, 1) if left is None else left
        if kind == b"s":
            self._shards = reply.number
        elif kind == b"p":
            self._patterns = reply.number - self._channels
        else:
            self._channels = reply.number - self._patterns
        if left > 1:
            self._awaited[0] = Confirmations(word, left - 1)
        else:
            self._awaited.popleft()

    def _due(self) -> list[bytes]:
        """Our answers that stand behind the reply that came last."""
        ours = []
        while self._awaited and isinstance(self._awaited[0], bytes | Ending | Losing):
            front = self._awaited.popleft()
            if isinstance(front, Losing):
                self._lose()
            elif isinstance(front, Ending):
                self.ended = True
                ours.append(front.text)
            elif isinstance(front, bytes):
                ours.append(front)
        return ours
