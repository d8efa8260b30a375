"""The power curve as data for one server-rendered SVG: percentages and short paths, no script, no style attributes.

The drawing has two layers. Lines and areas live in a nested SVG of 1000 by 1000 units that is stretched to whatever
width the screen has; texts stand outside of it at percentages, so that they keep their size on a phone and on a desk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

from sealwatch.cloud.ports import Series
from sealwatch.cloud.web import words

UNITS: Final = 1000
_TICK_STEPS_MS: Final = tuple(minutes * 60_000 for minutes in (5, 10, 15, 30, 60, 120, 240, 360, 720, 1440, 2880))
_DAY_MS: Final = 1440 * 60_000
_MOST_TICKS: Final = 5
_GAP_FACTOR: Final = 5.0
_SMALLEST_GAP_MS: Final = 60_000
_SMALLEST_STALE_MS: Final = 120_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A span to shade: an alarm from its start to its end, or to now while it stands."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A label at a place, in percent of the width or height."""

    percent: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shade:
    """A shaded span, in percent of the width."""

    left: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Everything the template draws for one meter."""

    source_id: str
    lines: list[str]  # SVG path data in a square of UNITS
    areas: list[str]
    time_ticks: list[Mark]
    power_ticks: list[Mark]
    shades: list[Shade]
    silence: Shade | None  # from the last reading to the right end, where that is too long
    last_at_ms: int
    last_w: float
    largest_w: float
    largest_at_ms: int
    stale: bool
    zero_percent: float = field(default=100.0)


def draw(series: Series, *, source_id: str, from_ms: int, to_ms: int, windows: Sequence[Window]) -> Curve | None:
    """The curve of one meter in ``[from_ms, to_ms]``, or None where there is not one reading in it."""
    points = [(at, value) for at, value in zip(series.at_ms, series.values, strict=True) if from_ms <= at <= to_ms]
    readings = [(at, value) for at, value in points if value is not None]
    if not readings:
        return None
    floor_w, ceiling_w, step_w = _scale([value for _, value in readings])
    frame = _Frame(from_ms, to_ms, floor_w, ceiling_w)
    gap_ms = _gap_ms([at for at, _ in readings])
    runs = _runs(points, gap_ms)
    last_at_ms, last_w = readings[-1]
    largest_at_ms, largest_w = max(readings, key=lambda reading: reading[1])
    stale = to_ms - last_at_ms > max(gap_ms, _SMALLEST_STALE_MS)
    return Curve(
        source_id=source_id,
        lines=[frame.line(run) for run in runs],
        areas=[frame.area(run) for run in runs if len(run) > 1],
        time_ticks=_time_ticks(frame),
        power_ticks=_power_ticks(frame, step_w),
        shades=[shade for shade in (frame.shade(w.from_ms, w.to_ms) for w in _union(windows)) if shade is not None],
        silence=frame.shade(last_at_ms, to_ms) if stale else None,
        last_at_ms=last_at_ms,
        last_w=last_w,
        largest_w=largest_w,
        largest_at_ms=largest_at_ms,
        stale=stale,
        zero_percent=round(frame.y(0.0) / UNITS * 100, 2),
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """From milliseconds and watts to drawing units."""

    from_ms: int
    to_ms: int
    floor_w: float
    ceiling_w: float

    def x(self, at_ms: int) -> float:
        return UNITS * (at_ms - self.from_ms) / max(1, self.to_ms - self.from_ms)

    def y(self, watts: float) -> float:
        return UNITS * (self.ceiling_w - watts) / (self.ceiling_w - self.floor_w)

    def line(self, run: Sequence[tuple[int, float]]) -> str:
        steps = [f"{self.x(at):.0f} {self.y(value):.0f}" for at, value in run]
        # A lone reading between two gaps is a line without length: round caps make it a visible dot.
        return "M" + "L".join(steps if len(steps) > 1 else steps * 2)

    def area(self, run: Sequence[tuple[int, float]]) -> str:
        zero = f"{self.y(0.0):.0f}"
        return f"{self.line(run)}V{zero}H{self.x(run[0][0]):.0f}Z"

    def shade(self, from_ms: int, to_ms: int) -> Shade | None:
        left, right = max(from_ms, self.from_ms), min(to_ms, self.to_ms)
        if right < self.from_ms or left > self.to_ms or right < left:
            return None
        start = self.x(left) / UNITS * 100
        # A window of a few seconds would be thinner than a hair: half a percent can be seen.
        width = max(0.5, self.x(right) / UNITS * 100 - start)
        return Shade(left=round(start, 2), width=round(min(width, 100 - start), 2))


def _scale(watts: Sequence[float]) -> tuple[float, float, float]:
    """(floor, ceiling, distance of grid lines) in W. Zero is always in the picture; lines stand 1, 2 or 5 times a power
    of ten apart, about two to five of them."""
    highest, lowest = max(0.0, *watts) * 1.08, min(0.0, *watts) * 1.08
    span = max(highest - lowest, 10.0)
    power = 10.0 ** math.floor(math.log10(span / 2))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= _MOST_TICKS)
    return math.floor(lowest / step) * step, max(1, math.ceil(highest / step)) * step, step


def _gap_ms(times_ms: Sequence[int]) -> float:
    """The distance between two readings from which on the line is broken: several times the usual one."""
    spacings = [later - earlier for earlier, later in pairwise(times_ms)]
    return max(_GAP_FACTOR * median(spacings), _SMALLEST_GAP_MS) if spacings else _SMALLEST_GAP_MS


def _runs(points: Sequence[tuple[int, float | None]], gap_ms: float) -> list[list[tuple[int, float]]]:
    """Stretches without a gap."""
    runs: list[list[tuple[int, float]]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
            continue
        if runs[-1] and at - runs[-1][-1][0] > gap_ms:
            runs.append([])
        runs[-1].append((at, value))
    return [run for run in runs if run]


def _union(windows: Sequence[Window]) -> list[Window]:
    """Windows without overlap, so that two alarms at once are not shaded twice."""
    merged: list[Window] = []
    for window in sorted(windows, key=lambda w: w.from_ms):
        if merged and window.from_ms <= merged[-1].to_ms:
            merged[-1] = Window(from_ms=merged[-1].from_ms, to_ms=max(merged[-1].to_ms, window.to_ms))
        else:
            merged.append(window)
    return merged


def _time_ticks(frame: _Frame) -> list[Mark]:
    """Round local times, at most five."""
    span_ms = frame.to_ms - frame.from_ms
    step_ms = next((s for s in _TICK_STEPS_MS if span_ms / s <= _MOST_TICKS), _TICK_STEPS_MS[-1])
    offset_ms = 8 * 3600 * 1000
    first = -(-(frame.from_ms + offset_ms) // step_ms) * step_ms - offset_ms
    marks = []
    for at_ms in range(first, frame.to_ms + 1, step_ms):
        percent = frame.x(at_ms) / UNITS * 100
        if 4 <= percent <= 96:  # a label at the very edge would be cut off
            label = "%m-%d" if step_ms >= _DAY_MS else "%H:%M"
            marks.append(Mark(percent=round(percent, 2), label=words.local(at_ms).strftime(label)))
    return marks


def _power_ticks(frame: _Frame, step_w: float) -> list[Mark]:
    count = round((frame.ceiling_w - frame.floor_w) / step_w)
    marks = []
    for i in range(count + 1):
        watts = frame.floor_w + i * step_w
        if watts < frame.ceiling_w:  # the top line is the edge of the picture
            # The line at zero explains itself; its label would cover the curve of a site at rest.
            label = "" if watts == 0 else words.power(watts)
            marks.append(Mark(percent=round(frame.y(watts) / UNITS * 100, 2), label=label))
    return marks
