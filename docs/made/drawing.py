"""The machine's table as an SVG picture; where the phases stand is chosen by hand, the rest follows from the table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from guardian.core.words import Phase, Signal

Point = tuple[float, float]

_WIDTH, _HEIGHT = 980, 490
_HALF_WIDTH, _HALF_HEIGHT = 58.0, 19.0
_BOW = 22.0
"""How far an arrow bends aside when another one goes the other way."""
_PLACES: dict[Phase, Point] = {
    Phase.DRAFT: (80, 165),
    Phase.PROGRESSING: (290, 165),
    Phase.WAITING: (520, 40),
    Phase.PAUSED: (240, 320),
    Phase.ROLLING_BACK: (430, 390),
    Phase.ROLLED_BACK: (660, 310),
    Phase.COMPLETED: (660, 100),
    Phase.ARCHIVED: (890, 210),
}
_BACK = {Signal.ROLL_BACK, Signal.ROLL_BACK_GRADUALLY, Signal.ROLLED_BACK}
_FAR = {(Phase.DRAFT, Phase.ARCHIVED): 560.0}
"""Arrows that go round everything: how deep they are pulled down."""
_STYLE = (
    "text{font:13px sans-serif;fill:#222}.phase{font-weight:bold;text-anchor:middle}.label{text-anchor:middle;"
    "paint-order:stroke;stroke:#fff;stroke-width:4px}rect{fill:#eef3fa;stroke:#345}path{fill:none;stroke:#345;"
    "stroke-width:1.3}.back{stroke:#b3261e}.backlabel{fill:#b3261e}"
)


def draw(table: Mapping[tuple[Phase, Signal], Phase]) -> str:
    """Return the picture.

    Args:
        table: (phase, signal) -> the phase that follows.

    Raises:
        KeyError: a phase has no place yet; choose one in this file.
    """
    arrows: dict[tuple[Phase, Phase], list[Signal]] = {}
    for (origin, signal), following in table.items():
        arrows.setdefault((origin, following), []).append(signal)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        "<title>The phases of a rollout</title>",
        f"<style>{_STYLE}</style>",
        _head("tip", "#345") + _head("back-tip", "#b3261e"),
        f'<rect x="0" y="0" width="{_WIDTH}" height="{_HEIGHT}" style="fill:#fff;stroke:none"/>',
    ]
    parts += [_arrow(ends, signals, (ends[1], ends[0]) in arrows) for ends, signals in arrows.items()]
    parts += [_box(phase) for phase in Phase]
    parts.append('<text x="20" y="30" class="backlabel">red: taken back, at once or gradually</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(name: str, colour: str) -> str:
    return (
        f'<defs><marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        f'orient="auto"><path d="M0 0L10 5L0 10z" style="fill:{colour};stroke:none"/></marker></defs>'
    )


def _box(phase: Phase) -> str:
    x, y = _PLACES[phase]
    corner = f'x="{x - _HALF_WIDTH:.0f}" y="{y - _HALF_HEIGHT:.0f}"'
    size = f'width="{2 * _HALF_WIDTH:.0f}" height="{2 * _HALF_HEIGHT:.0f}"'
    return f'<rect {corner} {size} rx="9"/><text x="{x:.0f}" y="{y + 4:.0f}" class="phase">{phase}</text>'


def _arrow(ends: tuple[Phase, Phase], signals: list[Signal], returns: bool) -> str:
    back = set(signals) <= _BACK
    label = "" if back else escape(", ".join(str(signal).replace("_", " ") for signal in signals))
    start, end = _PLACES[ends[0]], _PLACES[ends[1]]
    if ends[0] is ends[1]:
        path, middle = _loop(start)
    elif ends in _FAR:
        path, middle = _far(start, end, _FAR[ends])
    else:
        path, middle = _curve(start, end, _BOW if returns else 0.0)
    kind, tip = ('class="back" ', "back-tip") if back else ("", "tip")
    drawn = f'<path {kind}d="{path}" marker-end="url(#{tip})"/>'
    return drawn + (f'<text x="{middle[0]:.0f}" y="{middle[1] + 4:.0f}" class="label">{label}</text>' if label else "")


def _loop(place: Point) -> tuple[str, Point]:
    """An arrow back to the same box, at its left corner: above in the upper half of the picture, else below."""
    side = -1 if place[1] < _HEIGHT / 2 else 1
    x, y = place[0] - _HALF_WIDTH, place[1] + side * _HALF_HEIGHT
    path = (
        f"M{x + 40:.0f} {y:.0f}C{x + 34:.0f} {y + side * 42:.0f} {x - 26:.0f} {y + side * 34:.0f} {x + 12:.0f} {y:.0f}"
    )
    return path, (x, y + side * 30)


def _far(start: Point, end: Point, depth: float) -> tuple[str, Point]:
    """A curve below everything."""
    top, other = start[1] + _HALF_HEIGHT, end[1] + _HALF_HEIGHT
    path = f"M{start[0]:.0f} {top:.0f}C{start[0]:.0f} {depth:.0f} {end[0]:.0f} {depth:.0f} {end[0]:.0f} {other:.0f}"
    return path, ((start[0] + end[0]) / 2, (top + other + 6 * depth) / 8)


def _curve(start: Point, end: Point, bow: float) -> tuple[str, Point]:
    """A line from border to border, bent to its left by `bow`."""
    length = math.dist(start, end)
    across = ((end[1] - start[1]) / length, (start[0] - end[0]) / length)
    bend = tuple((a + b) / 2 + 2 * bow * side for a, b, side in zip(start, end, across, strict=True))
    one, other = _border(start, bend), _border(end, bend)
    middle = ((one[0] + other[0]) / 4 + bend[0] / 2, (one[1] + other[1]) / 4 + bend[1] / 2)
    return f"M{one[0]:.0f} {one[1]:.0f}Q{bend[0]:.0f} {bend[1]:.0f} {other[0]:.0f} {other[1]:.0f}", middle


def _border(centre: Point, towards: tuple[float, ...]) -> Point:
    """Where the way from a box's centre leaves the box."""
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    scale = min(_HALF_WIDTH / abs(dx) if dx else math.inf, _HALF_HEIGHT / abs(dy) if dy else math.inf)
    return centre[0] + dx * scale, centre[1] + dy * scale
