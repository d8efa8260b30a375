"""Who is on duty at a moment: pure.

A roster turns: its people follow each other in turns of one length from a beginning on. What stands above that, the
strongest first, is

  swap          somebody else does this stretch (the swap that was entered last counts)
  holiday       on these days the roster's holiday people follow each other, a day each
  rotation      the turn itself

and whoever it names may be away:

  substitute    the absence names who stands in; that one may be away as well, and name another
  next_in_turn  it names nobody, or nobody who is there: the next of the roster who is
  absent        everybody is away: the one it was is asked all the same, because somebody must be
  nobody        the roster has no people, or has not begun

Days are days of UTC+8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

CHINA_OFFSET_MS: Final = 8 * 3_600_000
DAY_MS: Final = 24 * 3_600_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()

Reason = Literal["swap", "holiday", "rotation", "substitute", "next_in_turn", "absent", "nobody"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Somebody does a stretch of a roster, whoever's turn it is. `order`: a later one is stronger."""

    person_id: str
    from_ms: int
    to_ms: int
    order: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Somebody is away, on every roster; `substitute_id` may be empty."""

    person_id: str
    from_ms: int
    to_ms: int
    substitute_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Turns of `turn_ms` from `begins_ms` on, the people in their order."""

    roster_id: str
    people: tuple[str, ...]
    holiday_people: tuple[str, ...] = ()
    begins_ms: int
    turn_ms: int
    swaps: tuple[Swap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """What holds for every roster: days off ("2026-10-01") and who is away."""

    holidays: frozenset[str] = frozenset()
    absences: tuple[Absence, ...] = ()

    def away(self, person_id: str, at_ms: int) -> Absence | None:
        """The absence that holds for somebody at a moment; of several the one that began last."""
        held = [one for one in self.absences if one.person_id == person_id and one.from_ms <= at_ms < one.to_ms]
        return max(held, key=lambda one: one.from_ms, default=None)


@dataclass(frozen=True, slots=True)
class Duty:
    """Who is on duty, why, and (`instead_of`) whose turn it would have been."""

    person_id: str | None
    reason: Reason
    instead_of: str = ""


def who_is_on_duty(roster: Roster, calendar: Calendar, at_ms: int) -> Duty:
    """Who is on duty at `at_ms` (wall clock)."""
    turn = _turn(roster, calendar, at_ms)
    if turn.person_id is None:
        return turn
    return _present(turn, roster.people, calendar, at_ms)


def stand_in(person_id: str, calendar: Calendar, at_ms: int) -> Duty:
    """Who answers for a person named without a roster: that one, or their substitute."""
    return _present(Duty(person_id, "rotation"), (), calendar, at_ms)


def day_of(at_ms: int) -> str:
    """The day (UTC+8) of a moment, as holidays are written."""
    days = (at_ms + CHINA_OFFSET_MS) // DAY_MS
    return str(date.fromordinal(_EPOCH_ORDINAL + days))


def _turn(roster: Roster, calendar: Calendar, at_ms: int) -> Duty:
    swaps = [swap for swap in roster.swaps if swap.from_ms <= at_ms < swap.to_ms]
    if swaps:
        return Duty(max(swaps, key=lambda swap: swap.order).person_id, "swap")
    if roster.holiday_people and day_of(at_ms) in calendar.holidays:
        days = (at_ms + CHINA_OFFSET_MS) // DAY_MS
        return Duty(roster.holiday_people[days % len(roster.holiday_people)], "holiday")
    if not roster.people or at_ms < roster.begins_ms:
        return Duty(None, "nobody")
    return Duty(roster.people[(at_ms - roster.begins_ms) // roster.turn_ms % len(roster.people)], "rotation")


def _present(turn: Duty, people: Sequence[str], calendar: Calendar, at_ms: int) -> Duty:
    """The one whose turn it is, or who stands in."""
    named = turn.person_id or ""
    absence = calendar.away(named, at_ms)
    if absence is None:
        return turn
    asked = {named}
    while (substitute := absence.substitute_id) and substitute not in asked:
        asked.add(substitute)
        further = calendar.away(substitute, at_ms)
        if further is None:
            return Duty(substitute, "substitute", instead_of=named)
        absence = further
    start = people.index(named) + 1 if named in people else 0
    for person_id in (*people[start:], *people[:start]):
        if calendar.away(person_id, at_ms) is None:
            return Duty(person_id, "next_in_turn", instead_of=named)
    return Duty(named, "absent")
