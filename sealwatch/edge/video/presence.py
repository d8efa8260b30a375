"""When somebody in a zone is an alarm: a pure state machine with on-delay and off-delay and named reasons.

A *candidate* is a track at 0.35 or more. An alarm starts when living candidates have been in the zone for the on-delay
and enough of the latest looks were at 0.45 or more; it ends when nobody has been seen for the off-delay.

The *stay* of a track is the time since it came into the zone; a step across the rim for a moment does not end it. With
`dwell_s` an alarm waits for one stay of that length (two people after each other do not add up); a stay of `loiter_s`
is told once an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sealwatch.contract.codes import AlarmKind, Phase

_UPDATE_S: Final = 5.0  # an alarm that stands is not updated more often
_FRESH_S: Final = 0.5  # an alarm starts on somebody seen just now, or missed in the last look or two
_GAP_S: Final = 1.2  # a presence with longer holes in it is two presences
_OUTSIDE_S: Final = 2.5  # a stay survives so long out of the zone or of sight


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceRule:
    """What it takes, for one kind in one zone."""

    kind: AlarmKind
    on_delay_s: float
    off_delay_s: float
    dwell_s: float = 0.0
    loiter_s: float | None = None
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


@dataclass(frozen=True, slots=True)
class Stay:
    """One track in the zone: since when, and when it was last there."""

    since_s: float
    since_ms: int
    there_s: float


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
    stays: Mapping[int, Stay] = field(default_factory=dict)
    loitering: bool = False
    known: frozenset[int] = frozenset()
    told_s: float = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An alarm starts, is updated or ends: first seen at `started_ms`, decided on the picture of `decided_ms`.

    `loitering` from the moment on when somebody has stayed for the rule's `loiter_s`; `stay_s` is the longest stay.
    """

    phase: Phase
    reason: str
    score: float
    started_ms: int
    decided_ms: int
    present_s: float
    count: int
    looks: int
    stay_s: float = 0.0
    loitering: bool = False


CLEAR: Final = PresenceState()


def step(
    state: PresenceState, rule: PresenceRule, seen: Sequence[Presence], *, looked: bool, now_s: float, now_ms: int
) -> tuple[PresenceState, tuple[Transition, ...]]:
    """One look at one zone. Without `looked` only time has passed."""
    state = replace(state, entered={p.track_id: state.entered.get(p.track_id, (now_s, now_ms)) for p in seen})
    state = replace(state, stays=_stays(state.stays, seen, now_s, now_ms))
    living = [p for p in seen if p.alive]
    fresh = [p for p in living if p.fresh]
    if state.phase == "active":
        return _active(state, rule, fresh, now_s, now_ms)
    if fresh:
        state = _noted(state, rule, fresh, now_s)
    elif state.phase == "clear":
        return replace(state, reason="never_moved" if seen and not living else state.reason), ()
    elif now_s - state.present_s > _GAP_S:
        return _cleared(state, "too_brief"), ()
    elif looked:
        state = replace(state, scores=(*state.scores, 0.0)[-rule.of :])
    return _candidate(state, rule, living, now_s, now_ms)


def ended(state: PresenceState, reason: str, *, now_s: float, now_ms: int) -> Transition | None:
    """The end of an alarm whose rule is taken away, or None where none stands."""
    return _transition(state, Phase.END, reason, 0, now_s, now_ms) if state.phase == "active" else None


def _cleared(state: PresenceState, reason: str) -> PresenceState:
    return replace(CLEAR, reason=reason, entered=state.entered, stays=state.stays)


def _stays(before: Mapping[int, Stay], seen: Sequence[Presence], now_s: float, now_ms: int) -> dict[int, Stay]:
    stays = {track_id: stay for track_id, stay in before.items() if now_s - stay.there_s <= _OUTSIDE_S}
    for p in seen:
        known = stays.get(p.track_id)
        stays[p.track_id] = replace(known, there_s=now_s) if known else Stay(now_s, now_ms, now_s)
    return stays


def _longest(state: PresenceState, present: Sequence[Presence]) -> Stay | None:
    return min((state.stays[p.track_id] for p in present), key=lambda stay: stay.since_s, default=None)


def _noted(state: PresenceState, rule: PresenceRule, fresh: Sequence[Presence], now_s: float) -> PresenceState:
    """The state with what was found in this look."""
    if state.phase == "clear":
        since_s, since_ms = min(state.entered[p.track_id] for p in fresh)
        state = replace(_cleared(state, "nobody"), phase="candidate", since_s=since_s, since_ms=since_ms)
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
    if rule.dwell_s > 0.0:
        longest = _longest(state, living)
        if longest is None or now_s - longest.since_s < rule.dwell_s - 1e-6:
            return replace(state, reason="dwell"), ()
        if longest.since_s < state.since_s:
            state = replace(state, since_s=longest.since_s, since_ms=longest.since_ms)
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
        return _cleared(state, "nobody"), (transition,)
    if now_s - state.present_s > _GAP_S:
        state = replace(state, known=frozenset())  # whoever comes after a pause is told again
    strong = sum(p.score >= rule.alarm_score for p in fresh)
    longest = _longest(state, fresh)
    if rule.loiter_s and not state.loitering and longest and now_s - longest.since_s >= rule.loiter_s - 1e-6:
        state = replace(state, loitering=True, present_s=now_s)
        return state, (_transition(state, Phase.UPDATE, "loitering", strong, now_s, now_ms),)
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
        stay_s=max((stay.there_s - stay.since_s for stay in state.stays.values()), default=0.0),
        loitering=state.loitering,
    )
