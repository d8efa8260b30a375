"""What the site declares is a hard envelope: power above it for some minutes is an alarm, whatever drew it.

Reasons: ``power_while_dead``, ``power_while_flooded``, ``above_declared_envelope``, ``above_permit``,
``outside_permit_hours``, ``power_gone`` (start); ``back_to_normal`` (end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """Approved work: from when to when (seconds on the axis of the samples), hours of the day (UTC+8), kilowatts and
    people. The number of people is for the eyes to watch, the rest for the meter."""

    from_s: float
    to_s: float
    from_hour: int
    to_hour: int
    max_w: float
    people: int

    def covers(self, at_s: float) -> bool:
        """Whether work is allowed at this moment; hours may run over midnight."""
        hour = int((at_s + _CHINA_OFFSET_S) % 86400 // 3600)
        inside = (
            self.from_hour <= hour < self.to_hour
            if self.from_hour <= self.to_hour
            else hour >= self.from_hour or hour < self.to_hour
        )
        return self.from_s <= at_s < self.to_s and inside


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


def of_permits(permits: Sequence[Permit], at_s: float) -> Envelope | None:
    """What permits allow at a moment: the largest power of those that cover it, a guard hut outside their hours."""
    if not permits:
        return None
    allowed = [p.max_w for p in permits if p.covers(at_s)]
    if allowed:
        return Envelope(subject="above_permit", limit_w=1.1 * max(allowed), minutes=5, level=Level.ORANGE)
    return Envelope(subject="outside_permit_hours", limit_w=HUT_W, minutes=10, level=Level.ORANGE)


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
