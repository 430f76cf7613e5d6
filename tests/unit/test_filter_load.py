"""Finding classes by name: what counts as one, and files that change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import moebridge as mb
from moebridge.filter_load import FilterLoader, installed

TEXT = """
from __future__ import annotations
import moebridge as mb

class Outer:
    class Inner(mb.HttpFilter):
        class Config(mb.Config):
            item: Item | None = None
        config: Config

class Item(mb.Config):
    number: int = VERSION
"""


def write(path: Path, version: int) -> Path:
    path.write_text(TEXT.replace("VERSION", str(version)))
    return path


def test_every_installed_filter_is_found() -> None:
    loader = FilterLoader()
    names = ["api_key", "basic_auth", "body_scan", "header_mutation", "llm_usage", "redact"]
    assert sorted(set(installed()) & set(names)) == names
    for name in names:
        assert loader.find(name).__module__ == f"moebridge_plugins.{name}"


def test_nested_class_with_annotations_as_text(tmp_path: Path) -> None:
    write(tmp_path / "f.py", 7)
    loader = FilterLoader((tmp_path,))
    made = loader.make("f.py:Outer.Inner", {"item": {}}, name_path="a.name", config_path="a.value")
    assert made.config.item.number == 7
    with pytest.raises(mb.ConfigError) as caught:
        loader.make(
            "f.py:Outer.Inner", {"item": {"x": 1}}, name_path="a.name", config_path="a.value"
        )
    assert str(caught.value) == "a.value.item.x: unknown field"


def test_file_is_executed_once_for_each_loader(tmp_path: Path) -> None:
    write(tmp_path / "f.py", 1)
    loader = FilterLoader((tmp_path,))
    first = loader.find("f.py:Outer.Inner")
    assert loader.find("f.py:Outer.Inner") is first
    # The same size and, within the clock's grain, the same time: no cache may answer.
    write(tmp_path / "f.py", 2)
    made = FilterLoader((tmp_path,)).make(
        "f.py:Outer.Inner", {"item": {}}, name_path="", config_path=""
    )
    assert made.config.item.number == 2


def test_file_that_fails_leaves_the_module_of_before(tmp_path: Path) -> None:
    path = write(tmp_path / "f.py", 1)
    kind = FilterLoader((tmp_path,)).find("f.py:Outer.Inner")
    before = sys.modules[kind.__module__]
    path.write_text("1/0")
    with pytest.raises(mb.ConfigError, match=r"f\.py line 1 raised ZeroDivisionError"):
        FilterLoader((tmp_path,)).find("f.py:Outer.Inner")
    assert sys.modules[kind.__module__] is before


def test_folders_are_searched_in_order(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "f.py", number)
    write(tmp_path / "b" / "g.py", 5)
    loader = FilterLoader((tmp_path / "a", tmp_path / "b"))
    assert loader.find("f.py:Outer.Inner").__module__.endswith("_f")
    assert sys.modules[loader.find("f.py:Outer.Inner").__module__].__file__ == str(
        tmp_path / "a" / "f.py"
    )
    assert loader.find("g.py:Outer.Inner")
    assert loader.find(f"{tmp_path / 'b' / 'f.py'}:Outer.Inner")


@pytest.mark.parametrize(
    "target", ["", ":", "x:", ":X", "f.py:", "a b", "x/y:Z", "..:X", "f.py:Outer."]
)
def test_what_is_no_name_is_one_line(tmp_path: Path, target: str) -> None:
    write(tmp_path / "f.py", 1)
    with pytest.raises(mb.ConfigError) as caught:
        FilterLoader((tmp_path,)).find(target, path="here")
    assert str(caught.value).startswith("here: ")
    assert "\n" not in str(caught.value)
