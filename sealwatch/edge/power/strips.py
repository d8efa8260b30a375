"""Strips of recorded power as SVG: a curve with its scale, and below it what was recognised and what was told.

A recording shorter than a day is one strip as long as itself; a longer one has a strip for each day (UTC+8).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from sealwatch.contract.codes import Level
from sealwatch.edge.power.edges import Array
from sealwatch.edge.power.recorded import Chunk
from sealwatch.edge.power.sentences import CHINA

DAY_S = 86400.0
LONGEST_DAYS = 400
ALARM_COLOURS = {Level.RED: "#c62828", Level.ORANGE: "#ef6c00", Level.YELLOW: "#f9a825", Level.BLUE: "#1565c0"}
EVENT_COLOURS = {"pulse": "#6a1b9a", "plateau": "#90caf9", "ramp": "#a5d6a7", "square_wave": "#bcaaa4"}
CURVE = "#37474f"
_OFFSET_S = 8 * 3600.0
_WIDTH, _LEFT, _RIGHT = 1080, 110, 8
_HIGH, _LOW = 150, 84
_MANY_DAYS = 10
_TOP, _FOOT = 14, 30
_LANE = 7
_APART = 13
_BINS = 1440
_TICKS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600)
_MOST_TICKS = 12


@dataclass(frozen=True, slots=True)
class Span:
    """Something from one Unix second to another, in a colour; `title` shows under the pointer."""

    from_s: float
    to_s: float
    colour: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """Lowest and highest power (W) of equal parts of `length_s` seconds from `start_s` on; NaN: not recorded."""

    start_s: float
    length_s: float
    low_w: Array
    high_w: Array


def layout(from_s: float, to_s: float) -> tuple[float, float, int]:
    """Start and length of the first strip, and how many there are, for a recording from `from_s` to `to_s`."""
    if to_s - from_s < DAY_S:
        tick_s = _tick_s(max(to_s - from_s, 60.0))
        start_s = math.floor(from_s / tick_s) * tick_s
        return start_s, max(math.ceil((to_s - start_s) / tick_s), 1) * tick_s, 1
    start_s = math.floor((from_s + _OFFSET_S) / DAY_S) * DAY_S - _OFFSET_S
    return start_s, DAY_S, int((to_s - start_s) // DAY_S) + 1


def collect(chunks: Iterable[Chunk], *, from_s: float, to_s: float, interval_s: float) -> list[Strip]:
    """The strips of a recording in order; days without a reading are left out."""
    first_s, length_s, count = layout(from_s, to_s)
    bins = int(min(_BINS, max(2.0, length_s // max(interval_s, 1.0))))
    low_w, high_w = np.full(count * bins, np.inf), np.full(count * bins, -np.inf)
    for t_s, power_w, _ in chunks:
        places = np.clip(((t_s - first_s) / length_s * bins).astype(np.int64), 0, count * bins - 1)
        np.minimum.at(low_w, places, power_w)
        np.maximum.at(high_w, places, power_w)
    low_w[np.isinf(low_w)], high_w[np.isinf(high_w)] = np.nan, np.nan
    strips = []
    for k in range(count):
        part = slice(k * bins, (k + 1) * bins)
        if np.isfinite(low_w[part]).any():
            strips.append(Strip(first_s + k * length_s, length_s, low_w[part], high_w[part]))
    return strips


def draw(strips: Sequence[Strip], alarms: Sequence[Span], events: Sequence[Span]) -> str:
    """All strips on one scale. Recognised events lie in the upper lane under each curve, alarms in the lower one and,
    pale, behind the curve."""
    top_w = max(100.0, *(float(np.nanmax(strip.high_w)) for strip in strips))
    bottom_w = min(0.0, *(float(np.nanmin(strip.low_w)) for strip in strips))
    step_w = _step_w(top_w - bottom_w)
    low_w, high_w = math.floor(bottom_w / step_w) * step_w, math.ceil(top_w / step_w) * step_w
    height = _HIGH if len(strips) <= _MANY_DAYS else _LOW
    return "".join(_Frame(strip, low_w, high_w, height).svg(step_w, alarms, events) for strip in strips)


@dataclass(frozen=True, slots=True)
class _Frame:
    """One strip on its scale."""

    strip: Strip
    low_w: float
    high_w: float
    height: int

    @property
    def floor(self) -> int:
        return self.height - _FOOT

    def x(self, at_s: float) -> float:
        return _LEFT + (at_s - self.strip.start_s) / self.strip.length_s * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value_w: float) -> float:
        return self.floor - (value_w - self.low_w) / (self.high_w - self.low_w) * (self.floor - _TOP)

    def svg(self, step_w: float, alarms: Sequence[Span], events: Sequence[Span]) -> str:
        body = [
            *(self.box(a, _TOP, self.floor - _TOP, opacity=0.12) for a in alarms),
            *self.scale(step_w),
            self.curve(),
            *(self.box(e, self.floor + 2, _LANE) for e in events),
            *(self.box(a, self.floor + 3 + _LANE, _LANE) for a in alarms),
        ]
        return f"<svg width={_WIDTH} height={self.height} role=img>{''.join(body)}</svg>"

    def box(self, span: Span, top: float, height: float, *, opacity: float = 1.0) -> str:
        from_s, to_s = max(span.from_s, self.strip.start_s), min(span.to_s, self.strip.start_s + self.strip.length_s)
        if from_s >= to_s:
            return ""
        left, right = self.x(from_s), self.x(to_s)
        title = f"<title>{span.title}</title>" if span.title else ""
        return (
            f"<rect x={left:.1f} y={top:.0f} width={max(1.0, right - left):.1f} height={height:.0f} "
            f"fill='{span.colour}' opacity={opacity:g}>{title}</rect>"
        )

    def scale(self, step_w: float) -> list[str]:
        """Lines and labels of both axes, and the day."""
        parts = []
        if self.y(0.0) - self.y(step_w) < _APART:
            step_w = self.high_w - self.low_w
        for value_w in np.arange(self.low_w, self.high_w + step_w / 2, step_w).tolist():
            y = self.y(value_w)
            unit = " kW" if value_w + step_w > self.high_w else ""
            parts.append(f"<line x1={_LEFT} x2={_WIDTH - _RIGHT} y1={y:.1f} y2={y:.1f} class=g />")
            parts.append(f"<text x={_LEFT - 5} y={y + 4:.1f} class=r>{value_w / 1000:g}{unit}</text>")
        tick_s = _tick_s(self.strip.length_s)
        for k in range(round(self.strip.length_s / tick_s)):
            at_s = self.strip.start_s + k * tick_s
            x = self.x(at_s)
            parts.append(f"<line x1={x:.1f} x2={x:.1f} y1={_TOP} y2={self.floor} class=g />")
            parts.append(f"<text x={x + 2:.1f} y={self.height - 2} class=t>{_clock(at_s, '%H:%M')}</text>")
        parts.append(f"<text x=2 y={_TOP + 12} class=d>{_clock(self.strip.start_s, '%Y-%m-%d')}</text>")
        return parts

    def curve(self) -> str:
        """From the lowest to the highest reading of each part, broken where nothing was recorded."""
        known = np.isfinite(self.strip.low_w)
        part_s = self.strip.length_s / len(known)
        moves: list[str] = []
        pen_down = False
        for k in range(len(known)):
            if not known[k]:
                # Readings that come a little less often than the parts leave every other one empty: no gap.
                pen_down = pen_down and bool(known[k + 1 : k + 3].any())
                continue
            x = self.x(self.strip.start_s + (k + 0.5) * part_s)
            low, high = self.y(float(self.strip.low_w[k])), self.y(float(self.strip.high_w[k]))
            moves.append(f"{'L' if pen_down else 'M'}{x:.1f},{low:.1f}")
            if low - high >= 0.05 or not pen_down:
                moves.append(f"L{x:.1f},{high:.1f}")
            pen_down = True
        return f"<path d='{''.join(moves)}' class=c />"


def _step_w(span_w: float) -> float:
    """A round step that divides a span into two to five."""
    size = 10.0 ** math.floor(math.log10(span_w / 2))
    return next(size * k for k in (1, 2, 2.5, 5, 10) if span_w / (size * k) <= 4)


def _tick_s(length_s: float) -> float:
    return float(next((t for t in _TICKS_S if length_s / t <= _MOST_TICKS), _TICKS_S[-1]))


def _clock(at_s: float, form: str) -> str:
    return datetime.fromtimestamp(at_s, UTC).astimezone(CHINA).strftime(form)
