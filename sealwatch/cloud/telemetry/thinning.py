"""Fewer points, same picture: the largest and the smallest value of each slice of time survive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

Point = tuple[int, float | None]  # (at_ms, value); None is a gap


def thin(points: Iterable[Point], *, from_ms: int, to_ms: int, max_points: int) -> list[Point]:
    """At most `max_points` of `points` (ordered by time, all within ``[from_ms, to_ms]``).

    The span is cut into ``max_points // 2`` equal bins. A bin keeps its smallest and its largest value, each where it
    first occurs; a bin without any value keeps its first gap, so that a silent meter still breaks the line. A one-point
    spike is never averaged away. Raises ValueError where `max_points` is below 2.
    """
    if max_points < 2:
        raise ValueError(f"max_points is {max_points}; thinning needs room for a smallest and a largest value (2)")
    every = list(points)
    if len(every) <= max_points:
        return every
    bins = max_points // 2
    width_ms = max(1, -(-(to_ms - from_ms + 1) // bins))
    kept: list[Point] = []
    for _, inside in groupby(every, key=lambda point: (point[0] - from_ms) // width_ms):
        kept.extend(_extremes(inside))
    return kept


def _extremes(inside: Iterator[Point]) -> list[Point]:
    first_gap: Point | None = None
    low: tuple[float, int] | None = None
    high: tuple[float, int] | None = None
    for at_ms, value in inside:
        if value is None:
            first_gap = first_gap or (at_ms, None)
            continue
        if low is None or value < low[0]:
            low = (value, at_ms)
        if high is None or value > high[0]:
            high = (value, at_ms)
    if low is None or high is None:
        return [] if first_gap is None else [first_gap]
    found = {(low[1], low[0]), (high[1], high[0])}
    return [(at_ms, value) for at_ms, value in sorted(found)]
