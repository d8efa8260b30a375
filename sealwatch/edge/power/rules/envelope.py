"""What the site declares is a hard envelope: power above it for some minutes is an alarm, whatever drew it.

Reasons: ``power_while_dead``, ``power_while_flooded``, ``above_declared_envelope``, ``above_permit``,
``outside_permit_hours``, ``power_gone`` (start); ``back_to_normal``, ``declaration_changed`` (end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sealwatch.contract import messages
from sealwatch.contract.codes import DeclaredStatus, Level, Phase
from sealwatch.edge.power.minutes import MINUTE_S, Minute
from sealwatch.edge.power.rules import Transition

DEAD_W = 300.0
"""Cameras, router and this node themselves draw up to 0.3 kW at a site that is cut off but for them."""
HUT_W = 2500.0
"""A heated guard hut at a flooded mine; a pump that is worth running draws more."""
GUARD_HUT_W = 6000.0
"""Two heaters and a kettle at once."""
GONE_W = 5.0
_CHINA_OFFSET_S = 8 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The mean of `minutes` minutes above (or, with `below`, every one of them under) `limit_w` is an alarm."""

    subject: str
    limit_w: float
    minutes: int
    level: Level
    below: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Approved work: from when to when (Unix seconds), hours of the day (UTC+8), the most power (None: any) and
    people. The number of people is for the eyes to watch, the rest for the meter."""

    from_s: float
    to_s: float
    from_hour: int
    to_hour: int
    max_w: float | None
    people: int | None

    def covers(self, at_s: float) -> bool:
        """Whether work is allowed at this moment; hours may run over midnight."""
        hour = int((at_s + _CHINA_OFFSET_S) % 86400 // 3600)
        inside = (
            self.from_hour <= hour < self.to_hour
            if self.from_hour <= self.to_hour
            else hour >= self.from_hour or hour < self.to_hour
        )
        return self.from_s <= at_s < self.to_s and inside


def permits_of(announced: Sequence[messages.Permit]) -> list[Permit]:
    """Permits of a declaration as the rules want them."""
    return [
        Permit(
            from_s=permit.from_ms / 1000,
            to_s=permit.to_ms / 1000,
            from_hour=permit.from_hour,
            to_hour=permit.to_hour,
            max_w=permit.max_power_w,
            people=permit.max_people,
        )
        for permit in announced
    ]


@dataclass(frozen=True, slots=True)
class EnvelopeState:
    """The last minutes, and since when the alarm stands."""

    means_w: tuple[float, ...] = ()
    last_s: float = 0.0
    since_s: float | None = None


def of_declaration(declared: DeclaredStatus) -> Envelope | None:
    """What the declared status allows; None where pumps or permits decide."""
    if declared is DeclaredStatus.POWER_CUT:
        return Envelope(subject="power_while_dead", limit_w=DEAD_W, minutes=10, level=Level.ORANGE)
    if declared is DeclaredStatus.FLOODED:
        return Envelope(subject="power_while_flooded", limit_w=HUT_W, minutes=10, level=Level.ORANGE)
    if declared is DeclaredStatus.GUARD_HUT_ONLY:
        return Envelope(subject="above_declared_envelope", limit_w=GUARD_HUT_W, minutes=15, level=Level.ORANGE)
    return None


def at(
    declared: DeclaredStatus, permits: Sequence[Permit] | None, at_s: float, usual_w: float | None
) -> Envelope | None:
    """What declaration and permits allow at a moment (Unix seconds).

    Under a permit: the largest power of those that cover the moment. Where pumps are declared they may run beside the
    work, so that what is usual (`usual_w`, None while it is being learnt) comes on top. Outside the hours of permits
    the declaration holds; a site that lives by permits alone has a guard hut then, unless nobody has said which
    permits there are (None).
    """
    covering = [p for p in permits or () if p.covers(at_s)]
    if not covering:
        if declared is DeclaredStatus.PERMITTED_WORK and permits is not None:
            return Envelope(subject="outside_permit_hours", limit_w=HUT_W, minutes=10, level=Level.ORANGE)
        return of_declaration(declared)
    allowed = [p.max_w for p in covering if p.max_w is not None]
    if len(allowed) < len(covering):
        return None
    beside_w: float | None = 0.0
    if declared is DeclaredStatus.DRAINAGE_ONLY:
        beside_w = usual_w
    if beside_w is None:
        return None
    return Envelope(subject="above_permit", limit_w=1.1 * max(allowed) + beside_w, minutes=5, level=Level.ORANGE)


GONE = Envelope(subject="power_gone", limit_w=GONE_W, minutes=15, level=Level.ORANGE, below=True)
"""Where the power never was away before: cutting it is a known way to blind a site."""


def advance(state: EnvelopeState, envelope: Envelope, minute: Minute) -> tuple[EnvelopeState, list[Transition]]:
    """Judge one more minute; a gap begins anew."""
    fresh = minute.start_s - state.last_s <= 5 * MINUTE_S
    means = (*(state.means_w if fresh else ()), minute.mean_w)[-envelope.minutes :]
    state = replace(state, means_w=means, last_s=minute.start_s)
    if len(means) < envelope.minutes:
        return state, []
    mean_w = sum(means) / len(means)
    wrong = max(means) <= envelope.limit_w if envelope.below else mean_w > envelope.limit_w
    right = minute.mean_w > 4 * envelope.limit_w if envelope.below else mean_w <= 0.8 * envelope.limit_w
    end_s = minute.start_s + MINUTE_S
    if wrong and state.since_s is None:
        since_s = end_s - envelope.minutes * MINUTE_S
        return replace(state, since_s=since_s), [_told(Phase.START, envelope, since_s, end_s, mean_w)]
    if right and state.since_s is not None:
        return replace(state, since_s=None), [_told(Phase.END, envelope, state.since_s, end_s, mean_w)]
    return state, []


def lifted(state: EnvelopeState, subject: str, minute: Minute) -> Transition:
    """The end of what stood by an envelope that holds no more: a permit began, or the declaration changed."""
    return Transition(
        phase=Phase.END,
        reason="declaration_changed",
        subject=subject,
        started_s=state.since_s or minute.start_s,
        at_s=minute.start_s,
        score=1.0,
        numbers={"mean_w": minute.mean_w, "limit_w": 0.0, "minutes": 1.0},
    )


def _told(phase: Phase, envelope: Envelope, since_s: float, at_s: float, mean_w: float) -> Transition:
    return Transition(
        phase=phase,
        reason=envelope.subject if phase is Phase.START else "back_to_normal",
        subject=envelope.subject,
        started_s=since_s,
        at_s=at_s,
        score=1.0,
        numbers={"mean_w": mean_w, "limit_w": envelope.limit_w, "minutes": float(envelope.minutes)},
    )
