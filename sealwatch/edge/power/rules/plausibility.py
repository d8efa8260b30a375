"""Whether what a meter measures at the same time can be true, while it is watched: a wire that was taken off or turned.

Subjects (and reasons of the start): ``power_does_not_match`` (unlike the sum of voltage, current and factor),
``phases_do_not_sum``, ``reversed_current`` (a transformer was turned: the meter subtracts), ``phase_lost`` (a voltage
wire is off: the meter counts too little). Reason of the end: ``plausible_again``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sealwatch.contract.codes import Level, Phase
from sealwatch.edge.power.plausible import POWER_FLOOR_W, POWER_TOLERANCE, Doubt, doubts
from sealwatch.edge.power.rules import Transition

FRESH_S = 180.0
"""Voltages, currents and factors are read in turn: what is older says nothing about now."""
EVERY_S, TIMES = 60.0, 5
"""So often it is looked, and so many times in a row a doubt must stand, or be gone."""
_NEED_STEADY = ("power_does_not_match", "phases_do_not_sum")
_SUBJECTS = (*_NEED_STEADY, "reversed_current", "phase_lost")


@dataclass(frozen=True, slots=True)
class PlausibleState:
    """`seen`: latest value of each quantity and when. `streaks`: looks in a row that found (above 0) or missed (below)
    a subject. `steady_w` holds since `steady_since_s`."""

    seen: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    streaks: Mapping[str, int] = field(default_factory=dict)
    since: Mapping[str, float] = field(default_factory=dict)
    steady_w: float = 0.0
    steady_since_s: float = float("inf")
    due_s: float = 0.0


def advance(
    state: PlausibleState, now_s: float, values: Mapping[str, float]
) -> tuple[PlausibleState, list[tuple[Level, Transition]]]:
    """Take one reading."""
    seen = {**state.seen, **{name: (value, now_s) for name, value in values.items()}}
    state = replace(state, seen={name: known for name, known in seen.items() if now_s - known[1] <= FRESH_S})
    power_w = values["active_power_w"]
    away_w = POWER_FLOOR_W + POWER_TOLERANCE * max(abs(power_w), abs(state.steady_w))
    if state.steady_since_s > now_s or abs(power_w - state.steady_w) > away_w / 2:
        state = replace(state, steady_w=power_w, steady_since_s=now_s)
    if now_s < state.due_s:
        return state, []
    return _look(replace(state, due_s=now_s + EVERY_S), now_s)


def _look(state: PlausibleState, now_s: float) -> tuple[PlausibleState, list[tuple[Level, Transition]]]:
    found = {doubt.reason: doubt for doubt in doubts({name: value for name, (value, _) in state.seen.items()})}
    steady = now_s - state.steady_since_s >= FRESH_S
    told: list[tuple[Level, Transition]] = []
    for subject in _SUBJECTS:
        if subject in _NEED_STEADY and not steady:
            continue  # quantities of different moments can't be compared while the load moves
        streak = state.streaks.get(subject, 0)
        streak = max(streak, 0) + 1 if subject in found else min(streak, 0) - 1
        state = replace(state, streaks={**state.streaks, subject: streak})
        if streak >= TIMES and subject not in state.since:
            state = replace(state, since={**state.since, subject: now_s})
            told.append(_told(Phase.START, subject, subject, now_s, now_s, found[subject]))
        elif streak <= -TIMES and subject in state.since:
            told.append(_told(Phase.END, subject, "plausible_again", state.since[subject], now_s, None))
            state = replace(state, since={k: v for k, v in state.since.items() if k != subject})
    return state, told


def _told(
    phase: Phase, subject: str, reason: str, since_s: float, at_s: float, doubt: Doubt | None
) -> tuple[Level, Transition]:
    numbers = {} if doubt is None else {"expected": doubt.expected, "found": doubt.found}
    transition = Transition(
        phase=phase, reason=reason, subject=subject, started_s=since_s, at_s=at_s, score=0.8, numbers=numbers
    )
    return Level.YELLOW, transition
