"""Writes the C source of `moebridge._core`, the cffi binding of the whole C core.

`setup.py` calls it. The declarations that cffi parses are cut from the public headers, between
`/* cffi: begin */` and `/* cffi: end */`: there is no second copy of them. What stands there must
be plain declarations; this module only takes off what cffi's parser does not know.
"""

from __future__ import annotations

import re
from pathlib import Path

import cffi

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "native" / "include"
HEADERS = (
    "moebridge/common.h",
    "moebridge/filter.h",
    "moebridge/network_filter.h",
    "moebridge/core.h",
)
# `extern "Python"` functions: what the cffi dispatcher gives to the core as hooks.
CALLBACKS = ROOT / "bridge" / "moebridge" / "_core_callbacks.h"

_SLICE = re.compile(r"/\* cffi: begin \*/(.*?)/\* cffi: end \*/", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_DECORATION = re.compile(r"\bMB_API\b|\b__attribute__\s*\(\(.*?\)\)(?=\s*[;{])")
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(\S[^\n]*?)[ \t]*$", re.MULTILINE)
_INTEGER = re.compile(r"-?(0x[0-9a-f]+|[0-9]+)[ul]*", re.IGNORECASE)


def sources() -> list[Path]:
    """Returns the files that the binding is made from, those that exist."""
    return [path for path in (*(INCLUDE / name for name in HEADERS), CALLBACKS) if path.exists()]


def declarations(text: str) -> str:
    """Returns the declarations of one public header as cffi's `cdef` takes them.

    Args:
        text: the header.

    Returns:
        All marked slices, one behind the other, without comments and attributes. The value of a
        constant that is no integer literal is left to the compiler (`#define NAME ...`).

    Raises:
        ValueError: there is no marked slice.
    """
    slices = _SLICE.findall(text)
    if not slices:
        raise ValueError("the header has no slice between /* cffi: begin */ and /* cffi: end */")
    plain = _DECORATION.sub("", _COMMENT.sub(" ", "\n".join(slices)).replace("\\\n", " "))
    return _DEFINE.sub(_constant, plain)


def _constant(match: re.Match[str]) -> str:
    name, value = match.groups()
    return f"#define {name} {value if _INTEGER.fullmatch(value) else '...'}"


def cdef() -> str:
    """Returns what cffi is told: the slices of all headers, then the callbacks into Python."""
    parts = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        parts.append(_COMMENT.sub(" ", text) if path == CALLBACKS else declarations(text))
    return "\n".join(parts)


def write_source(target: Path) -> None:
    """Writes the binding's C source, unless it is newer than all that it is made from.

    Args:
        target: the C file; its folder is made.
    """
    made_from = [*sources(), Path(__file__)]
    if target.exists() and target.stat().st_mtime > max(p.stat().st_mtime for p in made_from):
        return
    ffi = cffi.FFI()
    ffi.cdef(cdef())
    present = [name for name in HEADERS if (INCLUDE / name).exists()]
    # The extension is built for one CPython, so it may use more than the stable ABI.
    prelude = "".join(f"#include <{name}>\n" for name in present)
    ffi.set_source("moebridge._core", prelude)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # cffi keeps a file that did not change, with its old time
    ffi.emit_c_code(str(target))
