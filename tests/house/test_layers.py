"""A file of the core includes only from its own row of layers and the rows before it."""

from __future__ import annotations

import re

import pytest

from .source_tree import NATIVE, native_files

# ARCHITECTURE.md and native/Makefile name the same layers.
ROWS = [
    ["base"],
    ["http"],
    ["event"],
    ["net"],
    ["filter"],
    ["route", "upstream"],
    ["config"],
    ["server"],
]
ROW_OF = {layer: number for number, row in enumerate(ROWS) for layer in row}
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def layer_of(path: str) -> str:
    return path.split("/")[0].removesuffix(".c").removesuffix(".h")


def faults(path: str, text: str) -> list[str]:
    """Returns what `path` (below native/) may not include."""
    found = []
    for bracket, included in _INCLUDE.findall(text):
        if included == "Python.h":
            found.append(f"{path}: the core knows no Python")
        if bracket == "<" or included.startswith("moebridge/"):
            continue
        if path.startswith("include/"):
            found.append(f"{path}: a public header includes {included}")
        elif "/" not in included:
            found.append(f"{path}: write the layer before {included}")
        elif layer_of(included) not in ROW_OF:
            found.append(f"{path}: {included} is in no layer")
        elif ROW_OF[layer_of(included)] > ROW_OF[layer_of(path)]:
            found.append(f"{path}: {included} is of a later layer")
    return found


def test_no_file_includes_from_a_later_layer() -> None:
    files = native_files()
    assert files
    found = []
    for file in files:
        path = str(file.relative_to(NATIVE))
        if not path.startswith("include/") and layer_of(path) not in ROW_OF:
            found.append(f"{path}: is in no layer")
        else:
            found += faults(path, file.read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("base/slab.c", '#include "http/token.h"'),
        ("upstream/pool.c", '#  include "config/reader.h"'),
        ("base/slab.c", "#include <Python.h>"),
        ("include/moebridge/core.h", '#include "base/slab.h"'),
        ("base/slab.c", '#include "slab.h"'),
        ("base/slab.c", '#include "extra/slab.h"'),
    ],
)
def test_wrong_include_is_found(path: str, line: str) -> None:
    assert len(faults(path, f"#include <stddef.h>\n{line}\n")) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("http/h1_parser.c", '#include "base/slab.h"'),
        ("route/router.c", '#include "upstream/pool.h"'),
        ("upstream/pool.c", '#include "route/router.h"'),
        ("server/server.c", '#include "config/reader.h"'),
        ("base/slab.c", "#include <moebridge/common.h>"),
    ],
)
def test_include_from_an_earlier_row_is_accepted(path: str, line: str) -> None:
    assert faults(path, line) == []
