"""NetworkFilter: the base of all filters of connections (L4) written in Python."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from moebridge.filter_base import Filter
from moebridge.status import Status

if TYPE_CHECKING:
    from moebridge._dispatch import Buffer, Connection

__all__ = ["NetworkFilter"]


class NetworkFilter(Filter):
    """A filter of the bytes of connections, behind TLS and in front of HTTP or the TCP proxy.

    Override the hooks that you need: for the others the core never enters Python. Any hook may be
    `async def`; while one is suspended, its direction waits and the other goes on. One object
    serves all connections of one proxy; what belongs to a connection is in `conn.state`.

    An exception in a hook resets the connection, unless the filter's option is
    `on_error="fail_open"`: then the filter is skipped from there on.

    Example:
        class Upper(mb.NetworkFilter):
            def on_data(self, conn: mb.Connection, data: mb.Buffer) -> None:
                data.replace(bytes(data).upper())

        mb.Proxy(listen="127.0.0.1:7000", upstream="127.0.0.1:7001", filters=[Upper()]).run()
    """

    def on_connect(self, conn: Connection) -> Awaitable[Status | None] | Status | None:
        """A client has connected; TLS, if any, is agreed on.

        Returns:
            CONTINUE (None), or STOP_ITERATION: the filters behind this one and the upstream do not
            know of the connection until `on_data` lets something through or `resume()` is called.
        """

    def on_data(self, conn: Connection, data: Buffer) -> Awaitable[Status | None] | Status | None:
        """Bytes have come from the client.

        Args:
            conn: the connection; `conn.ended` is true when these are the last ones.
            data: the bytes, which may be none at the end. What is in it afterwards goes on.

        Returns:
            CONTINUE (None), or STOP_ITERATION: what is left in `data` stays here, and the next call
            has it again with what came behind it. What a filter keeps is bounded by the
            listener's buffer limit: above it nothing more is read.

        Lifetime:
            `data` until the hook returns; a memoryview of it, for as long as you keep it.
        """

    def on_write(self, conn: Connection, data: Buffer) -> Awaitable[Status | None] | Status | None:
        """Bytes have come for the client; as `on_data`, with `conn.upstream_ended`.

        Hooks of this direction run in reverse order of the chain.
        """

    def on_close(self, conn: Connection) -> Awaitable[None] | None:
        """The connection is closed. It may be read, not changed.

        An async one runs on a frozen copy and a drain waits for it.
        """
