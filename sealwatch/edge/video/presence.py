"""When somebody in a zone is an alarm: a pure state machine with on-delay and off-delay and named reasons.

A *candidate* is a track at 0.35 or more. An alarm starts when living candidates have been in the zone for the on-delay
and enough of the latest looks were at 0.45 or more; it ends when nobody has been seen for the off-delay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sealwatch.contract.codes import AlarmKind, Phase

_UPDATE_S: Final = 5.0  # an alarm that stands is not updated more often
_FRESH_S: Final = 0.5  # an alarm starts on somebody seen just now, or missed in the last look or two
_GAP_S: Final = 1.2  # a presence with longer holes in it is two presences


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceRule:
    """What it takes, for one kind in one zone."""

    kind: AlarmKind
    on_delay_s: float
    off_delay_s: float
    alarm_score: float = 0.45
    needed: int = 2
    of: int = 5


@dataclass(frozen=True, slots=True)
class Presence:
    """One track inside the zone in this look: `fresh` when it was found just now, `alive` when it ever moved.

    `proven_s` is for how long it has been followed with at least three finds; 0 before.
    """

    track_id: int
    score: float
    fresh: bool
    alive: bool
    proven_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceState:
    """Where one rule stands. `phase` is ``clear``, ``candidate`` or ``active``; `reason` says why it is not further."""

    phase: str = "clear"
    reason: str = "nobody"
    since_s: float = 0.0
    since_ms: int = 0
    present_s: float = float("-inf")
    scores: tuple[float, ...] = ()
    best: float = 0.0
    persons: int = 0
    entered: Mapping[int, tuple[float, int]] = field(default_factory=dict)
    known: frozenset[int] = frozenset()
    told_s: float = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An alarm starts, is updated or ends: first seen at `started_ms`, decided on the picture of `decided_ms`."""

    phase: Phase
    reason: str
    score: float
    started_ms: int
    decided_ms: int
    present_s: float
    count: int
    looks: int


CLEAR: Final = PresenceState()


def step(
    state: PresenceState, rule: PresenceRule, seen: Sequence[Presence], *, looked: bool, now_s: float, now_ms: int
) -> tuple[PresenceState, tuple[Transition, ...]]:
    """One look at one zone. Without `looked` only time has passed."""
    state = replace(state, entered={p.track_id: state.entered.get(p.track_id, (now_s, now_ms)) for p in seen})
    living = [p for p in seen if p.alive]
    fresh = [p for p in living if p.fresh]
    if state.phase == "active":
        return _active(state, rule, fresh, now_s, now_ms)
    if fresh:
        state = _noted(state, rule, fresh, now_s)
    elif state.phase == "clear":
        return replace(state, reason="never_moved" if seen and not living else state.reason), ()
    elif now_s - state.present_s > _GAP_S:
        return replace(CLEAR, reason="too_brief", entered=state.entered), ()
    elif looked:
        state = replace(state, scores=(*state.scores, 0.0)[-rule.of :])
    return _candidate(state, rule, living, now_s, now_ms)


def _noted(state: PresenceState, rule: PresenceRule, fresh: Sequence[Presence], now_s: float) -> PresenceState:
    """The state with what was found in this look."""
    if state.phase == "clear":
        since_s, since_ms = min(state.entered[p.track_id] for p in fresh)
        state = replace(CLEAR, phase="candidate", since_s=since_s, since_ms=since_ms, entered=state.entered)
    best = max(p.score for p in fresh)
    return replace(
        state,
        present_s=now_s,
        scores=(*state.scores, best)[-rule.of :],
        best=max(best, state.best),
        persons=max(state.persons, len(fresh)),
    )


def _candidate(
    state: PresenceState, rule: PresenceRule, living: Sequence[Presence], now_s: float, now_ms: int
) -> tuple[PresenceState, tuple[Transition, ...]]:
    strong = sum(score >= rule.alarm_score for score in state.scores)
    if now_s - state.since_s < rule.on_delay_s - 1e-6:
        return replace(state, reason="on_delay"), ()
    if now_s - state.present_s > _FRESH_S:
        return replace(state, reason="out_of_sight"), ()
    if strong < rule.needed:
        return replace(state, reason="score_low"), ()
    state = replace(
        state,
        phase="active",
        reason="seen_long_enough",
        known=frozenset(p.track_id for p in living),
        told_s=now_s,
    )
    return state, (_transition(state, Phase.START, "seen_long_enough", strong, now_s, now_ms),)


def _active(
    state: PresenceState,
    rule: PresenceRule,
    fresh: Sequence[Presence],
    now_s: float,
    now_ms: int,
) -> tuple[PresenceState, tuple[Transition, ...]]:
    if not fresh:
        if now_s - state.present_s < rule.off_delay_s:
            return state, ()
        transition = _transition(state, Phase.END, "nobody_for_off_delay", 0, now_s, now_ms)
        return replace(CLEAR, reason="nobody", entered=state.entered), (transition,)
    if now_s - state.present_s > _GAP_S:
        state = replace(state, known=frozenset())  # whoever comes after a pause is told again
    strong = sum(p.score >= rule.alarm_score for p in fresh)
    proven = {p.track_id for p in fresh if p.score >= rule.alarm_score and p.proven_s >= 0.5 * rule.on_delay_s}
    newcomers = proven - state.known if now_s - state.told_s >= _UPDATE_S else frozenset()
    state = replace(
        state, present_s=now_s, best=max(state.best, *(p.score for p in fresh)), persons=max(state.persons, len(fresh))
    )
    if not newcomers:
        return state, ()
    state = replace(state, known=state.known | newcomers, told_s=now_s)
    return state, (_transition(state, Phase.UPDATE, "another_one", strong, now_s, now_ms),)


def _transition(state: PresenceState, phase: Phase, reason: str, looks: int, now_s: float, now_ms: int) -> Transition:
    return Transition(
        phase=phase,
        reason=reason,
        score=min(1.0, state.best),
        started_ms=state.since_ms,
        decided_ms=now_ms,
        present_s=now_s - state.since_s,
        count=state.persons,
        looks=looks,
    )
