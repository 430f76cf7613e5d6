"""Lowers the small messages that several places share: headers to add, matchers, data, formats."""

from __future__ import annotations

import os
import re
from typing import Any

import msgspec

from moebridge.config.access_log_format import FormatError, parse_format
from moebridge.config.faults import Faults, Path, quoted
from moebridge.config.model import HttpFilter
from moebridge.config.proto_json import NOT_YET, Node
from moebridge.config.value_model import (
    AppendAction,
    HeaderAdd,
    HeaderChanges,
    RegexRewrite,
    Segment,
    StringMatch,
    StringMatchKind,
)

__all__ = [
    "Context",
    "data_source",
    "format_segments",
    "header_add",
    "header_changes",
    "header_name",
    "lowered_enum",
    "metadata",
    "regex",
    "regex_rewrite",
    "string_match",
]

#: Largest file that a DataSource may name.
MAX_DATA_BYTES = 1024 * 1024

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_PSEUDO = frozenset((":method", ":path", ":authority", ":scheme", ":protocol"))
_NO_CHANGES = HeaderChanges()
_APPEND_ACTIONS: dict[str, AppendAction] = {
    "APPEND_IF_EXISTS_OR_ADD": "append_if_exists_or_add",
    "ADD_IF_ABSENT": "add_if_absent",
    "OVERWRITE_IF_EXISTS_OR_ADD": "overwrite_if_exists_or_add",
    "OVERWRITE_IF_EXISTS": "overwrite_if_exists",
}
_STRING_KINDS: tuple[StringMatchKind, ...] = ("exact", "prefix", "suffix", "contains")


class Context(msgspec.Struct, kw_only=True):
    """What the parts of one configuration must know of each other."""

    faults: Faults
    #: Names of all clusters.
    clusters: frozenset[str]
    #: A route may only name a known cluster.
    validate_clusters: bool = True
    #: The chain of the connection manager that is being read, by name.
    filters: dict[str, HttpFilter] = {}
    #: Its values where a route says nothing.
    stream_idle_ms: int = 0
    max_stream_duration_ms: int = 0
    max_direct_response_bytes: int = 4096
    #: Static secrets by name.
    secrets: dict[str, Node] = {}

    def fault(self, path: Path, message: str) -> None:
        """Notes a fault."""
        self.faults.add(path, message)


def lowered_enum(node: Node, name: str, default: str) -> Any:
    """An enum field in the model's spelling."""
    value: str = node.get(name, default)
    return value.lower()


def header_name(ctx: Context, path: Path, name: str, *, pseudo: bool = False) -> str:
    """Checks a header's name, gives it in lower case.

    Args:
        ctx: where a fault goes.
        path: where the name stands.
        name: as written; "" is left alone.
        pseudo: `:path` and its like are allowed.
    """
    lower = name.lower()
    if name and not _TOKEN.match(name) and not (pseudo and lower in _PSEUDO):
        ctx.fault(path, f"{quoted(name)} is no header name")
    return lower


def changeable_name(ctx: Context, path: Path, name: str) -> str:
    """A header's name that a route may add or remove."""
    if name.startswith(":") or name.lower() == "host":
        ctx.fault(path, f"{quoted(name)}: pseudo-headers and host cannot be changed here")
        return ""
    return header_name(ctx, path, name)


def format_segments(ctx: Context, path: Path, text: str, *, empty: str) -> list[Segment]:
    """A format string's segments."""
    try:
        return parse_format(text, empty=empty)
    except FormatError as error:
        ctx.fault(path, str(error))
        return []


