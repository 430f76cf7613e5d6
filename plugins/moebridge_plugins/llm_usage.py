"""Meters the tokens of OpenAI-style services, and bounds what each tenant may spend.

Responses pass as they come, not a byte is held: the filter reads along. It reads `usage` of JSON
answers and of server-sent events; encoded responses (gzip ...) cannot be read, so the upstream is
asked for none. A request is let in while its tenant has not spent the budget of the window; what
it then costs is known only at its end, so the last one may go over.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import moebridge as mb
from moebridge_plugins._budget import Budgets
from moebridge_plugins._usage import EventMeter, JsonMeter, Meter

__all__ = ["LlmUsage"]

SPACE = "moebridge.llm_usage"
ANONYMOUS = "anonymous"
MAX_NAME_CHARS = 64


class Exchange:
    """One stream."""

    __slots__ = ("account", "held", "held_bytes", "is_done", "meter")

    def __init__(self) -> None:
        self.account = ""  # "" = not metered
        self.meter: Meter | None = None
        self.held: list[bytes] | None = None  # request body, until `stream_options` is in it
        self.held_bytes = 0
        self.is_done = False


class LlmUsage(mb.HttpFilter):
    """Meter prompt and completion tokens per tenant; answer 429 over a budget.

    Counters: `prompt_tokens` and `completion_tokens` by tenant, `requests`, `over_budget`,
    `unmetered` (2xx responses that said nothing of tokens), `oversized` (events or documents over
    `max_event_bytes`). The counts of a stream are in the metadata `moebridge.llm_usage`.
    """

    class Config(mb.Config):
        """Configuration."""

        #: Request header with the tenant, as `api_key` sets it; without it "anonymous".
        tenant_header: str = "x-tenant"
        #: Prefixes of paths that are metered; empty = all.
        paths: list[str] = []
        #: Tokens of a tenant in a window; 0 = no bound.
        budget_tokens: int = 0
        #: Other budgets, by tenant.
        budgets: dict[str, int] = {}
        window_s: float = 3600.0
        #: Ask for `usage` in streams: adds `stream_options` to JSON requests with `"stream": true`.
        include_usage: bool = False
        #: Longer request bodies go on unchanged.
        max_request_bytes: int = 1024 * 1024
        max_event_bytes: int = 256 * 1024
        #: Tenants that are told apart; the rest are counted together.
        max_tenants: int = 1000

        def __post_init__(self) -> None:
            """Checks the ranges."""
            if not 0 < self.window_s <= 10**9:
                raise ValueError("window_s: must be seconds > 0")
            if min(self.max_request_bytes, self.max_event_bytes, self.max_tenants) < 1:
                raise ValueError("max_request_bytes, max_event_bytes, max_tenants: must be > 0")

    State = Exchange
    config: Config

    def on_load(self) -> None:
        """Defines the counters."""
        config = self.config
        self._budgets = Budgets(
            limit=config.budget_tokens,
            limits=config.budgets,
            window_s=config.window_s,
            max_tenants=config.max_tenants,
        )
        self._requests = self.counter("requests")
        self._over_budget = self.counter("over_budget")
        self._unmetered = self.counter("unmetered")
        self._oversized = self.counter("oversized")
        self._by_tenant: dict[str, tuple[mb.Counter, mb.Counter]] = {}
        for tenant in config.budgets:
            self._define(tenant)

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        """Checks the budget, and prepares the request."""
        config, request = self.config, stream.request
        if config.paths and not request.path.startswith(tuple(config.paths)):
            return None
        headers = request.headers
        tenant = headers.get(config.tenant_header, "")[:MAX_NAME_CHARS] or ANONYMOUS
        account = self._budgets.account(tenant, time.monotonic())
        wait_s = self._budgets.wait_s(account, time.monotonic())
        if wait_s:
            self._over_budget.inc()
            return refuse(stream, wait_s)
        state: Exchange = stream.state
        state.account = account
        self._requests.inc()
        if account not in self._by_tenant:
            # Not in a hook: there metrics cannot be defined. It is there when the answer comes.
            asyncio.get_running_loop().call_soon(self._define, account)
        headers["accept-encoding"] = "identity"
        if config.include_usage and not request.ended and may_stream(headers, config):
            state.held = []
            return mb.Status.STOP_ITERATION
        return None

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> mb.Status | None:
        """Gathers a JSON request and adds `stream_options` to it."""
        state: Exchange = stream.state
        if state.held is None:
            return None
        state.held.append(bytes(data))
        state.held_bytes += len(state.held[-1])
        is_too_long = state.held_bytes > self.config.max_request_bytes
        if not stream.request.ended and not is_too_long:
            return mb.Status.STOP_NO_BUFFER
        body = b"".join(state.held)
        state.held = None
        if not is_too_long:
            body = with_usage(body)
            if "content-length" in stream.request.headers:
                stream.request.headers["content-length"] = str(len(body))
        data.replace(body)
        return None

    def on_response_headers(self, stream: mb.Stream) -> None:
        """Chooses how the response is read."""
        state: Exchange = stream.state
        response = stream.response
        if not state.account or response.ended or not 200 <= response.status < 300:
            state.is_done = True
            return
        if response.headers.get("content-encoding", "identity") == "identity":
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind == "text/event-stream":
                state.meter = EventMeter(self.config.max_event_bytes)
            elif kind == "application/json":
                state.meter = JsonMeter(self.config.max_event_bytes)

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        """Reads along."""
        state: Exchange = stream.state
        if state.meter is not None and len(data):
            state.meter.feed(bytes(data))
        if stream.response.ended and not state.is_done:
            self._settle(state)
            tokens = state.meter.tokens() if state.meter is not None else None
            if tokens is not None:
                stream.metadata.set(SPACE, "tenant", state.account)
                stream.metadata.set(SPACE, "prompt_tokens", tokens.prompt)
                stream.metadata.set(SPACE, "completion_tokens", tokens.completion)

    def on_complete(self, stream: mb.Stream) -> None:
        """A response that was cut has cost something too."""
        state: Exchange = stream.state
        if state.meter is not None and not state.is_done:
            self._settle(state)

    def _settle(self, state: Exchange) -> None:
        state.is_done = True
        tokens = state.meter.tokens() if state.meter is not None else None
        if state.meter is not None and state.meter.oversized:
            self._oversized.inc(state.meter.oversized)
        if tokens is None:
            self._unmetered.inc()
            return
        self._budgets.spend(state.account, tokens.prompt + tokens.completion, time.monotonic())
        self._count(state.account, tokens.prompt, tokens.completion)

    def _count(self, account: str, prompt: int, completion: int) -> None:
        if account in self._by_tenant:
            counters = self._by_tenant[account]
            counters[0].inc(prompt)
            counters[1].inc(completion)
        else:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._define_and_count, account, prompt, completion)

    def _define_and_count(self, account: str, prompt: int, completion: int) -> None:
        self._define(account)
        self._count(account, prompt, completion)

    def _define(self, account: str) -> None:
        if account not in self._by_tenant:
            label = {"tenant": account}
            self._by_tenant[account] = (
                self.counter("prompt_tokens", label),
                self.counter("completion_tokens", label),
            )


def refuse(stream: mb.Stream, wait_s: int) -> mb.Status:
    """Answers as OpenAI does."""
    error = {
        "message": f"The token budget is spent; it is renewed in {wait_s} s.",
        "type": "tokens",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    headers = {"content-type": "application/json", "retry-after": str(wait_s)}
    body = json.dumps({"error": error}).encode()
    return stream.respond(429, headers=headers, body=body, details="llm_usage_over_budget")


def may_stream(headers: mb.Headers, config: LlmUsage.Config) -> bool:
    """Whether a request's body is worth reading."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    length = headers.get("content-length", "0")
    is_short = length.isdecimal() and int(length) <= config.max_request_bytes
    return kind == "application/json" and "content-encoding" not in headers and is_short


def with_usage(body: bytes) -> bytes:
    """The request with `stream_options.include_usage`, if it asks for a stream; else unchanged.

    Where it can, it adds text and leaves the rest as it was written.
    """
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(document, dict) or document.get("stream") is not True:
        return body
    options = document.get("stream_options")
    if "stream_options" not in document:
        start = body.index(b"{") + 1
        return body[:start] + b'"stream_options":{"include_usage":true},' + body[start:]
    if options is not None and not isinstance(options, dict):
        return body
    document["stream_options"] = {**(options or {}), "include_usage": True}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
