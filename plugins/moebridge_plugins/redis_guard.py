"""Lets only harmless commands through to a Redis server, and counts them.

A network filter for Redis clients of RESP2 and RESP3. A denied command is answered with an error in
its place among the replies, however many commands the client has sent ahead; it never reaches the
server. Large values pass in pieces, without being held.
"""

from __future__ import annotations

import moebridge as mb
from moebridge_plugins._redis_commands import DANGEROUS, KNOWN, SCRIPTING, SUBSCRIBING
from moebridge_plugins._redis_order import Confirmations, Ending, Greeting, Losing, Order, Swap
from moebridge_plugins._resp import Command, Commands, Limits, Verdict

__all__ = ["RedisGuard"]

_EXECABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
_DISCARD = b"*1\r\n$7\r\nDISCARD\r\n"
_MAX_SHOWN = 64
#: Behind these, what the server sends cannot be told apart any more.
_STREAMING = frozenset((b"MONITOR", b"SYNC", b"PSYNC"))


class Session:
    """One connection."""

    __slots__ = ("broken", "commands", "in_multi", "is_dirty", "order", "said")

    def __init__(self) -> None:
        self.commands: Commands | None = None
        self.order = Order()
        self.said: list[bytes] = []  # answers that may go out at once
        self.in_multi = False
        self.is_dirty = False  # a command of the transaction was denied
        self.broken = False


