"""ARCHITECTURE.md stays true: short, and every file and name in it exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
CODE = re.findall(r"`([^`\n]+)`", TEXT)
PLACES = sorted({span for span in CODE if re.fullmatch(r"[\w./-]+\.(c|h|py|pyx): \w+", span)})
PATHS = sorted({span for span in CODE if re.fullmatch(r"[\w./-]+\.(c|h|py|pyx|md)|[\w/]+/", span)})
NAMES = sorted({span for span in CODE if re.fullmatch(r"(mb|MB)_\w+(\.\w+)?", span)})
SOURCES = "\n".join(
    path.read_text() for path in sorted((ROOT / "native").rglob("*.[ch]")) if path.is_file()
)


def exists(path: str) -> bool:
    places = ("", "native/", "native/include/moebridge/", "bridge/moebridge/")
    return any((ROOT / place / path).exists() for place in places)


def test_architecture_can_be_read_in_one_sitting() -> None:
    assert len(TEXT.splitlines()) <= 150


def test_the_way_of_a_request_is_named_place_by_place() -> None:
    assert len(PLACES) >= 10


@pytest.mark.parametrize("place", PLACES)
def test_function_named_in_architecture_is_in_its_file(place: str) -> None:
    path, name = place.split(": ")
    assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), place


@pytest.mark.parametrize("path", PATHS)
def test_path_named_in_architecture_exists(path: str) -> None:
    assert exists(path), path


@pytest.mark.parametrize("name", NAMES)
def test_name_in_architecture_is_declared(name: str) -> None:
    for part in name.split("."):
        assert re.search(rf"\b{part}\b", SOURCES), name
