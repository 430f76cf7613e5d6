"""A service of gRPC whose messages are plain bytes, and a client for it.

No .proto: handlers and calls are generic, without serialisers. `Service.seen` is what the server
knows of each call, by the `x-id` of its metadata.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # pytest has children of its own

import grpc  # type: ignore[import-untyped]

__all__ = ["WAIT_S", "Calls", "Seen", "Service", "metadata_of"]

WAIT_S = 20.0
_CLIENT = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 1 << 24),
]
_SERVER = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 1 << 24)]


class Seen:
    """One call, on the server's side."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.messages: list[bytes] = []
        #: Seconds that the client gave, as the server understood it; None: no deadline.
        self.time_left: float | None = None
        self.began = threading.Event()
        #: Set when the call is over, whoever ended it.
        self.over = threading.Event()


class Service:
    """A server between `with` and its end; `address` is where it is."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.seen: defaultdict[str, Seen] = defaultdict(Seen)
        self._pool = ThreadPoolExecutor(128)
        self._server = grpc.server(self._pool, options=_SERVER)
        streams = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "Hang": grpc.unary_unary_rpc_method_handler(self._hang),
            "Count": grpc.stream_unary_rpc_method_handler(self._count),
            "Repeat": grpc.unary_stream_rpc_method_handler(self._repeat),
            "Trickle": grpc.unary_stream_rpc_method_handler(self._trickle),
            "Echo": grpc.stream_stream_rpc_method_handler(self._echo),
        }
        handler = grpc.method_handlers_generic_handler("test.Service", streams)
        self._server.add_generic_rpc_handlers((handler,))
        if credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"

    def __enter__(self) -> Service:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait(WAIT_S)
        self._pool.shutdown()

    def _begin(self, context: grpc.ServicerContext, *, head: bool = True) -> Seen:
        metadata = metadata_of(context.invocation_metadata())
        seen = self.seen[metadata.get("x-id", "")]
        seen.metadata = metadata
        seen.time_left = context.time_remaining()
        context.add_callback(seen.over.set)
        if head:
            context.send_initial_metadata((("x-initial", "1"), ("x-bytes-bin", b"\0\xff")))
        context.set_trailing_metadata((("x-trailing", "2"), ("x-last-bin", b"\xfe\0")))
        seen.began.set()
        return seen

    def _unary(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._begin(context).messages.append(request)
        return request

    def _fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._begin(context).messages.append(request)
        context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x05"),))
        return context.abort(grpc.StatusCode.NOT_FOUND, "nichts über 100%\n")  # type: ignore[no-any-return]

    def _hang(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Sends nothing, not even a head, until the call is over."""
        self._begin(context, head=False).over.wait(WAIT_S)
        return request

    def _count(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        seen = self._begin(context, head=False)
        seen.messages += requests
        return b"%d %d" % (len(seen.messages), sum(map(len, seen.messages)))

    def _repeat(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        count = int(self._begin(context).metadata["x-count"])
        for _ in range(count):
            yield request

    def _trickle(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """One message, then nothing until the call is over."""
        seen = self._begin(context)
        yield request
        seen.over.wait(WAIT_S)

    def _echo(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        seen = self._begin(context)
        for request in requests:
            seen.messages.append(request)
            if request == b"abort":
                context.abort(grpc.StatusCode.ABORTED, "as asked")
            yield request


class Calls:
    """A client: one channel, and the service's methods on it."""

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | None = None,
        options: tuple[tuple[str, Any], ...] = (),
        **kwargs: Any,
    ) -> None:
        settings = [*_CLIENT, *options]
        if credentials is None:
            self.channel = grpc.insecure_channel(address, settings, **kwargs)
        else:
            self.channel = grpc.secure_channel(address, credentials, settings, **kwargs)
        name = "/test.Service/{}".format
        self.unary = self.channel.unary_unary(name("Unary"))
        self.fail = self.channel.unary_unary(name("Fail"))
        self.hang = self.channel.unary_unary(name("Hang"))
        self.count = self.channel.stream_unary(name("Count"))
        self.repeat = self.channel.unary_stream(name("Repeat"))
        self.trickle = self.channel.unary_stream(name("Trickle"))
        self.echo = self.channel.stream_stream(name("Echo"))

    def __enter__(self) -> Calls:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.channel.close()


def metadata_of(pairs: Any) -> dict[str, Any]:
    """Metadata as a dict; the last of a name counts."""
    return dict(pairs or ())
