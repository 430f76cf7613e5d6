"""Types of the Cython dispatcher; what a filter sees is documented here."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal, Self, SupportsIndex, TypeVar, TypeVarTuple, Unpack, final, overload

from typing_extensions import Buffer as BytesLike

from moebridge._loop import WorkerLoop
from moebridge._reply import HeadersLike
from moebridge.connection_info import ConnectionInfo
from moebridge.filter_base import Filter
from moebridge.info import Info
from moebridge.metadata import Metadata
from moebridge.status import Status

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: C functions by name, for filters compiled with Cython (__init__.pxd).
__pyx_capi__: dict[str, object]

@final
class Headers:
    """Headers or trailers of a message: an ordered mapping of names to values, with repeats.

    Names are lower-case and found in any case; values are str, Latin-1 both ways. Pseudo-headers
    are attributes of request and response; `host` is `request.authority`. A map that is not there
    (trailers, a response that has not come) reads as empty.

    Raises, all of its methods:
        StreamGone, WrongThread: see the exceptions.
        FilterError: it cannot be changed now.
        ValueError: no header name, or CR, LF, NUL or non-Latin-1 characters in a value.

    Source: RFC 9110 5.
    """

    def __getitem__(self, name: str) -> str:
        """Returns the first value of a name, or raises KeyError."""

    def __setitem__(self, name: str, value: str) -> None:
        """Replaces all values of a name by one, in the place of the first."""

    def __delitem__(self, name: str) -> None:
        """Removes all values of a name, or raises KeyError."""

    def __contains__(self, name: object) -> bool: ...
    def __iter__(self) -> Iterator[str]:
        """Names in order, repeats repeated, as they were when the iteration began."""

    def __len__(self) -> int:
        """Returns the number of fields, repeats counted."""

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: T) -> str | T:
        """Returns the first value of a name, else `default`."""

    def getall(self, name: str) -> list[str]:
        """Returns all values of a name, in order; an empty list if there is none."""

    def add(self, name: str, value: str) -> None:
        """Appends a field; `host` is set, since a request has one."""

    def set(self, name: str, value: str) -> None:
        """As `headers[name] = value`."""

    def remove(self, name: str) -> int:
        """Removes all values of a name. Returns how many there were."""

    def keys(self) -> list[str]: ...
    def values(self) -> list[str]: ...
    def items(self) -> list[tuple[str, str]]:
        """Returns all fields, in order."""

    @property
    def raw(self) -> RawHeaders:
        """The same map in bytes."""

@final
class RawHeaders:
    """`Headers` in bytes: nothing is decoded. Names may also be given as str."""

    def __getitem__(self, name: bytes | str) -> bytes: ...
    def __setitem__(self, name: bytes | str, value: BytesLike) -> None: ...
    def __delitem__(self, name: bytes | str) -> None: ...
    def __contains__(self, name: object) -> bool: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __len__(self) -> int: ...
    @overload
    def get(self, name: bytes | str) -> bytes | None: ...
    @overload
    def get(self, name: bytes | str, default: T) -> bytes | T: ...
    def getall(self, name: bytes | str) -> list[bytes]: ...
    def add(self, name: bytes | str, value: BytesLike) -> None: ...
    def set(self, name: bytes | str, value: BytesLike) -> None: ...
    def remove(self, name: bytes | str) -> int: ...
    def keys(self) -> list[bytes]: ...
    def values(self) -> list[bytes]: ...
    def items(self) -> list[tuple[bytes, bytes]]: ...

@final
class Buffer:
    """Bytes of a body, in the core's own memory.

    `memoryview(buffer)` and `slices()` lend these bytes without a copy (joined once if they lie in
    several pieces); what is lent is read-only and stays valid and unchanged for as long as the
    view lives, on any thread, after hook and stream too.

    Lifetime:
        The buffer itself: `data` until its hook returns, `.body` as long as the stream.

    Raises, all of its methods:
        StreamGone, WrongThread: see the exceptions.
        TypeError: str where bytes are needed.
    """

    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __bytes__(self) -> bytes:
        """Returns a copy."""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __contains__(self, pattern: BytesLike) -> bool: ...
    def __eq__(self, other: object) -> bool:
        """Compares the bytes, also with bytes-like objects."""

    def slices(self) -> list[memoryview]:
        """Returns a view of each piece, in order. Never copies."""

    def find(self, pattern: BytesLike, start: int = 0) -> int:
        """Returns the offset of the first match at or after `start`, or -1. Never copies."""

    def count(self, pattern: BytesLike) -> int:
        """Returns the number of matches that do not overlap. Never copies."""

    def startswith(self, prefix: BytesLike) -> bool: ...
    def split(self, separator: BytesLike) -> list[bytes]:
        """Returns copies of the parts between the separators, as bytes.split does."""

    def append(self, data: BytesLike) -> None:
        """Copies bytes behind the last one."""

    def prepend(self, data: BytesLike) -> None:
        """Copies bytes before the first one."""

    def drain(self, length: SupportsIndex) -> None:
        """Drops the first bytes; ValueError if there are not so many."""

    def replace(self, data: BytesLike) -> None:
        """Replaces all bytes."""

class Message:
    """What request and response have in common."""

    @property
    def headers(self) -> Headers: ...
    @property
    def trailers(self) -> Headers:
        """Empty until they have come."""

    @property
    def body(self) -> Buffer:
        """What this filter has stopped so far, before the new piece; of a whole message, all."""

    @property
    def ended(self) -> bool:
        """True from the hook on that got the end of the body, or headers without one."""

@final
class Request(Message):
    """A request. Its pseudo-headers may be read and set."""

    method: str
    #: The request target: path and query.
    path: str
    #: The host, with port if it was given.
    authority: str
    #: "http" or "https".
    scheme: str

@final
class Response(Message):
    """A response."""

    #: The status code; 0 while there is no response.
    status: int

class Gate:
    """What a filter has of a stream or a connection."""

    place: Place
    acted: bool
    parted: bool
    hook: int

    @property
    def state(self) -> Any:
        """This filter's own object here: its class's `State()`, made when touched."""

    @property
    def metadata(self) -> Metadata:
        """Dynamic metadata, shared with other filters and the access log."""

    def post(self, fn: Callable[[], object]) -> bool:
        """Has a function called on the worker. Thread: any.

        Returns:
            False if stream or connection have ended; if they end before the call, the function is
            dropped.
        """

    # For _runtime and the cffi dispatcher.
    def _attach(self, address: int, place: Place) -> None: ...
    def _enter(self, place: Place, hook: int) -> bool: ...
    def _leave(self) -> None: ...
    def _detach(self) -> None: ...
    def _end(self, direction: int) -> None: ...
    def _usable(self) -> None: ...
    def _complete(self) -> None: ...
    def _skip(self) -> None: ...
    def _piece(self, direction: int, address: int) -> Buffer: ...
    def _drop_piece(self, direction: int, pending: bool) -> None: ...
    def _held(self, direction: int) -> Buffer: ...
    def _suspend(
        self,
        hook: int,
        direction: int,
        end: bool,
        awaitable: Awaitable[object],
        then: Callable[[Any, int, bool, object], Any],
    ) -> int: ...
    def _acted(self, direction: int) -> bool: ...
    def _replied(self) -> None: ...
    def _resume_later(self, direction: int) -> bool: ...
    def _keep_posted(self, event: int, fn: Callable[[], object]) -> None: ...
    def _take_posted(self, event: int) -> Callable[[], object] | None: ...
    def _gone(self) -> bool: ...
    def _over(self) -> bool: ...
    def _where(self, hook: int) -> tuple[str, int, int]: ...
    def _break(self) -> None: ...
    def _resume(self, direction: int) -> int: ...
    def _finish(self, direction: int, status: int) -> int: ...
    def _info_number(self, which: int) -> int | None: ...
    def _info_text(self, which: int) -> str | None: ...
    def _metadata_get(self, space: bytes, key: bytes) -> bytes | None: ...
    def _metadata_frozen(self) -> dict[str, Any] | None: ...
    def _metadata_set(self, space: bytes, key: bytes, value: bytes) -> None: ...
    def _freeze(self, info: dict[int, int | str], metadata: Any) -> None: ...
    def _post(self, event: int) -> bool: ...

class StreamGate(Gate):
    """What a filter has of a stream, beside the messages."""

    @property
    def info(self) -> Info:
        """Addresses, protocol, timings and more."""

    @property
    def route(self) -> str | None:
        """The name of the route that matches."""

    def clear_route_cache(self) -> None:
        """The route is chosen again, by the headers as they are then."""

    def resume(self) -> None:
        """Lets go on what this filter has stopped, when the hook returns or at once.

        Raises:
            FilterError: it has stopped nothing.
        """

    def reset(self, details: str = "filter_reset") -> None:
        """Ends the stream abruptly: the client sees a broken response, never a complete one."""

    def respond(
        self,
        status: int,
        *,
        headers: HeadersLike | None = None,
        body: BytesLike = b"",
        details: str = "",
    ) -> Status:
        """Answers instead of the upstream, when the hook returns.

        Args:
            status: 200 to 599.
            headers: a mapping (a value may be a list), or pairs.
            body: the body.
            details: response code details for the access log; default "direct_response".

        Returns:
            LOCAL_REPLY, for the hook to return.

        Raises:
            FilterError: a response was started already.
        """

    # For _runtime and the cffi dispatcher.
    def _headers_address(self, direction: int, trailers: bool) -> int: ...
    def _gather(self, direction: int, taken: bool) -> None: ...
    def _ended(self, direction: int) -> bool: ...
    def _reply(
        self, status: int, pairs: list[tuple[bytes, bytes]], body: bytes, details: bytes
    ) -> int: ...

@final
class Connection(Gate):
    """One client's connection, as one network filter sees it.

    Lifetime:
        Until on_close returns; later uses raise StreamGone.
    """

    @property
    def info(self) -> ConnectionInfo:
        """Addresses, TLS, byte counts and more."""

    @property
    def ended(self) -> bool:
        """The client sends no more, and this filter has been told."""

    @property
    def upstream_ended(self) -> bool:
        """The upstream, or HTTP, sends no more, and this filter has been told."""

    @property
    def held(self) -> Buffer:
        """What of the client's bytes this filter keeps; for use outside of `on_data`."""

    @property
    def held_write(self) -> Buffer:
        """What of the bytes for the client it keeps; for use outside of `on_write`."""

    def write(self, data: BytesLike) -> None:
        """Sends bytes to the client, through the filters before this one.

        They go in front of what the `on_write` that runs lets through.
        """

    def feed(self, data: BytesLike) -> None:
        """Speaks for the client: bytes for the filters behind this one and the upstream.

        They go in front of what the `on_data` that runs lets through.
        """

    def resume(self) -> None:
        """Passes on what this filter keeps, when the hook returns or at once.

        Raises:
            FilterError: it has stopped nothing.
        """

    def close(self, how: Literal["flush", "now", "reset"] = "flush", *, details: str = "") -> None:
        """Ends the connection when the hook returns, or at once.

        Args:
            how: `flush` sends first what was written, `now` drops it, `reset` also tells the client
                with a RST.
            details: why, for logs.
        """

