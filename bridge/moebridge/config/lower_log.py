"""Lowers access logs."""

from __future__ import annotations

from moebridge.config.access_log_format import DEFAULT_FORMAT, parse_json_format
from moebridge.config.faults import Path
from moebridge.config.lower_values import Context, data_source, format_segments
from moebridge.config.model import AccessLog
from moebridge.config.proto_json import NOT_YET, Node
from moebridge.config.value_model import Segment

__all__ = ["access_logs"]


def access_logs(ctx: Context, nodes: list[Node]) -> list[AccessLog]:
    """The access logs of a connection manager."""
    logs = []
    for node in nodes:
        if "typed_config" in node:
            logs.append(_access_log(ctx, node["typed_config"]))
        elif "typed_config" not in node.bad:
            ctx.fault(node.at("typed_config"), "is required")
    return logs


def _access_log(ctx: Context, node: Node) -> AccessLog:
    if node.type.endswith(".StdoutAccessLog"):
        return AccessLog(sink="stdout", format=_log_format(ctx, node))
    if node.type.endswith(".StderrAccessLog"):
        return AccessLog(sink="stderr", format=_log_format(ctx, node))
    return AccessLog(sink="file", path=node.get("path", ""), format=_file_format(ctx, node))


def _file_format(ctx: Context, node: Node) -> list[Segment]:
    """FileAccessLog has older fields of its own."""
    if node.get("format"):
        return format_segments(ctx, node.at("format"), node["format"], empty="-")
    for name in ("json_format", "typed_json_format"):
        if name in node:
            return _json(ctx, node.at(name), node[name])
    return _log_format(ctx, node)


def _log_format(ctx: Context, node: Node) -> list[Segment]:
    if "log_format" not in node:
        return format_segments(ctx, node.path, DEFAULT_FORMAT, empty="-")
    log_format = node["log_format"]
    omit = log_format.get("omit_empty_values", False)
    empty = "" if omit else "-"
    if "json_format" in log_format:
        if omit:
            ctx.fault(log_format.at("omit_empty_values"), f"with json_format {NOT_YET}")
        return _json(ctx, log_format.at("json_format"), log_format["json_format"])
    if "text_format_source" in log_format:
        source = log_format["text_format_source"]
        text = data_source(ctx, source)
        try:
            return format_segments(ctx, source.path, text.decode(), empty=empty)
        except UnicodeDecodeError:
            ctx.fault(source.path, "not UTF-8 text")
            return []
    text_format = log_format.get("text_format", "")
    if not text_format and "text_format" in log_format:
        text_format = DEFAULT_FORMAT
    return format_segments(ctx, log_format.at("text_format"), text_format, empty=empty)


def _json(ctx: Context, path: Path, value: dict[str, object]) -> list[Segment]:
    def report(steps: tuple[str | int, ...], message: str) -> None:
        at = path
        for step in steps:
            at = (at, step)
        ctx.fault(at, message)

    return parse_json_format(value, report=report)
