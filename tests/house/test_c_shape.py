"""Files and functions of the core stay small, and every branch has braces."""

from __future__ import annotations

import re

import pytest

from .source_tree import NATIVE, closing, code_only, line_of, native_files

FILE_LINES = 600
FUNCTION_LINES = 60
_TRANSPARENT = re.compile(r"(extern\s*|namespace\s*\w*\s*)$")
_BODY = re.compile(r"\)[\s\w]*$")
_NAME = re.compile(r"(\w+)\s*\(")
_BRANCH = re.compile(r"\b(if|for|while|switch|else|do)\b")


def functions(text: str) -> list[tuple[str, int, int]]:
    """Returns name, first line of the body and number of its lines, for each function of a file."""
    code = code_only(text)
    found = []
    at = start = 0
    while (at := code.find("{", at)) >= 0:
        head = code[start:at]
        if _TRANSPARENT.search(head):
            start = at = at + 1
            continue
        end = closing(code, at)
        if _BODY.search(head):
            names = _NAME.findall(re.split(r"[;}]", head)[-1])
            lines = line_of(code, end) - line_of(code, at) + 1
            found.append((names[0] if names else "?", line_of(code, at), lines))
        start = at = end + 1
    return found


def unbraced(text: str) -> list[int]:
    """Returns the lines of branches and loops whose body isn't in braces."""
    code = code_only(text)
    found = []
    for match in _BRANCH.finditer(code):
        word, at = match.group(1), match.end()
        if word not in ("else", "do"):
            opening = code.find("(", at)
            at = closing(code, opening) + 1
        rest = code[at : at + 200].lstrip()
        allowed = {"else": r"\{|if\b", "while": r"[{;]"}.get(word, r"\{")
        if not re.match(allowed, rest):
            found.append(line_of(code, match.start()))
    return found


def test_no_file_is_longer_than_600_lines() -> None:
    lengths = {f: len(f.read_text(encoding="utf-8").splitlines()) for f in native_files()}
    assert lengths
    long = [f"{f.relative_to(NATIVE)}: {n} lines" for f, n in lengths.items() if n > FILE_LINES]
    assert not long, "\n".join(long)


def test_no_function_is_longer_than_60_lines() -> None:
    long = [
        f"{file.relative_to(NATIVE)}:{line}: {name} has {lines} lines"
        for file in native_files()
        for name, line, lines in functions(file.read_text(encoding="utf-8"))
        if lines > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_every_branch_has_braces() -> None:
    bare = [
        f"{file.relative_to(NATIVE)}:{line}"
        for file in native_files()
        for line in unbraced(file.read_text(encoding="utf-8"))
    ]
    assert not bare, "\n".join(bare)


def test_length_of_a_function_is_counted_without_being_misled() -> None:
    text = (
        '#define BLOCK(x) do { \\\n x; } while (0)\n/* { */\nstatic const char *s = "{";\n'
        "struct point {\n    int x;\n};\nstatic int table[] = {\n    1,\n};\n"
        "int first(void (*hook)(int)) {\n    if (1) {\n    }\n    return '}';\n}\n"
        'extern "C" {\nint second(void)\n{\n}\n}\n'
    )
    assert functions(text) == [("first", 11, 5), ("second", 18, 2)]


@pytest.mark.parametrize(
    "text",
    [
        "if (f(x))\n    y();",
        "for (;;) y();",
        "while (x)\n y();",
        "if (x) {\n} else\n y();",
        "do y(); while (x);",
    ],
)
def test_branch_without_braces_is_found(text: str) -> None:
    assert len(unbraced(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "if (f(x)) {\n} else if (y) {\n} else {\n}",
        "do {\n} while (x);",
        "#if X\n#else\n#endif",
        '/* if */ s = "do";',
    ],
)
def test_branch_with_braces_is_accepted(text: str) -> None:
    assert unbraced(text) == []
