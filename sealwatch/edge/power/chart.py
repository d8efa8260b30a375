"""The small picture that goes with an alarm of a meter: power around it, the trips that were recognised, the limit.

Labels are numbers and units alone, so that no font with Chinese characters is needed on the node and the picture says
the same in every language; times are UTC+8. A JPEG, because that is what every part on the way of a snapshot carries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from sealwatch.edge.power.sentences import CHINA

MOST_BYTES = 20_000
WIDTH_PX, HEIGHT_PX = 720, 280
_LEFT, _RIGHT, _TOP, _FOOT = 52, 14, 20, HEIGHT_PX - 26
_QUALITIES = (90, 80, 65, 50, 35)
_GAP_FACTOR = 10.0
_TICKS_MS = tuple(60_000 * m for m in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440))
_MOST_TICKS = 8
_MOST_NUMBERS = 12
# Blue, green, red, as OpenCV takes them.
_GRID, _INK, _LINE = (232, 229, 225), (96, 90, 84), (79, 71, 55)
_TRIP, _TRIP_INK, _START, _LIMIT = (186, 221, 255), (0, 110, 230), (40, 40, 198), (192, 120, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What is drawn beside the curve, in Unix milliseconds and watts. `trips`: start and end of each."""

    started_ms: int
    trips: Sequence[tuple[int, int]] = field(default_factory=tuple)
    limit_w: float | None = None


def draw(at_ms: npt.NDArray[np.int64], power_w: npt.NDArray[Any], *, from_ms: int, to_ms: int, marks: Marks) -> bytes:
    """A JPEG of at most `MOST_BYTES` with the power from `from_ms` to `to_ms`. Raises ValueError for an empty span."""
    if to_ms <= from_ms:
        raise ValueError("a chart needs a span of time")
    good = np.isfinite(power_w)
    at_ms, power_w = at_ms[good], power_w[good].astype(np.float64)
    highest_w = max(float(power_w.max(initial=0.0)), marks.limit_w or 0.0, 100.0)
    lowest_w = min(float(power_w.min(initial=0.0)), 0.0)
    step_w = _step(highest_w - lowest_w)
    canvas = _Canvas(
        from_ms=from_ms,
        to_ms=to_ms,
        low_w=math.floor(lowest_w / step_w) * step_w,
        high_w=math.ceil(highest_w * 1.02 / step_w) * step_w,
    )
    canvas.shade(marks.trips)
    canvas.grid(step_w)
    canvas.curve(at_ms, power_w)
    canvas.point_at(marks)
    return canvas.jpeg()


