#!/usr/bin/env python3
"""Writes native/http/token_table.h: the header names that the proxy knows, and their hash.

The names below are the one list of them. The hash is perfect: the generator tries multipliers
until every name has a slot of its own, always in the same order, so that the output depends on
this file only. `--check` compares instead of writing; a test runs it.

Usage: tools/gen_tokens.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent.parent / "native" / "http" / "token_table.h"

# Framing and hop-by-hop first: the codecs test for these by range (MB_TOKEN_HOP_BY_HOP_LAST).
HOP_BY_HOP = """
connection keep-alive proxy-connection transfer-encoding upgrade te trailer http2-settings
"""

NAMES = """
host content-length expect
accept accept-charset accept-encoding accept-language accept-ranges age allow alt-svc
access-control-allow-credentials access-control-allow-headers access-control-allow-methods
access-control-allow-origin access-control-expose-headers access-control-max-age
access-control-request-headers access-control-request-method
authorization cache-control content-disposition content-encoding content-language
content-location content-range content-security-policy content-type cookie date etag expires
forwarded from if-match if-modified-since if-none-match if-range if-unmodified-since
last-modified link location max-forwards origin pragma priority proxy-authenticate
proxy-authorization range referer refresh retry-after sec-fetch-dest sec-fetch-mode
sec-fetch-site sec-fetch-user server server-timing set-cookie strict-transport-security
upgrade-insecure-requests user-agent vary via www-authenticate
sec-websocket-accept sec-websocket-key sec-websocket-protocol sec-websocket-version
grpc-accept-encoding grpc-encoding grpc-message grpc-status grpc-timeout
traceparent tracestate baggage b3 x-b3-traceid x-b3-spanid x-b3-parentspanid x-b3-sampled
x-api-key x-request-id x-client-trace-id x-real-ip x-ratelimit-limit x-ratelimit-remaining
x-ratelimit-reset x-content-type-options x-frame-options x-xss-protection x-powered-by
x-requested-with x-user
x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-forwarded-client-cert
x-envoy-attempt-count x-envoy-decorator-operation x-envoy-degraded
x-envoy-downstream-service-cluster x-envoy-downstream-service-node
x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-force-trace
x-envoy-hedge-on-per-try-timeout x-envoy-immediate-health-check-fail x-envoy-internal
x-envoy-ip-tags x-envoy-is-timeout-retry x-envoy-local-overloaded x-envoy-max-retries
x-envoy-original-dst-host x-envoy-original-host x-envoy-original-method x-envoy-original-path
x-envoy-overloaded x-envoy-ratelimited x-envoy-retriable-header-names
x-envoy-retriable-status-codes x-envoy-retry-grpc-on x-envoy-retry-on
x-envoy-upstream-alt-stat-name x-envoy-upstream-canary
x-envoy-upstream-healthchecked-cluster x-envoy-upstream-rq-per-try-timeout-ms
x-envoy-upstream-rq-timeout-alt-response x-envoy-upstream-rq-timeout-ms
x-envoy-upstream-service-time x-envoy-upstream-stream-duration-ms
"""

SLOT_BITS = 10
MASK32 = 0xFFFFFFFF


def words(name: str) -> tuple[int, int, int]:
    """The first four, middle four and last four bytes, as token.c reads them (little endian)."""
    raw = name.encode()
    size = len(raw)
    if size < 4:
        return int.from_bytes(raw.ljust(4, b"\0"), "little"), 0, 0
    middle = (size - 4) // 2
    return (
        int.from_bytes(raw[:4], "little"),
        int.from_bytes(raw[middle : middle + 4], "little"),
        int.from_bytes(raw[-4:], "little"),
    )


def slot(name: str, first: int, middle: int, last: int) -> int:
    """The hash of token.c."""
    a, b, c = words(name)
    mixed = (a * first + b * middle + c * last + len(name) * first) & MASK32
    return mixed >> (32 - SLOT_BITS)


def find_multipliers(names: list[str]) -> tuple[int, int, int]:
    """The first three odd multipliers, of a fixed sequence, that give every name its own slot."""
    state = 0x2545F491
    while True:
        found: list[int] = []
        for _ in range(3):
            state = (state * 1664525 + 1013904223) & MASK32
            found.append((state ^ (state >> 13)) | 1)
        first, middle, last = found
        if len({slot(name, first, middle, last) for name in names}) == len(names):
            return first, middle, last


def render() -> str:
    """The whole text of the generated header."""
    hop_by_hop = HOP_BY_HOP.split()
    names = hop_by_hop + NAMES.split()
    if len(set(names)) != len(names):
        sys.exit("gen_tokens: a name is listed twice")
    first, middle, last = find_multipliers(names)
    slots = [0] * (1 << SLOT_BITS)
    for index, name in enumerate(names, start=1):
        slots[slot(name, first, middle, last)] = index
    items = [f'    X({name.upper().replace("-", "_")}, "{name}")' for name in names]
    rows = [
        "    " + ", ".join(str(value) for value in slots[at : at + 16])
        for at in range(0, len(slots), 16)
    ]
    return "\n".join(
        [
            "/* Generated by tools/gen_tokens.py; do not edit. */",
            "#ifndef MB_HTTP_TOKEN_TABLE_H",
            "#define MB_HTTP_TOKEN_TABLE_H",
            "",
            "/* clang-format off */",
            "#define MB_TOKEN_LIST(X) \\",
            " \\\n".join(items),
            "",
            f"#define MB_TOKEN_HOP_BY_HOP_LAST {len(hop_by_hop)}",
            f"#define MB_TOKEN_NAME_MAX {max(map(len, names))}",
            f"#define MB_TOKEN_SLOT_BITS {SLOT_BITS}",
            f"#define MB_TOKEN_HASH_FIRST {first}u",
            f"#define MB_TOKEN_HASH_MIDDLE {middle}u",
            f"#define MB_TOKEN_HASH_LAST {last}u",
            "#define MB_TOKEN_SLOTS \\",
            ", \\\n".join(rows),
            "/* clang-format on */",
            "",
            "#endif",
            "",
        ]
    )


def main() -> int:
    """Writes the header, or with --check says whether it is what would be written."""
    text = render()
    if sys.argv[1:] == ["--check"]:
        if OUTPUT.read_text(encoding="ascii") != text:
            print(
                "native/http/token_table.h is not what tools/gen_tokens.py makes", file=sys.stderr
            )
            return 1
        return 0
    OUTPUT.write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