class RedisGuard(mb.NetworkFilter):
    """Deny dangerous Redis commands, and count all of them.

    Rules are names of commands, `CONFIG`, or of subcommands, `CONFIG|SET`, in any case. A command
    passes when no rule of `deny` names it and, where `allow` is given, one of `allow` does. By
    default everything that destroys, reconfigures or takes over a server is denied, and scripts
    too, since no filter sees what they run.

    Statistics: `commands` and `denied` with the label `command` (names of their own for Redis'
    commands, "other" for the rest), `protocol_errors`, `overflows`.
    """

    class Config(mb.Config):
        """Configuration."""

        #: Rules; None: the default list.
        deny: list[str] | None = None
        #: Further rules to deny.
        also_deny: list[str] = []
        #: Only these pass; None: all that are not denied.
        allow: list[str] | None = None
        #: EVAL, FCALL and the like.
        allow_scripts: bool = False
        #: The error; {command} is the name.
        message: str = "ERR command '{command}' is not allowed"
        #: Longer names of commands are denied.
        max_command_name: int = 64
        #: More arguments are a protocol error; Redis' bound.
        max_args: int = 1024 * 1024
        #: A longer inline command is a protocol error; Redis' bound.
        max_inline_bytes: int = 64 * 1024
        #: Errors that wait for replies before them; more end the connection.
        max_waiting_errors: int = 10_000

        def __post_init__(self) -> None:
            """Checks rules and bounds."""
            for rule in [*(self.deny or []), *self.also_deny, *(self.allow or [])]:
                name, _, sub = rule.partition("|")
                if not name or not rule.isascii() or "|" in sub or rule != "".join(rule.split()):
                    raise ValueError(f"{rule!r}: expected COMMAND or COMMAND|SUBCOMMAND")
            if not 1 <= self.max_command_name <= 1024:
                raise ValueError("max_command_name: must be 1 to 1024")
            if self.max_args < 1 or self.max_inline_bytes < 16 or self.max_waiting_errors < 1:
                raise ValueError("max_args, max_inline_bytes, max_waiting_errors: too small")
            if "\r" in self.message or "\n" in self.message:
                raise ValueError("message: must be one line")

    State = Session
    config: Config

    def on_load(self) -> None:
        """Prepares the rules and the counters."""
        config = self.config
        self._limits = Limits(config.max_command_name, config.max_args, config.max_inline_bytes)
        denied = [*(DANGEROUS if config.deny is None else config.deny), *config.also_deny]
        if not config.allow_scripts:
            denied += SCRIPTING
        self._deny = _rules(denied)
        self._allow = None if config.allow is None else _rules(config.allow)
        names = dict.fromkeys([*KNOWN, *(rule.partition("|")[0] for rule in DANGEROUS), *SCRIPTING])
        self._passed = {n.encode(): self.counter("commands", {"command": n}) for n in names}
        self._denied = {n.encode(): self.counter("denied", {"command": n}) for n in names}
        self._passed_other = self.counter("commands", {"command": "other"})
        self._denied_other = self.counter("denied", {"command": "other"})
        self._errors = self.counter("protocol_errors")
        self._overflows = self.counter("overflows")

    # -- the client's bytes ----------------------------------------------------------------------

    def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
        """Judges commands as they come."""
        session: Session = conn.state
        commands = session.commands
        if commands is None:
            commands = session.commands = Commands(self._limits)
        length = len(data)
        if session.broken:
            data.drain(length)
        elif 0 < length <= commands.skip:
            commands.skip -= length
            if not commands.passes:
                data.drain(length)
        elif length:
            self._cut(conn, session, commands, data)

    def _cut(
        self, conn: mb.Connection, session: Session, commands: Commands, data: mb.Buffer
    ) -> None:
        piece = commands.tail + bytes(data) if commands.tail else bytes(data)
        had_tail = bool(commands.tail)
        parts = commands.feed(piece, lambda command: self._judge(session, command))
        if had_tail or len(parts) != 1 or parts[0] is not piece:
            data.replace(b"".join(parts))
        if commands.error:
            self._errors.inc()
            self._end(session, b"-ERR Protocol error: " + commands.error.encode() + b"\r\n")
        elif len(session.order) > self.config.max_waiting_errors:
            self._overflows.inc()
            session.broken = True
            conn.close("reset", details="redis_guard_overflow")
        if session.said:
            conn.write(b"".join(session.said))
            session.said.clear()
        if session.order.ended:
            conn.close(details="redis_guard_protocol_error")

    def _judge(self, session: Session, command: Command) -> Verdict:
        name = command.name
        if command.too_long or not self._may(command):
            self._denied.get(name, self._denied_other).inc()
            self._refuse(session, name)
            return False
        self._passed.get(name, self._passed_other).inc()
        if name == b"EXEC" and session.is_dirty:
            session.in_multi = session.is_dirty = False
            session.order.expect(Swap(_EXECABORT))
            return _DISCARD
        self._expect(session, command)
        return True

    def _may(self, command: Command) -> bool:
        sub = command.name + b"|" + command.second
        if command.name in self._deny or sub in self._deny:
            return False
        return self._allow is None or command.name in self._allow or sub in self._allow

    def _refuse(self, session: Session, name: bytes) -> None:
        session.is_dirty = session.is_dirty or session.in_multi
        shown = name[:_MAX_SHOWN].decode("ascii", "replace")
        shown = "".join(c if c.isprintable() else "?" for c in shown) or "?"
        text = self.config.message.replace("{command}", shown)
        self._answer(session, b"-" + text.encode() + b"\r\n")

    def _answer(self, session: Session, text: bytes) -> None:
        """Says something in its place among the replies."""
        if session.order.lost:
            self._end(session, b"")
        elif session.order.is_idle:
            session.said.append(text)
        else:
            session.order.expect(text)

    def _end(self, session: Session, text: bytes) -> None:
        """Says the last words, in their place."""
        session.broken = True
        if session.order.is_idle or session.order.lost:
            session.said.append(text)
            session.order.ended = True
        else:
            session.order.expect(Ending(text))

    def _expect(self, session: Session, command: Command) -> None:
        """Notes which replies the server will give."""
        name, second, args, _ = command
        order = session.order
        if name == b"CLIENT" and second == b"REPLY":
            # What it asks for is the next argument; whoever allows it must do without denials.
            order.expect(Losing())
            return
        if name in _STREAMING:
            order.expect()
            order.expect(Losing())
        elif name in SUBSCRIBING:
            order.expect(Confirmations(SUBSCRIBING[name], args - 1 or None))
        elif name == b"HELLO" and second.isdigit():
            order.expect(Greeting(int(second)))
        elif name == b"RESET":
            order.expect(Greeting(0))
        else:
            order.expect()
        if name == b"MULTI":
            session.in_multi = True
        elif name in (b"EXEC", b"DISCARD", b"RESET"):
            session.in_multi = session.is_dirty = False

    # -- the server's bytes ----------------------------------------------------------------------

    def on_write(self, conn: mb.Connection, data: mb.Buffer) -> None:
        """Puts answers of ours between the server's."""
        order: Order = conn.state.order
        length = len(data)
        if not length or order.lost:
            return
        if length < order.skip:
            order.passed(length)
            return
        piece = bytes(data)
        parts = order.feed(piece)
        if len(parts) != 1 or parts[0] is not piece:
            data.replace(b"".join(parts))
        if order.ended:
            conn.close(details="redis_guard_protocol_error")


def _rules(rules: list[str]) -> frozenset[bytes]:
    return frozenset(rule.upper().encode() for rule in rules)