class Stream(StreamGate):
    """One request and its response, as one filter sees them.

    Lifetime:
        Until its last hook returns; later uses raise StreamGone.
    """

    @property
    def request(self) -> Request: ...
    @property
    def response(self) -> Response: ...

def call_soon(
    self: WorkerLoop,
    callback: Callable[[Unpack[Ts]], object],
    *args: *Ts,
    context: contextvars.Context | None = None,
) -> asyncio.Handle: ...

class Worker:
    """The bridge's state of one server."""

    loop: WorkerLoop | None
    contexts: dict[int, contextvars.Context]
    outstanding: set[asyncio.Task[None]]

    def __new__(cls, core: dict[str, int]) -> Self: ...
    def open(self, server: int, worker: int) -> None: ...
    def adopt(self) -> None: ...
    @property
    def thread(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def places(self) -> list[Place | None]: ...
    def run(self, timeout_us: int) -> int: ...
    def apply(self, document: bytes) -> tuple[int, str]: ...
    def close(self) -> None: ...
    def ready(self) -> list[tuple[int, int]]: ...
    def wake(self) -> None: ...
    def trim(self) -> None: ...
    def yield_now(self) -> None: ...
    def end_batch(self) -> None: ...
    def crossed(self) -> None: ...
    def counted_str(self) -> None: ...
    def place(self, index: int) -> Place | None: ...
    def register(
        self, filter_: Filter, name: str, *, fail_open: bool = False, timeout_s: float = 0.0
    ) -> Place: ...
    def forget(self, place: Place) -> None: ...

@final
class Place:
    """One filter object, known to the core by its index."""

    worker: Worker
    filter: Filter
    name: str
    index: int
    fail_open: bool
    timeout_s: float
    network: bool
    hooks: tuple[Callable[..., Any] | None, ...]
    whole: tuple[Callable[..., Any] | None, Callable[..., Any] | None]
    wants: int
    errors: Metric
    started: bool
    users: int

    def config_address(self) -> int: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...
    def metric(self, kind: int, name: str, labels: list[tuple[bytes, bytes]]) -> Metric: ...

@final
class Metric:
    """A metric of the core."""

    worker: Worker
    kind: int
    name: str

    def add(self, amount: int) -> None: ...
    def set(self, value: int) -> None: ...
    def record(self, value: int) -> None: ...
    def value(self) -> int: ...

def module_address(worker: Worker) -> int: ...
