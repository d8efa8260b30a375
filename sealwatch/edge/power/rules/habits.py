"""Habits over days: machines started every night at the same hour, and a growing share of hoist-like energy.

Reasons: ``night_work_regular``, ``hoist_share_rising`` (start), ``back_to_normal`` (end).
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sealwatch.contract.codes import Phase
from sealwatch.edge.power.edges import Edge
from sealwatch.edge.power.rules import Transition

MACHINE_W = 2500.0
NIGHTS, OF_NIGHTS = 4, 5
"""The same hour on four of five nights."""
NIGHT_FROM, NIGHT_TO = 22, 5
SHARE, SHARE_GROWTH = 0.05, 1.25
"""A published case was found by a hoist's share of the energy that rose from 9.7 % to 13 %."""
_KNOWN_DAYS = 7
_CHINA_OFFSET_S = 8 * 3600
_NOON_S = 12 * 3600


@dataclass(frozen=True, slots=True)
class NightState:
    """Starts of machines by hour (UTC+8) of the running day, noon to noon, and of the last days."""

    day: int | None = None
    starts: tuple[int, ...] = ()
    days: tuple[tuple[int, ...], ...] = ()
    since_s: float | None = None


def nights(state: NightState, edges: Sequence[Edge], horizon_s: float) -> tuple[NightState, list[Transition]]:
    """Starts of machines, judged when a night is over (at noon)."""
    found: list[Transition] = []
    for edge in edges:
        state = _to_day(state, edge.t_s, found)
        if edge.size_w >= MACHINE_W:
            state = replace(state, starts=(*state.starts, _hour(edge.t_s))[-500:])
    if horizon_s > 0:
        state = _to_day(state, horizon_s, found)
    return state, found


def _hour(t_s: float) -> int:
    return int((t_s + _CHINA_OFFSET_S) % 86400 // 3600)


def _to_day(state: NightState, t_s: float, found: list[Transition]) -> NightState:
    day = int((t_s + _CHINA_OFFSET_S - _NOON_S) // 86400)
    if state.day is None:
        return replace(state, day=day)
    for over in range(state.day, day):
        days = (*state.days, state.starts)[-OF_NIGHTS:]
        state = _judge(replace(state, day=over + 1, starts=(), days=days), found)
    return state


def _judge(state: NightState, found: list[Transition]) -> NightState:
    at_s = (state.day or 0) * 86400.0 + _NOON_S - _CHINA_OFFSET_S
    by_hour: Counter[int] = Counter()
    night_starts = day_starts = 0
    for starts in state.days:
        night = [h for h in starts if h >= NIGHT_FROM or h < NIGHT_TO]
        night_starts += len(night)
        day_starts += len(starts) - len(night)
        by_hour.update({h for start in night for h in (start, (start + 1) % 24)})
    hour, times = max(by_hour.items(), key=lambda item: item[1], default=(0, 0))
    regular = times >= NIGHTS and day_starts <= night_starts / 3
    if regular == (state.since_s is not None):
        return state
    since_s = state.since_s if state.since_s is not None else at_s - OF_NIGHTS * 86400
    found.append(
        Transition(
            phase=Phase.START if regular else Phase.END,
            reason="night_work_regular" if regular else "back_to_normal",
            subject="night_work_regular",
            started_s=since_s,
            at_s=at_s,
            score=0.7,
            numbers={"nights": float(times), "hour": float((hour - 1) % 24), "starts": float(night_starts)},
        )
    )
    return replace(state, since_s=since_s if regular else None)


@dataclass(frozen=True, slots=True)
class ShareState:
    """Energy of the running day (UTC+8), all of it and its hoist-like part, and the shares of the last days."""

    day: int | None = None
    total_wh: float = 0.0
    hoist_wh: float = 0.0
    shares: tuple[float, ...] = ()
    since_s: float | None = None


def share(state: ShareState, at_s: float, total_wh: float, hoist_wh: float) -> tuple[ShareState, list[Transition]]:
    """Add energy that was used up to `at_s`; judged when the day is over."""
    day = int((at_s + _CHINA_OFFSET_S) // 86400)
    found: list[Transition] = []
    if state.day is not None and day != state.day and state.total_wh > 0:
        today = state.hoist_wh / state.total_wh
        usual = statistics.median(state.shares) if len(state.shares) >= _KNOWN_DAYS else None
        rising = usual is not None and today >= SHARE and today >= SHARE_GROWTH * usual
        if rising != (state.since_s is not None):
            end_s = day * 86400.0 - _CHINA_OFFSET_S
            since_s = state.since_s if state.since_s is not None else end_s - 86400
            found.append(
                Transition(
                    phase=Phase.START if rising else Phase.END,
                    reason="hoist_share_rising" if rising else "back_to_normal",
                    subject="hoist_share_rising",
                    started_s=since_s,
                    at_s=end_s,
                    score=0.8,
                    numbers={"share": today, "usual_share": usual or 0.0},
                )
            )
            state = replace(state, since_s=since_s if rising else None)
        # A day that raised the alarm is not learnt as usual.
        shares = state.shares if rising else (*state.shares, today)[-28:]
        state = replace(state, total_wh=0.0, hoist_wh=0.0, shares=shares)
    return replace(state, day=day, total_wh=state.total_wh + total_wh, hoist_wh=state.hoist_wh + hoist_wh), found
