"""What a meter tells about itself: opened, reset, bypassed, frozen, set to another time.

Subjects (and reasons of the start): ``cover_opened``, ``terminal_cover_opened``, ``power_was_lost``, ``clock_was_set``,
``phase_a_was_lost`` (b, c), ``phase_order_was_wrong``
(a counter of the meter's event records went up), ``register_went_back`` (reset or replaced), ``energy_does_not_match``
(the register grows unlike the power over time: a bypass shows here), ``frozen_values`` (the reading never moves).
Reasons of the end: ``nothing_further``, ``matches_again``, ``values_move``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sealwatch.contract.codes import Level, Phase
from sealwatch.edge.power.plausible import energy_doubt
from sealwatch.edge.power.rules import Transition

COUNTERS: dict[str, tuple[str, Level]] = {
    "cover_opened_count": ("cover_opened", Level.ORANGE),
    "terminal_cover_opened_count": ("terminal_cover_opened", Level.ORANGE),
    "power_loss_count": ("power_was_lost", Level.YELLOW),
    "clock_set_count": ("clock_was_set", Level.YELLOW),
    "phase_loss_a_count": ("phase_a_was_lost", Level.YELLOW),
    "phase_loss_b_count": ("phase_b_was_lost", Level.YELLOW),
    "phase_loss_c_count": ("phase_c_was_lost", Level.YELLOW),
    "phase_order_count": ("phase_order_was_wrong", Level.YELLOW),
}
QUIET_AFTER_S = 600.0
FROZEN_S, FROZEN_W = 900.0, 100.0
"""A live load moves in its last digit within minutes; below this a load may really stand still."""
COMPARE_WH = 2000.0
"""Energy over which register and power are compared: two hundred digits of a register in 0.01 kWh."""
LONGEST_GAP_S = 15.0


@dataclass(frozen=True, slots=True)
class MeterState:
    """`since`: standing alarms by subject. `mark_wh`, `integrated_wh`: the register at the last comparison and the
    power integrated since; `broken` that readings were missed meanwhile."""

    counters: Mapping[str, float] = field(default_factory=dict)
    since: Mapping[str, float] = field(default_factory=dict)
    last_event_s: Mapping[str, float] = field(default_factory=dict)
    last_s: float | None = None
    last_w: float = 0.0
    same_since_s: float = 0.0
    mark_wh: float | None = None
    register_wh: float | None = None
    integrated_wh: float = 0.0
    broken: bool = False


def advance(
    state: MeterState, now_s: float, values: Mapping[str, float]
) -> tuple[MeterState, list[tuple[Level, Transition]]]:
    """Take one reading."""
    found: list[tuple[Level, Transition]] = []
    state = _counters(state, now_s, values, found)
    state = _power(state, now_s, values["active_power_w"], found)
    register_wh = values.get("forward_energy_wh")
    if register_wh is not None:
        state = _register(state, now_s, register_wh, found)
    return state, found


def _counters(
    state: MeterState, now_s: float, values: Mapping[str, float], found: list[tuple[Level, Transition]]
) -> MeterState:
    for name, (subject, level) in COUNTERS.items():
        value = values.get(name)
        known = state.counters.get(name)
        if value is not None:
            state = replace(state, counters={**state.counters, name: value})
        if value is not None and known is not None and value > known:
            state = replace(state, last_event_s={**state.last_event_s, subject: now_s})
            state = _raise(state, now_s, subject, level, {"count": value, "new": value - known}, found)
        elif subject in state.since and now_s - state.last_event_s.get(subject, now_s) >= QUIET_AFTER_S:
            state = _clear(state, now_s, subject, level, "nothing_further", found)
    return state


def _power(state: MeterState, now_s: float, power_w: float, found: list[tuple[Level, Transition]]) -> MeterState:
    last_s = state.last_s
    if last_s is None:
        return replace(state, last_s=now_s, last_w=power_w, same_since_s=now_s)
    gap_s = now_s - last_s
    broken = state.broken or gap_s > LONGEST_GAP_S
    integrated = state.integrated_wh + max(0.0, power_w + state.last_w) / 2 * gap_s / 3600
    same = power_w == state.last_w and abs(power_w) >= FROZEN_W
    state = replace(
        state,
        last_s=now_s,
        last_w=power_w,
        integrated_wh=integrated,
        broken=broken,
        same_since_s=state.same_since_s if same else now_s,
    )
    if same and now_s - state.same_since_s >= FROZEN_S:
        return _raise(state, now_s, "frozen_values", Level.YELLOW, {"power_w": power_w}, found)
    if not same and "frozen_values" in state.since:
        return _clear(state, now_s, "frozen_values", Level.YELLOW, "values_move", found)
    return state


def _register(state: MeterState, now_s: float, register_wh: float, found: list[tuple[Level, Transition]]) -> MeterState:
    before_wh = state.register_wh
    state = replace(state, register_wh=register_wh)
    if state.mark_wh is None or state.broken:
        return replace(state, mark_wh=register_wh, integrated_wh=0.0, broken=False)
    if before_wh is not None and register_wh < before_wh:
        numbers = {"before_wh": before_wh, "after_wh": register_wh}
        state = replace(state, last_event_s={**state.last_event_s, "register_went_back": now_s})
        state = _raise(state, now_s, "register_went_back", Level.ORANGE, numbers, found)
        return replace(state, mark_wh=register_wh, integrated_wh=0.0)
    if "register_went_back" in state.since and now_s - state.last_event_s["register_went_back"] >= QUIET_AFTER_S:
        state = _clear(state, now_s, "register_went_back", Level.ORANGE, "nothing_further", found)
    grown_wh = register_wh - state.mark_wh if state.mark_wh is not None else 0.0
    if max(grown_wh, state.integrated_wh) < COMPARE_WH:
        return state
    doubt = energy_doubt(grown_wh, state.integrated_wh)
    if doubt is not None:
        numbers = {"register_wh": grown_wh, "integrated_wh": state.integrated_wh}
        state = _raise(state, now_s, "energy_does_not_match", Level.ORANGE, numbers, found)
    elif "energy_does_not_match" in state.since:
        state = _clear(state, now_s, "energy_does_not_match", Level.ORANGE, "matches_again", found)
    return replace(state, mark_wh=register_wh, integrated_wh=0.0)


def _raise(
    state: MeterState,
    now_s: float,
    subject: str,
    level: Level,
    numbers: Mapping[str, float],
    found: list[tuple[Level, Transition]],
) -> MeterState:
    if subject in state.since:
        return state
    found.append((level, _told(Phase.START, subject, subject, now_s, now_s, numbers)))
    return replace(state, since={**state.since, subject: now_s})


def _clear(
    state: MeterState, now_s: float, subject: str, level: Level, reason: str, found: list[tuple[Level, Transition]]
) -> MeterState:
    found.append((level, _told(Phase.END, subject, reason, state.since[subject], now_s, {})))
    return replace(state, since={k: v for k, v in state.since.items() if k != subject})


def _told(
    phase: Phase, subject: str, reason: str, since_s: float, at_s: float, numbers: Mapping[str, float]
) -> Transition:
    return Transition(
        phase=phase, reason=reason, subject=subject, started_s=since_s, at_s=at_s, score=0.9, numbers=numbers
    )
