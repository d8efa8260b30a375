"""The ladder of an incident that opens now: the steps of the configuration, with whoever is on duty at this moment.

It goes into the incident as it is: a roster, a swap or a telephone number changed later changes no running page.
"""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.config import CloudSettings, StepSettings, address_of
from sealwatch.cloud.db.tables import Person
from sealwatch.cloud.duty import store
from sealwatch.cloud.duty.roster import Duty, stand_in, who_is_on_duty
from sealwatch.cloud.duty.store import Book
from sealwatch.cloud.paging.ladder import Ladder, Step

logger = logging.getLogger(__name__)
_ROTATION: Final = "rotation"


class DutyLadder:
    """The steps of cloud.toml; people, rosters and absences of the database."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings

    def at(self, session: Session, now_ms: int) -> Ladder:
        """The ladder of this moment. A step whose roster names nobody is left out, and the log says so."""
        book = store.book(session, at_ms=now_ms)
        people = {person.person_id: person for person in session.scalars(select(Person))}
        steps: list[Step] = []
        for step in sorted(self._settings.ladder, key=lambda one: one.after_s):
            duty = on_duty(step, book, now_ms)
            person = people.get(duty.person_id or "")
            if person is None:
                logger.error("ladder: the roster %s names nobody now; its step is left out", step.roster)
                continue
            steps.append(self._step(step, person, duty))
        return Ladder(steps=tuple(steps), repeat_after_s=self._settings.ladder_repeat_s)

    def _step(self, step: StepSettings, person: Person, duty: Duty) -> Step:
        return Step(
            after_s=step.after_s,
            channel=step.channel,
            person_id=person.person_id,
            name=person.name,
            role=person.role,
            language=person.language,
            address=address_of(self._settings, person, step.channel),
            duty="" if not step.roster and duty.reason == _ROTATION else duty.reason,
            instead_of=duty.instead_of,
        )


def on_duty(step: StepSettings, book: Book, at_ms: int) -> Duty:
    """Whom a step asks at a moment."""
    if not step.roster:
        return stand_in(step.person_id, book.calendar, at_ms)
    roster = book.rosters.get(step.roster)
    return Duty(None, "nobody") if roster is None else who_is_on_duty(roster, book.calendar, at_ms)
