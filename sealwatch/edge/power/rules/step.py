"""Step rule: the power rose by about 3 kW or more and stayed up.

Reasons: ``step_held`` (start), ``step_gone`` (end).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sealwatch.contract.codes import DeclaredStatus, Level, Phase
from sealwatch.edge.power.edges import Edge
from sealwatch.edge.power.rules import Transition

STEP_W = 2500.0
"""What is called a 3 kW step: a 3 kW motor rarely draws its full rating, and voltage and meter take their share."""
ON_DELAY_S = 10.0
"""A step must last this long: kettles' relays, motor starts and meter glitches are shorter."""
OFF_DELAY_S = 120.0
"""Down for this long ends the alarm, so that the pauses of a working hoist do not chop one alarm into many."""
APPLIANCES_W = 4500.0
"""A heater and a kettle that are switched on within seconds of each other."""
SURGE_SHARE = 0.3
"""A motor's start, averaged over a second, stands at least this far above its running power."""
_HELD_SHARE = 0.6
_GONE_SHARE = 0.35


@dataclass(frozen=True, slots=True)
class StepState:
    """`base_w` is the level before the step, `since_s` when it happened; `down_s` since when it is gone again;
    `surge_w` how far a reading in the rise stood above the new level."""

    level_w: float | None = None
    base_w: float | None = None
    size_w: float = 0.0
    since_s: float = 0.0
    raised: bool = False
    down_s: float | None = None
    surge_w: float = 0.0


def advance(state: StepState, edges: Sequence[Edge], horizon_s: float) -> tuple[StepState, list[Transition]]:
    """Judge `edges` (in order) and the time that passed up to `horizon_s`, before which no more edges will come."""
    found: list[Transition] = []
    for edge in edges:
        state = _deadlines(state, edge.t_s, found)
        state = _apply(state, edge)
    return _deadlines(state, horizon_s, found), found


def level(declared: DeclaredStatus, step_w: float, surge_w: float) -> Level | None:
    """How urgent a step of `step_w` is at a site of this status; None where it is no alarm by itself.

    Where nothing may run (cut off, flooded) any machine contradicts the declaration: orange; red is kept for the
    hoist-like cycle, which says what the machine is for. At a guard hut a kettle and a heater can do it at once: yellow
    for what is more than both, or starts like a motor (`surge_w` above the new level). Where pumps or
    permitted machines run, steps are their everyday life; the envelope and the hoist-like rule watch them.
    """
    if declared in (DeclaredStatus.POWER_CUT, DeclaredStatus.FLOODED):
        return Level.ORANGE
    machine = step_w > APPLIANCES_W or surge_w > SURGE_SHARE * step_w
    return Level.YELLOW if declared is DeclaredStatus.GUARD_HUT_ONLY and machine else None


def _apply(state: StepState, edge: Edge) -> StepState:
    state = replace(state, level_w=edge.after_w)
    if state.base_w is None:
        if edge.size_w < STEP_W:
            return state
        return replace(
            state,
            base_w=edge.before_w,
            size_w=edge.size_w,
            since_s=edge.t_s,
            raised=False,
            down_s=None,
            surge_w=edge.peak_w - edge.after_w,
        )
    above_w = edge.after_w - state.base_w
    if not state.raised and above_w > state.size_w:
        return replace(state, size_w=above_w)
    if above_w <= _GONE_SHARE * state.size_w:
        return replace(state, down_s=edge.t_s) if state.raised else StepState(level_w=edge.after_w)
    return replace(state, down_s=None) if above_w >= _HELD_SHARE * state.size_w else state


def _deadlines(state: StepState, now_s: float, found: list[Transition]) -> StepState:
    """What becomes due up to `now_s` when nothing else happens."""
    level_w = state.level_w
    if state.base_w is None or level_w is None or not math.isfinite(now_s):
        return state
    if not state.raised and now_s >= state.since_s + ON_DELAY_S:
        found.append(
            Transition(
                phase=Phase.START,
                reason="step_held",
                started_s=state.since_s,
                at_s=state.since_s + ON_DELAY_S,
                score=min(1.0, 0.5 + 0.5 * min(1.0, state.size_w / (2 * STEP_W))),
                numbers={
                    "step_w": state.size_w,
                    "before_w": state.base_w,
                    "after_w": level_w,
                    "surge_w": state.surge_w,
                },
            )
        )
        state = replace(state, raised=True)
    if state.raised and state.down_s is not None and now_s >= state.down_s + OFF_DELAY_S:
        found.append(
            Transition(
                phase=Phase.END,
                reason="step_gone",
                started_s=state.since_s,
                at_s=state.down_s + OFF_DELAY_S,
                score=1.0,
                numbers={
                    "step_w": state.size_w,
                    "lasted_s": state.down_s - state.since_s,
                    "after_w": level_w,
                    "surge_w": state.surge_w,
                },
            )
        )
        state = StepState(level_w=level_w)
    return state


def level_of(transition: Transition) -> Callable[[DeclaredStatus], Level | None]:
    """The level of this step by what is declared."""
    step_w, surge_w = transition.numbers["step_w"], transition.numbers["surge_w"]
    return lambda declared: level(declared, step_w, surge_w)
