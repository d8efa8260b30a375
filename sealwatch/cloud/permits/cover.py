"""Whether announced work explains an alarm: a pure decision with a named reason.

A permit covers a moment by its window and its hours of the day, and an alarm of such a moment by what it names. What
repair never explains (a covered camera, a changed surrounding, a contact, a disarmed node) has no line in `COVERED`
and always is an alarm.

Reasons
  inside_permit          covered: logged, and nobody is woken
  no_permit              no permit of the site covers the moment
  not_explained_by_work  no permit ever covers this kind of alarm
  equipment_not_named    a hoist or vehicle that no permit names
  more_people            more than the permit's number
  more_power             more than the permit's kilowatts
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from sealwatch.contract.codes import AlarmKind

POWER_SLACK: Final = 1.1
"""Nameplates and meters differ by about so much; the node's own rule uses the same."""
_CHINA_OFFSET_MS: Final = 8 * 3_600_000
_HOUR_MS: Final = 3_600_000


class Equipment(StrEnum):
    """What announced work may bring. Hoists and vehicles are alarms unless they are named."""

    HOIST = "hoist"
    PUMP = "pump"
    FAN = "fan"
    COMPRESSOR = "compressor"
    WELDER = "welder"
    LIGHTING = "lighting"
    VEHICLE = "vehicle"
    OTHER = "other"


Reason = Literal[
    "inside_permit", "no_permit", "not_explained_by_work", "equipment_not_named", "more_people", "more_power"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A permit as far as the decision needs it. `to_ms` is when it really ends: earlier where somebody ended it."""

    permit_id: str
    from_ms: int
    to_ms: int
    from_hour: int
    to_hour: int
    max_power_w: float
    max_people: int
    equipment: frozenset[str]

    def covers(self, at_ms: int) -> bool:
        """Whether it holds at this moment: its window, and its hours of the day (UTC+8), which may wrap midnight."""
        hour = (at_ms + _CHINA_OFFSET_MS) // _HOUR_MS % 24
        if self.from_hour < self.to_hour:
            inside = self.from_hour <= hour < self.to_hour
        else:
            inside = hour >= self.from_hour or hour < self.to_hour
        return inside and self.from_ms <= at_ms < self.to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an alarm says."""

    kind: str
    reason: str
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it is covered, and by which permit."""

    reason: Reason
    permit_id: str = ""

    @property
    def covered(self) -> bool:
        return self.reason == "inside_permit"


def judge(works: Sequence[Work], seen: Seen, at_ms: int) -> Verdict:
    """Whether one of the site's permits explains what was seen at `at_ms` (of the alarm, not of its arrival)."""
    if seen.kind not in COVERED:
        return Verdict("not_explained_by_work")
    reason: Reason = "no_permit"
    for work in works:
        if work.covers(at_ms):
            reason = COVERED[AlarmKind(seen.kind)](work, seen)
            if reason == "inside_permit":
                return Verdict(reason, work.permit_id)
    return Verdict(reason)


def _people(work: Work, seen: Seen) -> Reason:
    # The node has compared with its own copy of the permit; its word for "too many" stands whatever the number says.
    too_many = seen.reason == "more_people_than_permitted" or seen.numbers.get("count", 1.0) > work.max_people
    return "more_people" if too_many else "inside_permit"


def _power(work: Work, seen: Seen) -> Reason:
    power_w = max((seen.numbers.get(name, 0.0) for name in ("after_w", "pulse_w", "step_w")), default=0.0)
    return "more_power" if power_w > POWER_SLACK * work.max_power_w else "inside_permit"


def _hoist(work: Work, seen: Seen) -> Reason:
    return _power(work, seen) if Equipment.HOIST in work.equipment else "equipment_not_named"


def _vehicle(work: Work, _seen: Seen) -> Reason:
    return "inside_permit" if Equipment.VEHICLE in work.equipment else "equipment_not_named"


COVERED: Final = {
    AlarmKind.PERSON: _people,
    AlarmKind.COUNT: _people,
    AlarmKind.VEHICLE: _vehicle,
    AlarmKind.EQUIPMENT: _hoist,
    AlarmKind.HOIST_LIKE_CYCLE: _hoist,
    AlarmKind.POWER_STEP: _power,
}
"""The kinds that work can explain, and by what. Unusual power is judged by the node, which knows permit and habit."""
KINDS: Final[Collection[str]] = frozenset(COVERED)
