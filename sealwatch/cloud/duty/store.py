"""Rosters, swaps, absences, holidays and people in the database.

Functions that change something work inside the caller's writing transaction and raise `NotAllowed` with a named reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.duty_tables import Holiday, PersonAbsence, RosterRow, RosterSwap
from sealwatch.cloud.db.tables import Person
from sealwatch.cloud.duty.roster import Absence, Calendar, Roster, Swap
from sealwatch.cloud.refused import NotAllowed

_KEPT_MS: Final = 40 * 24 * 3_600_000
"""Swaps and absences that ended longer ago are not read for decisions; their rows stay."""


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that says who is on duty around a moment."""

    rosters: Mapping[str, Roster]
    calendar: Calendar


def book(session: Session, *, at_ms: int) -> Book:
    """The rosters as they are, with the swaps and absences around `at_ms`."""
    swaps: defaultdict[str, list[Swap]] = defaultdict(list)
    wanted = select(RosterSwap).where(RosterSwap.cancelled_at_ms.is_(None), RosterSwap.to_ms > at_ms - _KEPT_MS)
    for row in session.scalars(wanted.order_by(RosterSwap.id)):
        swap = Swap(person_id=row.person_id, from_ms=row.from_ms, to_ms=row.to_ms, order=row.id)
        swaps[row.roster_id].append(swap)
    rosters = {
        row.roster_id: Roster(
            roster_id=row.roster_id,
            people=tuple(row.people),
            holiday_people=tuple(row.holiday_people),
            begins_ms=row.begins_ms,
            turn_ms=row.turn_ms,
            swaps=tuple(swaps[row.roster_id]),
        )
        for row in session.scalars(select(RosterRow).order_by(RosterRow.roster_id))
    }
    away = select(PersonAbsence).where(PersonAbsence.cancelled_at_ms.is_(None), PersonAbsence.to_ms > at_ms - _KEPT_MS)
    absences = tuple(
        Absence(person_id=row.person_id, from_ms=row.from_ms, to_ms=row.to_ms, substitute_id=row.substitute_id)
        for row in session.scalars(away.order_by(PersonAbsence.id))
    )
    days = frozenset(session.scalars(select(Holiday.day)))
    return Book(rosters, Calendar(holidays=days, absences=absences))


def put_roster(
    session: Session,
    roster_id: str,
    *,
    name: str,
    people: tuple[str, ...],
    holiday_people: tuple[str, ...],
    begins_ms: int,
    turn_ms: int,
    author: str,
    now_ms: int,
) -> RosterRow:
    """Enter a roster, or change one; running pages keep their ladder. Raises NotAllowed: unknown_person."""
    _known(session, *people, *holiday_people)
    row = session.get(RosterRow, roster_id, with_for_update=True)
    if row is None:
        row = RosterRow(roster_id=roster_id)
        session.add(row)
    row.name, row.people, row.holiday_people = name, list(people), list(holiday_people)
    row.begins_ms, row.turn_ms, row.author, row.changed_at_ms = begins_ms, turn_ms, author, now_ms
    session.flush()
    return row


def add_swap(
    session: Session,
    roster_id: str,
    *,
    person_id: str,
    from_ms: int,
    to_ms: int,
    reason: str,
    author: str,
    now_ms: int,
) -> RosterSwap:
    """Somebody does a stretch. Raises NotAllowed: unknown_roster | unknown_person | bad_window."""
    if session.get(RosterRow, roster_id) is None:
        raise NotAllowed("unknown_roster")
    _known(session, person_id)
    if not from_ms < to_ms or to_ms <= now_ms:
        raise NotAllowed("bad_window")
    row = RosterSwap(
        roster_id=roster_id,
        person_id=person_id,
        from_ms=from_ms,
        to_ms=to_ms,
        reason=reason,
        author=author,
        created_at_ms=now_ms,
    )
    session.add(row)
    session.flush()
    return row


def add_absence(
    session: Session,
    *,
    person_id: str,
    from_ms: int,
    to_ms: int,
    substitute_id: str,
    reason: str,
    author: str,
    now_ms: int,
) -> PersonAbsence:
    """Somebody is away. Raises NotAllowed: unknown_person | bad_window (also for oneself as substitute)."""
    _known(session, person_id, *([substitute_id] if substitute_id else []))
    if not from_ms < to_ms or to_ms <= now_ms or substitute_id == person_id:
        raise NotAllowed("bad_window")
    row = PersonAbsence(
        person_id=person_id,
        from_ms=from_ms,
        to_ms=to_ms,
        substitute_id=substitute_id,
        reason=reason,
        author=author,
        created_at_ms=now_ms,
    )
    session.add(row)
    session.flush()
    return row


def cancel_swap(session: Session, swap_id: int, *, now_ms: int) -> RosterSwap:
    """Take a swap back; its row stays. Raises NotAllowed: not_there."""
    row = session.get(RosterSwap, swap_id, with_for_update=True)
    if row is None or row.cancelled_at_ms is not None:
        raise NotAllowed("not_there")
    row.cancelled_at_ms = now_ms
    session.flush()
    return row


def cancel_absence(session: Session, absence_id: int, *, now_ms: int) -> PersonAbsence:
    """Take an absence back; its row stays. Raises NotAllowed: not_there."""
    row = session.get(PersonAbsence, absence_id, with_for_update=True)
    if row is None or row.cancelled_at_ms is not None:
        raise NotAllowed("not_there")
    row.cancelled_at_ms = now_ms
    session.flush()
    return row


def set_holiday(session: Session, day: str, name: str) -> None:
    """`day` (2026-10-01) is a holiday; an empty name: it is not."""
    row = session.get(Holiday, day)
    if not name:
        if row is not None:
            session.delete(row)
    elif row is None:
        session.add(Holiday(day=day, name=name))
    else:
        row.name = name
    session.flush()


def put_person(session: Session, person_id: str, fields: Mapping[str, Any]) -> Person:
    """Enter a person, or change one; from then on the service is the truth about them, not cloud.toml."""
    row = session.get(Person, person_id, with_for_update=True)
    if row is None:
        row = Person(person_id=person_id)
        session.add(row)
    for name, value in fields.items():
        setattr(row, name, value)
    row.managed_by = "service"
    session.flush()
    return row


def give_back(session: Session, person_id: str) -> Person:
    """cloud.toml is the truth about this person again, from the next start on. Raises NotAllowed: unknown_person."""
    row = session.get(Person, person_id, with_for_update=True)
    if row is None:
        raise NotAllowed("unknown_person")
    row.managed_by = "file"
    session.flush()
    return row


def _known(session: Session, *person_ids: str) -> None:
    known = set(session.scalars(select(Person.person_id).where(Person.person_id.in_(person_ids))))
    if set(person_ids) - known:
        raise NotAllowed("unknown_person")
