"""A short answer carried out in the name of whoever it came from, and kept and audited whatever became of it.

A telephone number names a person where exactly one has it. Networks can be made to lie about the number a text message
comes from: such an answer is written down with its channel, and closing red or orange still takes a second person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.accounts import audit
from sealwatch.cloud.answering import said as saying
from sealwatch.cloud.answering.said import Asked, Said
from sealwatch.cloud.db.duty_tables import Reply
from sealwatch.cloud.db.tables import Incident, Page, Person
from sealwatch.cloud.incidents import service, states
from sealwatch.cloud.incidents.states import State
from sealwatch.contract.codes import Closure

HOLDS_S: Final = 24 * 3600
"""An answer to a page is expected within this time, like that of a link."""
_KEPT_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """`name`: an outcome of `incidents.service`, or not_understood, unknown_number, no_page, which_page, repeated."""

    name: str
    changed: bool = False


def by_text(session: Session, *, telephone: str, text: str, channel: str, message_id: str, now_ms: int) -> Outcome:
    """A text message from a number. `message_id` names it at its carrier: the same one again changes nothing."""
    if session.scalar(select(Reply.id).where(Reply.channel == channel, Reply.message_id == message_id)) is not None:
        return Outcome("repeated")
    person_id = _who(session, telephone)
    answer = saying.parse(text)
    incident_id = ""
    if person_id is None:
        outcome = Outcome("unknown_number")
    elif answer is None:
        outcome = Outcome("not_understood")
    else:
        incident_id = saying.choose(answer, _asked(session, person_id, now_ms))
        if incident_id in ("none", "several"):
            outcome, incident_id = Outcome("no_page" if incident_id == "none" else "which_page"), ""
        else:
            outcome = _carry_out(
                session, answer, incident_id=incident_id, person_id=person_id, channel=channel, now_ms=now_ms
            )
    session.add(
        Reply(
            at_ms=now_ms,
            channel=channel,
            message_id=message_id,
            telephone=telephone[:32],
            text=text[:_KEPT_CHARACTERS],
            person_id=person_id,
            incident_id=incident_id or None,
            outcome=outcome.name,
        )
    )
    _note(session, "answers.text", person_id, incident_id, outcome, channel, now_ms)
    session.flush()
    return outcome


def by_key(session: Session, answer: Said, *, incident_id: str, person_id: str, channel: str, now_ms: int) -> Outcome:
    """A key that the person pressed in the call that told them of the incident."""
    outcome = _carry_out(session, answer, incident_id=incident_id, person_id=person_id, channel=channel, now_ms=now_ms)
    _note(session, "answers.key", person_id, incident_id, outcome, channel, now_ms)
    return outcome


def _note(
    session: Session, action: str, person_id: str | None, incident_id: str, outcome: Outcome, channel: str, now_ms: int
) -> None:
    audit.note(
        session,
        at_ms=now_ms,
        actor=f"person:{person_id}" if person_id else "nobody",
        action=action,
        target=incident_id,
        outcome=outcome.name,
        detail={"by": channel},
    )


def _carry_out(
    session: Session, answer: Said, *, incident_id: str, person_id: str, channel: str, now_ms: int
) -> Outcome:
    """Do what was said, in that person's name; `channel` becomes the reason in the history."""
    actor = f"person:{person_id}"
    if answer.what == "going":
        taken = service.acknowledge(session, incident_id=incident_id, actor=actor, reason=channel, now_ms=now_ms)
        return Outcome(taken.name, taken.changed)
    if answer.what == "cannot":
        passed = service.pass_on(session, incident_id=incident_id, actor=actor, reason=channel, now_ms=now_ms)
        return Outcome(passed.name, passed.changed)
    closed = service.close(
        session,
        incident_id=incident_id,
        actor=actor,
        closure=answer.closure or Closure.FALSE_ALARM,
        note=channel,
        now_ms=now_ms,
    )
    return Outcome(closed.name, closed.changed)


def digits(telephone: str) -> str:
    """A number without spaces, and without China's own prefix."""
    plain = "".join(character for character in telephone if character.isdecimal())
    for prefix in ("0086", "86"):
        if plain.startswith(prefix) and len(plain) - len(prefix) == 11:
            return plain.removeprefix(prefix)
    return plain


def _who(session: Session, telephone: str) -> str | None:
    wanted = digits(telephone)
    rows = session.execute(select(Person.person_id, Person.telephone).where(Person.telephone != ""))
    found = [row.person_id for row in rows if digits(row.telephone) == wanted]
    return found[0] if len(found) == 1 and wanted else None


def _asked(session: Session, person_id: str, now_ms: int) -> list[Asked]:
    rows = session.execute(
        select(Page.page_id, Page.incident_id, Incident.state)
        .join(Incident, Incident.incident_id == Page.incident_id)
        .where(
            Page.person_id == person_id,
            Page.submitted_at_ms > now_ms - HOLDS_S * 1000,
            Incident.state != str(State.CLOSED),
        )
        .order_by(Page.submitted_at_ms.desc())
    )
    return [Asked(row.page_id, row.incident_id, State(row.state) in states.UNANSWERED) for row in rows]