class _Canvas:
    """A picture with a time axis and a power axis."""

    def __init__(self, *, from_ms: int, to_ms: int, low_w: float, high_w: float) -> None:
        import cv2  # only where an alarm is drawn: a node with meters alone never loads it before

        self._cv: Any = cv2
        self._from_ms, self._to_ms, self._low_w, self._high_w = from_ms, to_ms, low_w, high_w
        self._image = np.full((HEIGHT_PX, WIDTH_PX, 3), 255, np.uint8)

    def _x(self, moment_ms: float) -> int:
        share = (moment_ms - self._from_ms) / (self._to_ms - self._from_ms)
        return round(_LEFT + share * (WIDTH_PX - _LEFT - _RIGHT))

    def _y(self, value_w: float) -> int:
        share = (value_w - self._low_w) / (self._high_w - self._low_w)
        return round(_FOOT - share * (_FOOT - _TOP))

    def shade(self, trips: Sequence[tuple[int, int]]) -> None:
        """Bands behind the curve, numbered while there is room."""
        shown = [(max(a, self._from_ms), min(b, self._to_ms)) for a, b in trips if b > self._from_ms]
        for number, (begin_ms, end_ms) in enumerate(shown, start=1):
            left, right = self._x(begin_ms), max(self._x(end_ms), self._x(begin_ms) + 1)
            self._cv.rectangle(self._image, (left, _TOP), (right, _FOOT), _TRIP, -1)
            if len(shown) <= _MOST_NUMBERS:
                self._write(str(number), (left + right) // 2 + 4, _TOP - 5, _TRIP_INK)

    def grid(self, step_w: float) -> None:
        """Lines and labels of both axes, and the day."""
        edge = WIDTH_PX - _RIGHT
        for value_w in np.arange(self._low_w, self._high_w + step_w / 2, step_w):
            self._cv.line(self._image, (_LEFT, self._y(value_w)), (edge, self._y(value_w)), _GRID, 1)
            self._write(f"{value_w / 1000:g}", _LEFT - 6, self._y(value_w) + 4)
        self._write("kW", _LEFT - 6, _TOP - 6)
        for tick_ms in _ticks(self._from_ms, self._to_ms):
            self._cv.line(self._image, (self._x(tick_ms), _TOP), (self._x(tick_ms), _FOOT), _GRID, 1)
            self._write(_clock(tick_ms, "%H:%M"), self._x(tick_ms) + 18, HEIGHT_PX - 8)
        self._write(_clock(self._to_ms, "%Y-%m-%d"), edge, _TOP - 6)

    def curve(self, at_ms: npt.NDArray[np.int64], power_w: npt.NDArray[np.float64]) -> None:
        """The power, broken at gaps; within a column of pixels from its lowest to its highest reading."""
        if not len(at_ms):
            return
        gaps_ms = np.diff(at_ms)
        usual_ms = float(np.median(gaps_ms)) if len(gaps_ms) else 1000.0
        breaks = np.flatnonzero(gaps_ms > max(_GAP_FACTOR * usual_ms, 30_000)) + 1
        for times, values in zip(np.split(at_ms, breaks), np.split(power_w, breaks), strict=True):
            columns = np.array([self._x(t) for t in times.tolist()])
            starts = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
            lows, highs = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
            points = []
            for column, first, low, high in zip(columns[starts], values[starts], lows, highs, strict=True):
                # The end nearer to the first reading comes first, so that no line crosses the column twice.
                ends = (low, high) if first - low <= high - first else (high, low)
                points += [(column, self._y(value)) for value in ends]
            drawn = np.array(points, np.int32)
            self._cv.polylines(self._image, [drawn], False, _LINE, 1, self._cv.LINE_AA)

    def point_at(self, marks: Marks) -> None:
        """Where the alarm began, and the limit."""
        if marks.limit_w is not None:
            level, edge = self._y(marks.limit_w), WIDTH_PX - _RIGHT
            for dash in range(_LEFT, edge, 12):
                self._cv.line(self._image, (dash, level), (dash + 6, level), _LIMIT, 1)
            self._cv.rectangle(self._image, (edge - 56, level - 16), (edge, level - 2), (255, 255, 255), -1)
            self._write(f"{marks.limit_w / 1000:.2g} kW", edge - 2, level - 4, _LIMIT)
        if self._from_ms <= marks.started_ms <= self._to_ms:
            at = self._x(marks.started_ms)
            self._cv.line(self._image, (at, _TOP), (at, _FOOT), _START, 1)

    def jpeg(self) -> bytes:
        """The picture, as good as it fits `MOST_BYTES`."""
        data = b""
        for quality in _QUALITIES:
            data = bytes(self._cv.imencode(".jpg", self._image, [self._cv.IMWRITE_JPEG_QUALITY, quality])[1])
            if len(data) <= MOST_BYTES:
                break
        return data

    def _write(self, words: str, right_px: int, base_px: int, colour: tuple[int, int, int] = _INK) -> None:
        font, scale = self._cv.FONT_HERSHEY_SIMPLEX, 0.4
        (width_px, _), _ = self._cv.getTextSize(words, font, scale, 1)
        place = (right_px - width_px, base_px)
        self._cv.putText(self._image, words, place, font, scale, colour, 1, self._cv.LINE_AA)


def span_ms(started_ms: int, now_ms: int) -> tuple[int, int]:
    """From when to when a chart reaches: what led to the alarm, a quarter of the whole and at least five minutes."""
    before_ms = max(5 * 60_000, (now_ms - started_ms) // 3)
    return started_ms - before_ms, max(now_ms, started_ms + 60_000)


def _step(span_w: float) -> float:
    """A round step that divides a span into three to seven."""
    size = 10.0 ** math.floor(math.log10(span_w / 3))
    return next(size * k for k in (1, 2, 2.5, 5, 10, 20) if span_w / (size * k) <= 5)


def _ticks(from_ms: int, to_ms: int) -> list[int]:
    step_ms = next((t for t in _TICKS_MS if (to_ms - from_ms) / t <= _MOST_TICKS), _TICKS_MS[-1])
    first = -(-from_ms // step_ms) * step_ms
    return [t for t in range(first, to_ms, step_ms) if to_ms - t > (to_ms - from_ms) // 40]


def _clock(at_ms: int, form: str) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(CHINA).strftime(form)
