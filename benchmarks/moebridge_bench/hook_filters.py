"""The filters of the case `async`."""

from __future__ import annotations

import asyncio

import moebridge as mb

__all__ = ["AsyncHook", "SyncHook"]


class SyncHook(mb.HttpFilter):
    """One hook that does nothing."""

    def on_request_headers(self, stream: mb.Stream) -> None:
        pass


class AsyncHook(mb.HttpFilter):
    """The same hook, suspended for one turn of the loop."""

    async def on_request_headers(self, stream: mb.Stream) -> None:
        await asyncio.sleep(0)
