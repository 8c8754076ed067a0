"""Lines over time as an SVG picture: panels one below the other, each with its own scale, and one legend."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 840
LEFT, RIGHT, TOP = 70, 20, 40
PANEL, GAP = 220, 60
FOOT: Final = 50
COLOURS: Final = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")
"""Told apart on white, also by most who see colours differently: their dashes differ too."""
DASHES: Final = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 4")
_INK, _GRID = "#24292f", "#d8dee4"
TICKS: Final = 5


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    lines: Mapping[str, Sequence[float]]
    """By name, a value for each moment."""


def svg(title: str, moments: Sequence[float], unit: str, panels: Sequence[Panel]) -> str:
    """The whole picture. `moments` are places on the horizontal axis, in `unit`; a name looks the same everywhere."""
    height = TOP + len(panels) * PANEL + (len(panels) - 1) * GAP + FOOT + 30
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, moments, names, TOP + number * (PANEL + GAP))
    parts.append(_text(LEFT + _plot() / 2, height - 44, unit, anchor="middle"))
    parts += _legend(names, height - 18)
    return "\n".join([*parts, "</svg>"]) + "\n"


def steps(top: float) -> list[float]:
    """Round numbers from 0 up to at least `top`, some `TICKS` of them."""
    rough = max(top, 1e-9) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    return [step * number for number in range(math.ceil(max(top, 1e-9) / step) + 1)]


def _panel(panel: Panel, moments: Sequence[float], names: Sequence[str], top: float) -> Iterator[str]:
    up = steps(max((value for line in panel.lines.values() for value in line), default=1.0))
    along = steps(max(moments, default=1.0))
    bottom = top + PANEL

    def x(moment: float) -> float:
        return LEFT + _plot() * moment / along[-1]

    def y(value: float) -> float:
        return bottom - PANEL * value / up[-1]

    yield _text(LEFT, top - 12, panel.title, weight="600")
    for value in up:
        yield f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="{_GRID}"/>'
        yield _text(LEFT - 8, y(value) + 4, f"{value:g}", anchor="end")
    for moment in along:
        yield _text(x(moment), bottom + 18, f"{moment:g}", anchor="middle")
    yield f'<path d="M{LEFT} {top}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="{_INK}"/>'
    for name, line in panel.lines.items():
        places = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in zip(moments, line, strict=True))
        yield f'<polyline points="{places}" fill="none" {_stroke(names.index(name))}/>'


def _legend(names: Sequence[str], y: float) -> Iterator[str]:
    width = _plot() / max(len(names), 1)
    for number, name in enumerate(names):
        x = LEFT + number * width
        yield f'<path d="M{x:.1f} {y - 4}h26" {_stroke(number)}/>'
        yield _text(x + 32, y, name)


def _stroke(number: int) -> str:
    dash = DASHES[number % len(DASHES)]
    pattern = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="1.8"{pattern}'


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "400") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text {place} fill="{_INK}">{escape(words)}</text>'


def _plot() -> int:
    """The width of what is inside the axes."""
    return WIDTH - LEFT - RIGHT
