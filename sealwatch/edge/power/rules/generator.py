"""Generator suspicion: people or machines work in the picture and the meter shows nothing.

Reason: ``activity_without_power`` (start), ``power_or_quiet`` (end). The power may come from a generator or from a feed
around the meter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sealwatch.contract.codes import Phase
from sealwatch.edge.power.rules import Transition

DARK_W = 400.0
"""Below this no winch, pump or fan can be running."""
ACTIVE_MINUTES, OF_MINUTES = 15, 30
"""Minutes with activity within the last half hour."""


@dataclass(frozen=True, slots=True)
class GeneratorState:
    """Whether each of the last minutes was active and dark; since when the alarm stands."""

    minutes: tuple[bool, ...] = ()
    since_s: float | None = None


def advance(
    state: GeneratorState, start_s: float, *, activity: bool, mean_w: float
) -> tuple[GeneratorState, list[Transition]]:
    """Judge one more minute: `activity` is what the cameras saw in it, `mean_w` the site's mean power."""
    minutes = (*state.minutes, activity and mean_w <= DARK_W)[-OF_MINUTES:]
    state = replace(state, minutes=minutes)
    count = sum(minutes)
    at_s = start_s + 60
    if state.since_s is None and count >= ACTIVE_MINUTES:
        since_s = start_s - 60.0 * (len(minutes) - 1 - minutes.index(True))
        state = replace(state, since_s=since_s)
        return state, [_told(Phase.START, "activity_without_power", since_s, at_s, count, mean_w)]
    if state.since_s is not None and count == 0:
        told = _told(Phase.END, "power_or_quiet", state.since_s, at_s, count, mean_w)
        return replace(state, since_s=None), [told]
    return state, []


def _told(phase: Phase, reason: str, since_s: float, at_s: float, count: int, mean_w: float) -> Transition:
    return Transition(
        phase=phase,
        reason=reason,
        subject="activity_without_power",
        started_s=since_s,
        at_s=at_s,
        score=0.6,
        numbers={"active_minutes": float(count), "mean_w": mean_w},
    )