def header_add(ctx: Context, node: Node) -> HeaderAdd | None:
    """A HeaderValueOption; None when it is wrong."""
    header = node.node("header")
    if "key" not in header:
        return None
    name = changeable_name(ctx, header.at("key"), header["key"])
    if "append" in node and "append_action" in node:
        ctx.fault(node.path, "only one of append and append_action can be given")
    action = _APPEND_ACTIONS[node.get("append_action", "APPEND_IF_EXISTS_OR_ADD")]
    if node.get("append") is False:
        action = "overwrite_if_exists_or_add"
    return HeaderAdd(
        name=name,
        value=format_segments(ctx, header.at("value"), header.get("value", ""), empty=""),
        append_action=action,
        keep_empty_value=node.get("keep_empty_value", False),
    )


def header_changes(ctx: Context, node: Node) -> HeaderChanges:
    """The four lists that routes, virtual hosts and so on have."""
    request_add = _adds(ctx, node, "request_headers_to_add")
    request_remove = _removes(ctx, node, "request_headers_to_remove")
    response_add = _adds(ctx, node, "response_headers_to_add")
    response_remove = _removes(ctx, node, "response_headers_to_remove")
    if not (request_add or request_remove or response_add or response_remove):
        return _NO_CHANGES
    return HeaderChanges(
        request_add=request_add,
        request_remove=request_remove,
        response_add=response_add,
        response_remove=response_remove,
    )


def _adds(ctx: Context, node: Node, field: str) -> list[HeaderAdd]:
    if field not in node:
        return []
    return [add for n in node[field] if (add := header_add(ctx, n)) is not None]


def _removes(ctx: Context, node: Node, field: str) -> list[str]:
    if field not in node:
        return []
    path = node.at(field)
    return [changeable_name(ctx, (path, i), name) for i, name in enumerate(node[field])]


def regex(node: Node) -> str:
    """A RegexMatcher's expression; RE2 in the core compiles and judges it."""
    text: str = node.get("regex", "")
    return text


def regex_rewrite(node: Node) -> RegexRewrite:
    """A RegexMatchAndSubstitute."""
    return RegexRewrite(
        pattern=regex(node.node("pattern")), substitution=node.get("substitution", "")
    )


def string_match(node: Node) -> StringMatch:
    """A StringMatcher."""
    for kind in _STRING_KINDS:
        if kind in node:
            return StringMatch(
                kind=kind, value=node[kind], ignore_case=node.get("ignore_case", False)
            )
    return StringMatch(kind="safe_regex", value=regex(node.node("safe_regex")))


def data_source(ctx: Context, node: Node) -> bytes:
    """A DataSource's bytes: inline, from a file, or from the environment."""
    if "inline_string" in node:
        return bytes(node["inline_string"], "utf-8")
    if "inline_bytes" in node:
        return bytes(node["inline_bytes"])
    if "environment_variable" in node:
        value = os.environb.get(os.fsencode(node["environment_variable"]))
        if value is None:
            ctx.fault(node.at("environment_variable"), "is not set in the environment")
        return value or b""
    if "filename" in node:
        return _file(ctx, node.at("filename"), node["filename"])
    return b""


def _file(ctx: Context, path: Path, name: str) -> bytes:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            data = file.read(MAX_DATA_BYTES + 1) or b""
    except OSError as error:
        ctx.fault(path, f"{quoted(name)} cannot be read: {error.strerror}")
        return b""
    except ValueError:
        ctx.fault(path, "the name has a NUL in it")
        return b""
    if len(data) > MAX_DATA_BYTES:
        ctx.fault(path, f"{quoted(name)} is larger than {MAX_DATA_BYTES >> 20} MiB")
    return data


def metadata(node: Node) -> dict[str, dict[str, Any]]:
    """A message's `metadata.filter_metadata`."""
    if "metadata" not in node:
        return {}
    found: dict[str, dict[str, Any]] = node["metadata"].get("filter_metadata", {})
    return found


def refuse_unless(ctx: Context, node: Node, *allowed: str) -> None:
    """Faults fields of a message that serve another place than this one."""
    for name in node:
        if name not in allowed:
            ctx.fault(node.at(name), f"{NOT_YET} here")
