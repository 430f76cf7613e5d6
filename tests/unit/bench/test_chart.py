from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from benchmarks.moebridge_bench.chart import chart

from .results import made_up

SVG = "{http://www.w3.org/2000/svg}"
RESULTS = {
    "small": made_up(
        {"nginx": [10, 20, 40], "moebridge": [8, 16, 32], "slow": [5000, 6000, 7000]},
        title="answers of <64> bytes & more",
        missing={"haproxy": "haproxy not installed"},
    ),
    "idle": made_up({"moebridge": [0.25, 0.5]}, base=None),
}


def drawn() -> ElementTree.Element:
    return ElementTree.fromstring(chart(RESULTS))


def test_chart_is_well_formed_with_a_bar_for_each_row() -> None:
    root = drawn()
    assert root.tag == f"{SVG}svg"
    titles = [bar.findtext(f"{SVG}title") for bar in root.iter(f"{SVG}rect")]
    assert titles == [f"the row <{name}>" for name in ("nginx", "moebridge", "slow", "moebridge")]


def test_lengths_of_bars_are_as_the_medians() -> None:
    nginx, ours, *_ = drawn().iter(f"{SVG}rect")
    quotient = float(ours.attrib["width"]) / float(nginx.attrib["width"])
    assert quotient == pytest.approx(0.8, abs=0.001)
    assert (ours.get("class"), nginx.get("class")) == ("ours", "other")


def test_rows_far_beyond_the_others_are_cut_and_say_their_figure() -> None:
    root = drawn()
    slow = list(root.iter(f"{SVG}rect"))[2]
    assert float(slow.attrib["x"]) + float(slow.attrib["width"]) < float(root.attrib["width"])
    assert "... 6000  (300.00 of nginx)" in [text.text for text in root.iter(f"{SVG}text")]


def test_texts_are_those_of_the_results() -> None:
    texts = [text.text for text in drawn().iter(f"{SVG}text")]
    assert "answers of <64> bytes & more" in texts
    assert "not measured: haproxy" in texts
    assert "16  (0.80 of nginx)" in texts
    assert "0.375" in texts  # without a base there is no ratio


def test_text_follows_the_readers_scheme() -> None:
    style = drawn().findtext(f"{SVG}style")
    assert style is not None
    assert re.search(r"prefers-color-scheme: dark\) \{\s*text \{ fill: #", style)


def test_no_result_makes_an_empty_picture() -> None:
    assert list(ElementTree.fromstring(chart({})).iter(f"{SVG}rect")) == []
