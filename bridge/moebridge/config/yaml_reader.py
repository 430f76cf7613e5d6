"""A YAML or JSON text to plain Python values, safely.

YAML scalars follow the 1.2 core schema, as Envoy's do: `yes` and `on` are text, `010` is ten,
`0o10` is eight, `12:30` is text. Refused, with the line: duplicate keys, tags other than the core
ones (and Envoy's `!ignore`), several documents, aliases that contain themselves, and texts whose
expansion would be large (aliases share one value here but count each time they are used).

Source: YAML 1.2.2, 10.3 Core Schema.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import yaml

from moebridge.config.faults import quoted
from moebridge.errors import ConfigError

__all__ = ["MAX_DEPTH", "MAX_FILE_BYTES", "MAX_NODES", "parse", "read_file"]

#: Largest file that is read.
MAX_FILE_BYTES = 64 * 1024 * 1024
#: Deepest nesting.
MAX_DEPTH = 100
#: Most values in a file, each alias counted as all that it stands for.
MAX_NODES = 2_000_000

_Event = Any
_CORE = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCT = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_IGNORE = object()


class _Refused(Exception):
    """The text is refused; the message has the line."""


def read_file(path: str | os.PathLike[str]) -> Any:
    """Reads a configuration file.

    Args:
        path: the file; a name ending in `.json` is read as JSON, all others as YAML.

    Returns:
        Plain values: dict, list, str, int, float, bool, None.

    Raises:
        ConfigError: unreadable, too large, not UTF-8, or not such a text.
    """
    name = os.fspath(path)
    try:
        # O_NONBLOCK: a named pipe without writer must not hang the command.
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=name) from None
    except ValueError:
        raise ConfigError("cannot be read: the name has a NUL in it", file=repr(name)) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"larger than {MAX_FILE_BYTES >> 20} MiB", file=name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"line {line}: not UTF-8 text", file=name) from None
    return parse(text, is_json=name.endswith(".json"), file=name)


def parse(text: str, *, is_json: bool = False, file: str = "") -> Any:
    """Reads a text; as `read_file`, which says what is returned and raised."""
    try:
        return _parse_json(text) if is_json else _Builder(text).document()
    except _Refused as refused:
        raise ConfigError(str(refused), file=file) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = (
            getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be parsed"
        )
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ConfigError(f"{where}not YAML: {what}", file=file) from None
    except RecursionError:
        raise ConfigError("nested too deeply", file=file) from None


def _parse_json(text: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            names = [name for name, _ in items]
            twice = next(name for name in names if names.count(name) > 1)
            raise _Refused(f"duplicate key {quoted(twice)}")
        return result

    def constant(name: str) -> NoReturn:
        raise _Refused(f"{name} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise _Refused(
            f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
        ) from None
    except ValueError:
        raise _Refused("a number has too many digits") from None


class _Builder:
    """Builds values from the parser's events, in one pass."""

    def __init__(self, text: str) -> None:
        loader = getattr(yaml, "CLoader", yaml.SafeLoader)
        self.events: Iterator[_Event] = iter(yaml.parse(text, Loader=loader))
        self.anchors: dict[str, tuple[Any, int]] = {}  # name -> value, number of nodes
        self.open_anchors: set[str] = set()
        self.nodes = 0
        self.depth = 0

    def document(self) -> Any:
        value: Any = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.refuse(event, "a second document begins; only one is read")
                value = self.node(next(self.events))
        return None if value is _IGNORE else value

    def node(self, event: _Event) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        before = self.nodes
        self.count(event, 1)
        anchor = event.anchor
        if anchor is not None:
            self.open_anchors.add(anchor)
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event)
        else:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                self.refuse(event, f"nested more than {MAX_DEPTH} deep")
            build: Callable[[_Event], Any] = (
                self.mapping if isinstance(event, yaml.MappingStartEvent) else self.sequence
            )
            value = build(event)
            self.depth -= 1
        if anchor is not None:
            self.open_anchors.discard(anchor)
            self.anchors[anchor] = (value, self.nodes - before)
        return _IGNORE if event.tag == "!ignore" else value

    def alias(self, event: _Event) -> Any:
        if event.anchor in self.open_anchors:
            self.refuse(event, f"alias *{event.anchor} contains itself")
        if event.anchor not in self.anchors:
            self.refuse(event, f"alias *{event.anchor} has no anchor before it")
        value, nodes = self.anchors[event.anchor]
        self.count(event, nodes)
        return value

    def mapping(self, start: _Event) -> dict[str, Any]:
        self.check_tag(start, "map")
        result: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if isinstance(event, yaml.AliasEvent):
                key = self.alias(event)
            elif isinstance(event, yaml.ScalarEvent):
                self.count(event, 1)
                key = event.value
                if event.anchor is not None:
                    self.anchors[event.anchor] = (key, 1)
            else:
                self.refuse(event, "a key must be text")
            if not isinstance(key, str):
                self.refuse(event, "a key must be text")
            if key in result:
                self.refuse(event, f"duplicate key {quoted(key)}")
            result[key] = self.node(next(self.events))
        return {key: value for key, value in result.items() if value is not _IGNORE}

    def sequence(self, start: _Event) -> list[Any]:
        self.check_tag(start, "seq")
        result: list[Any] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            value = self.node(event)
            if value is not _IGNORE:
                result.append(value)
        return result

    def scalar(self, event: _Event) -> Any:
        text: str = event.value
        if event.tag in (None, "!ignore"):
            return self.plain(event, text) if event.implicit[0] else text
        if event.tag in ("!", _CORE + "str"):
            return text
        kinds: dict[str, tuple[type, ...]] = {
            "null": (type(None),),
            "bool": (bool,),
            "int": (int,),
            "float": (int, float),
        }
        wanted = kinds.get(str(event.tag).removeprefix(_CORE), ())
        value = self.plain(event, text)
        if not wanted:
            self.refuse(event, f"tag {quoted(event.tag)} is not one of YAML's core schema")
        if type(value) not in wanted:
            self.refuse(event, f"{quoted(text)} is no {event.tag.removeprefix(_CORE)}")
        return float(value) if float in wanted else value

    def plain(self, event: _Event, text: str) -> Any:
        if not text or text[0] in "~nNtTfF.+-0123456789":
            if text in _WORDS:
                return _WORDS[text]
            try:
                if _INT.match(text):
                    return int(text)
                if _OCT.match(text):
                    return int(text[2:], 8)
                if _HEX.match(text):
                    return int(text[2:], 16)
            except ValueError:
                self.refuse(event, "a number has too many digits")
            if _FLOAT.match(text):
                return float(text)
        return text

    def check_tag(self, event: _Event, kind: str) -> None:
        if event.tag not in (None, "!", "!ignore", _CORE + kind):
            self.refuse(event, f"tag {quoted(event.tag)} is not one of YAML's core schema")

    def count(self, event: _Event, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self.refuse(
                event, f"more than {MAX_NODES} values, each alias counted as what it stands for"
            )

    def refuse(self, event: _Event, what: str) -> NoReturn:
        raise _Refused(f"line {event.start_mark.line + 1}: {what}")
