"""Counting people in and out across a directed line: pure, by the place where somebody stands.

A track is on a side once its foot is clearly beyond the line; it has crossed when it gets clearly to the other side and
its way led through the line and not around its ends. Who dithers on the line is counted once or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sealwatch.edge.config import LineSettings
from sealwatch.edge.video.geometry import Point

_FORGET_S: Final = 30.0
_LOOKS: Final = 2  # in a row, to be believed on a side
_BELIEF_S: Final = 0.2  # ... and for so long: many looks in a moment all see the same swaying foot
_SURE: Final = 0.45  # weaker finds alone prove no side: they may be a coat or a figure near by
_LEAST: Final = 0.008  # nearer to the line than this, or than this part of one's height, is on it
_PART_OF_HEIGHT: Final = 0.06
_OVERHANG: Final = 0.15  # the line reaches this part of its length beyond its ends: people cut corners


@dataclass(frozen=True, slots=True)
class Line:
    """From `a` to `b`; `inner` is the sign of the inner side (see `side`)."""

    name: str
    a: Point
    b: Point
    inner: int

    def distance(self, point: Point) -> float:
        """Signed distance in parts of the picture, positive on the inner side."""
        (ax, ay), (bx, by) = self.a, self.b
        length = max(math.hypot(bx - ax, by - ay), 1e-9)
        return self.inner * ((bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax)) / length

    def passes(self, before: Point, after: Point) -> bool:
        """Whether the way from `before` to `after`, on different sides, leads between the ends."""
        d0, d1 = self.distance(before), self.distance(after)
        if d0 == d1:
            return False
        part = d0 / (d0 - d1)
        x, y = before[0] + part * (after[0] - before[0]), before[1] + part * (after[1] - before[1])
        (ax, ay), (bx, by) = self.a, self.b
        square = max((bx - ax) ** 2 + (by - ay) ** 2, 1e-9)
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / square
        return -_OVERHANG <= along <= 1.0 + _OVERHANG


def lines_of(settings: Sequence[LineSettings]) -> tuple[Line, ...]:
    """The camera's lines."""
    found = []
    for line in settings:
        plain = Line(line.name, line.points[0], line.points[1], 1)
        found.append(replace(plain, inner=1 if plain.distance(line.inside) >= 0 else -1))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Step:
    """Where one track stands now: its foot and its height, in parts of the picture, and how surely it was found.

    One that is not `alive` is not counted yet, but where it stood is remembered: a few steps may lead through a door.
    """

    track_id: int
    foot: Point
    height: float
    alive: bool = True
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class _Firm:
    """The side a track is on since it was clearly there twice in a row, and the side it now seems to be on.

    `weak` and `strong` count the looks in which it seemed so since `since_s`, by how surely it was found.
    """

    foot: Point
    inner: bool | None
    seems: bool
    seen_s: float
    since_s: float
    weak: int = 0
    strong: int = 0


@dataclass(frozen=True, slots=True)
class LineState:
    """Running totals and where every track was last."""

    into: int = 0
    out: int = 0
    firm: Mapping[int, _Firm] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Crossing:
    """One person crossed: `inward` or outward, with the totals after it."""

    inward: bool
    track_id: int
    into: int
    out: int


def step(
    state: LineState, line: Line, steps: Sequence[Step], *, now_s: float
) -> tuple[LineState, tuple[Crossing, ...]]:
    """One look at everybody who was found in it."""
    firm = {key: place for key, place in state.firm.items() if now_s - place.seen_s < _FORGET_S}
    into, out = state.into, state.out
    crossings: list[Crossing] = []
    for one in steps:
        distance = line.distance(one.foot)
        if abs(distance) < max(_LEAST, _PART_OF_HEIGHT * one.height):
            continue  # on the line
        inner = distance > 0
        before = firm.get(one.track_id) or _Firm(one.foot, None, inner, now_s, now_s)
        place = _seeming(before, inner, one.score, now_s)
        crosses = before.inner is not None and before.inner != inner
        if not _believed(place, now_s) or (crosses and not one.alive):
            firm[one.track_id] = place
            continue
        if crosses and line.passes(before.foot, one.foot):
            into, out = into + int(inner), out + int(not inner)
            crossings.append(Crossing(inner, one.track_id, into, out))
        firm[one.track_id] = replace(place, foot=one.foot, inner=inner)
    return LineState(into, out, firm), tuple(crossings)


def _seeming(before: _Firm, inner: bool, score: float, now_s: float) -> _Firm:
    """Where it seems to be after one more look."""
    if before.seems != inner:
        before = replace(before, seems=inner, since_s=now_s, weak=0, strong=0)
    weak, strong = before.weak + int(score < _SURE), before.strong + int(score >= _SURE)
    return replace(before, weak=weak, strong=strong, seen_s=now_s)


def _believed(place: _Firm, now_s: float) -> bool:
    """Whether it has seemed to be on that side often, long and surely enough."""
    if place.weak + place.strong < _LOOKS or now_s - place.since_s < _BELIEF_S - 0.005:  # two looks at 5 a second do
        return False
    return place.strong > 0 or place.inner == place.seems
