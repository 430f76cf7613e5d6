"""The results as a picture: SVG of horizontal bars with intervals, one panel for each case.

Own lines of text, no library. The colours of the text and the lines follow the reader's light or
dark scheme by a media query; where that is not known they can be read on both.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from .figures import Figure
from .measure import Result, Row

__all__ = ["chart"]

_WIDTH = 900
_BARS = 250  # where they begin; the rows' names stand before them
_BARS_WIDTH = 440
_ROW = 22
_BAR = 14
_HEAD = 46
_GAP = 18
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .title { font-size: 14px; font-weight: 600; }
  .unit, .missing { font-size: 11px; }
  .ours { fill: #2f81f7; }
  .other { fill: #a0a9b2; }
  .interval { stroke: #57606a; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #c9d1d9; }
    .interval { stroke: #c9d1d9; }
  }
"""


def _round_up(value: float) -> float:
    """To two digits."""
    step = 10.0 ** (len(str(int(max(value, 1)))) - 2)
    return (int(value / step) + 1) * step


def _scale(result: Result) -> float:
    """The value at the right end; rows beyond five times the middle one are cut there."""
    tops = sorted(row["figure"]["high"] for row in result["rows"].values())
    middle = tops[len(tops) // 2]
    return _round_up(max(top for top in tops if top <= 5 * middle))


def _text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "start") -> str:
    class_ = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{class_}>{escape(words)}</text>'


def _value(row: Row, base: str | None) -> str:
    words = f"{row['figure']['median']:.4g}"
    ratio: Figure | None = row.get("ratio")
    return words if ratio is None else f"{words}  ({ratio['median']:.2f} of {base})"


def _bar(name: str, row: Row, y: float, top: float, base: str | None) -> list[str]:
    figure = row["figure"]
    per_unit = _BARS_WIDTH / top
    end = min(figure["median"], top) * per_unit
    low, high = (min(figure[side], top) * per_unit + _BARS for side in ("low", "high"))
    kind = "ours" if name.startswith("moebridge") else "other"
    middle = y + _BAR / 2
    lines = [
        _text(_BARS - 10, y + 11, name, anchor="end"),
        f'<rect class="{kind}" x="{_BARS}" y="{y:.1f}" width="{end:.1f}" height="{_BAR}">'
        f"<title>{escape(row['title'])}</title></rect>",
    ]
    if figure["median"] <= top:
        lines.append(
            f'<path class="interval" fill="none" d="M{low:.1f} {middle:.1f}H{high:.1f}'
            f'M{low:.1f} {middle - 4:.1f}v8M{high:.1f} {middle - 4:.1f}v8"/>'
        )
    cut = "" if figure["median"] <= top else "... "
    after = max(_BARS + end, high) + 8
    return [*lines, _text(after, y + 11, cut + _value(row, base))]


def _panel(result: Result, y: float) -> tuple[list[str], float]:
    """Returns the panel's elements and where the next one may begin."""
    lines = [
        _text(16, y + 16, result["title"], kind="title"),
        _text(
            16, y + 34, f"{result['unit']}, median and 95 % interval; {result['load']}", kind="unit"
        ),
    ]
    y += _HEAD
    top = _scale(result) if result["rows"] else 1
    for name, row in result["rows"].items():
        lines += _bar(name, row, y, top, result["base"])
        y += _ROW
    if result["missing"]:
        words = "not measured: " + ", ".join(result["missing"])
        lines.append(_text(_BARS, y + 10, words, kind="missing"))
        y += _ROW
    return lines, y + _GAP


def chart(results: Mapping[str, Result]) -> str:
    """Returns an SVG document with a panel for each result."""
    y = 12.0
    body: list[str] = []
    for result in results.values():
        lines, y = _panel(result, y)
        body += lines
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y:.0f}" '
            f'viewBox="0 0 {_WIDTH} {y:.0f}" role="img" aria-label="What a request costs">',
            f"<style>{_STYLE}</style>",
            *body,
            "</svg>\n",
        ]
    )
