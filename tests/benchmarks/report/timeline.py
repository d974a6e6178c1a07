"""GPU timelines as an SVG: `python -m tests.benchmarks.report.timeline` draws those of the saturation row."""

import argparse
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_WIDTH, _LEFT, _RIGHT = 900, 150, 70
_BAR, _GAP, _TOP, _BOTTOM = 18, 6, 34, 34
_DRAWS, _IDLES, _INK = "#3f7d58", "#e9d8d0", "#333333"
_TICK_S = 10


def svg(figures: Sequence[Mapping[str, Any]]) -> str:
    """Draw a band for each host of each contestant: what it drew, on one scale of time.

    `figures` are those of `bench-results/saturation.json`.
    """
    scale = (_WIDTH - _LEFT - _RIGHT) / max(_length(figure) for figure in figures)
    parts, top = [], _TOP
    for figure in figures:
        begins = _begins(figure)
        share = figure["facts"]["saturation"]
        parts.append(_text(8, top + _BAR, figure["name"]))
        end = _LEFT + _length(figure) * scale
        parts.append(_text(end + 8, top + _BAR, f"{share:.0%}"))
        for line in figure["facts"]["timelines"]:
            parts.append(_box(_LEFT, top, end - _LEFT, _IDLES, "idle"))
            parts += [
                _box(
                    _LEFT + (span["began"] - begins) * scale,
                    top,
                    (span["ended"] - span["began"]) * scale,
                    _DRAWS,
                    f"{span['ended'] - span['began']:.2f} s",
                )
                for span in line["spans"]
            ]
            top += _BAR + 2
        top += _GAP + 8
    parts += _ticks(max(_length(figure) for figure in figures), scale, top)
    return _whole(parts, top + _BOTTOM)


def _begins(figure: Mapping[str, Any]) -> float:
    return min(float(span["began"]) for span in _spans(figure))


def _length(figure: Mapping[str, Any]) -> float:
    return max(float(span["ended"]) for span in _spans(figure)) - _begins(figure)


def _spans(figure: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [span for line in figure["facts"]["timelines"] for span in line["spans"]]


def _ticks(length_s: float, scale: float, top: float) -> list[str]:
    marks = []
    for second in range(0, int(length_s) + 1, _TICK_S):
        x = _LEFT + second * scale
        marks.append(
            f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{top}" stroke="{_INK}" '
            'stroke-opacity="0.15"/>'
        )
        marks.append(_text(x - 8, top + 16, f"{second} s"))
    return marks


def _box(x: float, y: float, width: float, colour: str, title: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" fill="{_INK}">{escape(words)}</text>'


def _whole(parts: Sequence[str], height: float) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">'
    )
    paper = f'<rect width="{_WIDTH}" height="{height}" fill="white"/>'
    title = _text(
        8, 20, "When each of two GPUs draws (green) and waits, by who gives it the pictures"
    )
    return "\n".join([head, paper, title, *parts, "</svg>\n"])


def main() -> None:
    """Draw the last measurement."""
    parser = argparse.ArgumentParser(prog="timeline", description=__doc__)
    parser.add_argument("--of", type=Path, default=Path("bench-results/saturation.json"))
    parser.add_argument("--to", type=Path, default=Path("docs/pictures/gpu-timelines.svg"))
    given = parser.parse_args()
    given.to.write_text(svg(json.loads(given.of.read_text())["figures"]))


if __name__ == "__main__":
    main()
