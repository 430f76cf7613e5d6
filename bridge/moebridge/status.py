"""What a hook answers, and which answers each phase has.

Source: Envoy's FilterHeadersStatus, FilterDataStatus and FilterTrailersStatus; the numbers that
the core reads stand in native/include/moebridge/filter.h.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["Status"]


class Status(enum.Enum):
    """The answer of a hook. `None` means `CONTINUE`."""

    #: Go on with the next filter; what this filter held goes on too.
    CONTINUE = "CONTINUE"
    #: From headers and trailers: later filters wait; this one still gets its body hooks.
    STOP_ITERATION = "STOP_ITERATION"
    #: From headers: no hook here until `resume()`; the body is held, over the limit 413 or 500.
    STOP_ALL_AND_BUFFER = "STOP_ALL_AND_BUFFER"
    #: From headers: no hook here until `resume()`; over the limit the sender is paused.
    STOP_ALL_AND_WATERMARK = "STOP_ALL_AND_WATERMARK"
    #: From body: hold; over the limit 413 (request) or 500 (response).
    STOP_AND_BUFFER = "STOP_AND_BUFFER"
    #: From body: hold; over the limit the sender is paused.
    STOP_AND_WATERMARK = "STOP_AND_WATERMARK"
    #: From body: the filter has taken the bytes; nothing is held.
    STOP_NO_BUFFER = "STOP_NO_BUFFER"
    #: What `stream.respond()` returns.
    LOCAL_REPLY = "LOCAL_REPLY"


#: Names of the hooks that the core calls, by their number (mb_hook).
HOOK_NAMES: Final = (
    "on_request_headers",
    "on_request_body",
    "on_request_trailers",
    "on_response_headers",
    "on_response_body",
    "on_response_trailers",
    "on_complete",
)
#: The hooks that get a whole message, by direction.
WHOLE_NAMES: Final = ("on_request", "on_response")

# The number of each status by phase: 0 headers, 1 body, 2 trailers, 3 whole message. A local
# reply stops the iteration; the core has noted it and acts when the hook returns.
CODES: Final[tuple[dict[Status, int], ...]] = (
    {
        Status.CONTINUE: 0,
        Status.STOP_ITERATION: 1,
        Status.STOP_ALL_AND_BUFFER: 2,
        Status.STOP_ALL_AND_WATERMARK: 3,
        Status.LOCAL_REPLY: 1,
    },
    {
        Status.CONTINUE: 0,
        Status.STOP_AND_BUFFER: 1,
        Status.STOP_AND_WATERMARK: 2,
        Status.STOP_NO_BUFFER: 3,
        Status.LOCAL_REPLY: 3,
    },
    {Status.CONTINUE: 0, Status.STOP_ITERATION: 1, Status.LOCAL_REPLY: 1},
    {Status.CONTINUE: 0, Status.STOP_ITERATION: 1, Status.LOCAL_REPLY: 1},
)
