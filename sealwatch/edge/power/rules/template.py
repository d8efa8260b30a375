"""Similarity of a stop-period day to a stored production day: the same shape by night and day gives work away.

Both are 24 hourly means (W). Level does not count, shape does: the correlation of what stands above each day's lowest
hour. A flat day has no shape and is like nothing.

Reasons: ``like_production`` (start), ``unlike_production`` (end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sealwatch.contract.codes import Phase
from sealwatch.edge.power.rules import Transition

ALIKE = 0.85
"""Correlation from which on days are called alike."""
LEAST_SWING_W = 1500.0
"""The least difference between a day's hours that is a shape at all: the smallest winches."""


def similarity(day_w: Sequence[float], production_w: Sequence[float]) -> float:
    """From 0 (nothing in common) to 1 (the same shape). Raises ValueError unless both have 24 hours."""
    day, production = np.asarray(day_w, dtype=float), np.asarray(production_w, dtype=float)
    if day.shape != (24,) or production.shape != (24,):
        raise ValueError("a day is 24 hourly means")
    if np.ptp(day) < LEAST_SWING_W or np.ptp(production) < LEAST_SWING_W:
        return 0.0
    return float(max(0.0, np.corrcoef(day, production)[0, 1]))


def alike(day_w: Sequence[float], production_w: Sequence[float]) -> bool:
    """Whether a day has the shape of production."""
    return similarity(day_w, production_w) >= ALIKE


LEAST_MINUTES = 20 * 60
"""Of a day's 1440 minutes: with less of it known it is not judged."""
_CHINA_OFFSET_S = 8 * 3600
_HOURS = 24


@dataclass(frozen=True, slots=True)
class TemplateState:
    """The running day (UTC+8): energy and minutes of each hour. Since when days have been alike (Unix seconds)."""

    day: int | None = None
    sum_w: tuple[float, ...] = (0.0,) * _HOURS
    minutes: tuple[int, ...] = (0,) * _HOURS
    since_s: float | None = None


def advance(
    state: TemplateState, production_w: Sequence[float], start_s: float, mean_w: float
) -> tuple[TemplateState, list[Transition]]:
    """Take one more minute (Unix seconds); a day is judged when it is over."""
    local_s = start_s + _CHINA_OFFSET_S
    day, hour = int(local_s // 86_400), int(local_s % 86_400 // 3600)
    found: list[Transition] = []
    if state.day is not None and day != state.day:
        state, found = _judge(state, production_w)
        state = TemplateState(since_s=state.since_s)
    sums, minutes = list(state.sum_w), list(state.minutes)
    sums[hour] += mean_w
    minutes[hour] += 1
    return replace(state, day=day, sum_w=tuple(sums), minutes=tuple(minutes)), found


def _judge(state: TemplateState, production_w: Sequence[float]) -> tuple[TemplateState, list[Transition]]:
    if sum(state.minutes) < LEAST_MINUTES or min(state.minutes) == 0 or state.day is None:
        return state, []
    day_w = [total / count for total, count in zip(state.sum_w, state.minutes, strict=True)]
    like = similarity(day_w, production_w)
    over_s = (state.day + 1) * 86_400.0 - _CHINA_OFFSET_S
    if like >= ALIKE and state.since_s is None:
        since_s = over_s - 86_400.0
        return replace(state, since_s=since_s), [_told(Phase.START, "like_production", since_s, over_s, like)]
    if like < ALIKE and state.since_s is not None:
        return replace(state, since_s=None), [_told(Phase.END, "unlike_production", state.since_s, over_s, like)]
    return state, []


def _told(phase: Phase, reason: str, since_s: float, at_s: float, like: float) -> Transition:
    return Transition(
        phase=phase,
        reason=reason,
        subject="like_production",
        started_s=since_s,
        at_s=at_s,
        score=like,
        numbers={"similarity": like},
    )
