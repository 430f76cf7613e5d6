"""The figures in the documents are those of benchmarks/results."""

from __future__ import annotations

import importlib.util
import json
from types import ModuleType

import pytest

from .source_tree import ROOT


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "tools" / "render_figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("document", ["README.md", "docs/performance.md"])
def test_document_has_the_figures_of_the_results(render: ModuleType, document: str) -> None:
    text = (ROOT / document).read_text()
    assert "<!-- figures: begin" in text
    assert render.rendered(text) == text, "run tools/render_figures.py"


def test_changed_figure_is_noticed(render: ModuleType) -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    figure = render.load("bench")["cases"]["small"]["rows"]["moebridge"]["figure"]["median"]
    shown = f"| {figure:.1f} ("
    assert shown in text
    assert render.rendered(text.replace(shown, "| 0.1 (")) == text


@pytest.mark.parametrize("name", ["bench", "micro"])
def test_results_say_what_they_depend_on(name: str) -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    made = results["environment"]
    for key in ("commit", "cpu", "interpreter", "command", "nginx", "load_average"):
        assert made[key], key
