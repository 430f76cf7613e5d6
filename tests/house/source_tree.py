"""The files of the repository, and enough C lexing for the rules of the house."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NATIVE = ROOT / "native"
_NOT_CODE = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""",
    re.DOTALL | re.VERBOSE,
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)


def tracked_files() -> list[Path]:
    """Returns the files that git knows or would add, those of the index that still exist."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return sorted(path for path in paths if path.is_file())


def native_files() -> list[Path]:
    """Returns the C and C++ files of the core, public headers included."""
    return [p for p in tracked_files() if NATIVE in p.parents and p.suffix in (".c", ".h", ".cc")]


def code_only(text: str) -> str:
    """Blanks comments, literals and preprocessor lines of C; line numbers stay."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match.group())

    return _DIRECTIVE.sub(blank, _NOT_CODE.sub(blank, text))


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def closing(code: str, position: int) -> int:
    """Returns where the bracket at `position` closes, or the end of `code`."""
    pairs = {"(": ")", "{": "}"}
    opening, end = code[position], pairs[code[position]]
    depth = 0
    for at in range(position, len(code)):
        depth += (code[at] == opening) - (code[at] == end)
        if depth == 0:
            return at
    return len(code)
