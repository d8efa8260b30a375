"""What people do with an incident: answer, pass on, close, reopen.

Each function works inside the caller's writing transaction (`Database.write`) and commits nothing itself; after the
commit the caller announces the change (`ChangeBus.announce`). All of them may be called twice: a double click, a link
opened again and two people at once lead to one change and one line of history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import Incident, IncidentEvent, Page
from sealwatch.cloud.incidents import history, states, steps, told
from sealwatch.cloud.incidents.states import Event, State
from sealwatch.cloud.paging import store
from sealwatch.contract.codes import Closure, Level

DESK: Final = "desk"
SECOND_PERSON: Final = frozenset({Level.RED, Level.ORANGE})
"""Levels whose closing by a named person is confirmed by another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOutcome:
    """What became of an answer. `by` and `at_ms` name who has it and since when."""

    name: Literal["acknowledged", "already_acknowledged_by", "closed", "unknown_incident"]
    changed: bool = False
    by: str | None = None
    at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOutcome:
    """What became of "I can't, next please". `to_person_id` is who is paged now."""

    name: Literal["passed_on", "nobody_left", "already_acknowledged_by", "closed", "unknown_incident"]
    changed: bool = False
    by: str | None = None
    to_person_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseOutcome:
    """What became of a closing or reopening."""

    name: Literal[
        "closed",
        "second_person_wanted",
        "already_closed",
        "reopened",
        "not_closed",
        "another_is_open",
        "unknown_incident",
    ]
    changed: bool = False


def acknowledge(session: Session, *, incident_id: str, actor: str, reason: str, now_ms: int) -> AnswerOutcome:
    """A person takes the incident on; the ladder stops.

    `actor` is "person:<person_id>" or "desk"; `reason` a name such as "going" or "link". The first answer counts: for
    the same person again it is still "acknowledged", for another "already_acknowledged_by" with who has it in `by`.
    """
    incident = steps.held(session, incident_id)
    if incident is None:
        return AnswerOutcome(name="unknown_incident")
    state = State(incident.state)
    if state is State.CLOSED:
        return AnswerOutcome(name="closed", by=incident.acknowledged_by, at_ms=incident.closed_at_ms)
    after = states.after(state, Event.ACKNOWLEDGED)
    if after is None:
        mine = incident.acknowledged_by == actor
        return AnswerOutcome(
            name="acknowledged" if mine else "already_acknowledged_by",
            by=incident.acknowledged_by,
            at_ms=incident.acknowledged_at_ms,
        )
    incident.state = after
    incident.acknowledged_by, incident.acknowledged_at_ms = actor, now_ms
    incident.updated_at_ms = incident.progress_at_ms = now_ms
    incident.shelved_until_ms = None
    store.cancel_due(session, incident_id, outcome="answered_before")
    store.mark_answered(session, incident_id, person_id=actor.removeprefix("person:"), now_ms=now_ms)
    history.record(
        session, incident_id, "acknowledged", at_ms=now_ms, reason=reason, actor=actor, before=state, after=after
    )
    told.answered(session, incident_id, now_ms=now_ms)
    return AnswerOutcome(name="acknowledged", changed=True, by=actor, at_ms=now_ms)


def pass_on(session: Session, *, incident_id: str, actor: str, reason: str, now_ms: int) -> PassOutcome:
    """A person can't come: whoever is next on this walk up the ladder, and has not said the same, is paged at once.

    Nobody left on it is "nobody_left", which is a line of the history: whoever watches the desk must find somebody. The
    ladder begins again after its pause, as it does without an answer; nobody is asked twice in one walk.
    """
    incident = steps.held(session, incident_id)
    if incident is None:
        return PassOutcome(name="unknown_incident")
    if State(incident.state) is State.CLOSED:
        return PassOutcome(name="closed", by=incident.acknowledged_by)
    if State(incident.state) not in states.UNANSWERED:
        return PassOutcome(name="already_acknowledged_by", by=incident.acknowledged_by)
    pages = session.scalars(
        select(Page).where(Page.incident_id == incident_id).order_by(Page.cycle, Page.step).with_for_update()
    ).all()
    cycle = store.running_cycle(pages, now_ms)
    refused = _passed_on_by(session, incident_id, cycle=cycle)
    if actor in refused:
        return PassOutcome(name="passed_on", by=actor)
    own = actor.removeprefix("person:")
    waiting = [p for p in pages if p.state == "due" and p.cycle == cycle]
    for page in (p for p in waiting if p.person_id == own):
        page.state, page.outcome = "cancelled", "passed_on"
    following = next((p for p in waiting if p.person_id != own and f"person:{p.person_id}" not in refused), None)
    if following is not None:
        following.due_at_ms = min(following.due_at_ms, now_ms)
    incident.updated_at_ms = now_ms
    detail = {"cycle": cycle, "to_person_id": following.person_id if following else None}
    history.record(session, incident_id, "passed_on", at_ms=now_ms, reason=reason, actor=actor, detail=detail)
    if following is None:
        history.record(
            session, incident_id, "nobody_left", at_ms=now_ms, reason="all_passed_on", detail={"cycle": cycle}
        )
        return PassOutcome(name="nobody_left", changed=True, by=actor)
    return PassOutcome(name="passed_on", changed=True, by=actor, to_person_id=following.person_id)


def close(
    session: Session, *, incident_id: str, actor: str, closure: Closure, note: str = "", now_ms: int
) -> CloseOutcome:
    """A person has looked and says what it was. Alarms that go on afterwards are recorded with the closed incident.

    Red and orange closed by a named person wait for a second one: "second_person_wanted" (state `handled`), until
    somebody else calls this and so confirms it. The shared desk ("desk") is several people that can't be told apart:
    its word closes at once, and confirms.
    """
    incident = steps.held(session, incident_id)
    if incident is None:
        return CloseOutcome(name="unknown_incident")
    state = State(incident.state)
    if state is State.CLOSED:
        return CloseOutcome(name="already_closed")
    if state is State.HANDLED and incident.handled_by == actor:
        return CloseOutcome(name="second_person_wanted")
    confirms = state is State.HANDLED and incident.handled_as == int(closure)
    closes = confirms or actor == DESK or Level(incident.level) not in SECOND_PERSON
    event = Event.CLOSED if closes else Event.HANDLED
    after = states.after(state, event) or state  # a second person with another closure is a first one for a third
    incident.state = after
    incident.updated_at_ms = incident.progress_at_ms = now_ms
    incident.shelved_until_ms = None
    if closes:
        incident.closed_at_ms, incident.closure = now_ms, int(closure)
    else:
        incident.handled_by, incident.handled_as = actor, int(closure)
    store.cancel_due(session, incident_id, outcome="answered_before")
    store.mark_answered(session, incident_id, person_id=actor.removeprefix("person:"), now_ms=now_ms)
    history.record(
        session,
        incident_id,
        event.value,
        at_ms=now_ms,
        reason=closure.name.lower(),
        actor=actor,
        before=state,
        after=after,
        detail={"closure": int(closure), "note": note} | ({"confirms": incident.handled_by} if confirms else {}),
    )
    return CloseOutcome(name="closed" if closes else "second_person_wanted", changed=True)


def reopen(session: Session, *, incident_id: str, actor: str, note: str = "", now_ms: int) -> CloseOutcome:
    """It was closed by mistake: it waits for an answer again, and the ladder starts again.

    Where the site has another open incident by now, that one is worked on instead: "another_is_open".
    """
    incident = steps.held(session, incident_id)
    if incident is None:
        return CloseOutcome(name="unknown_incident")
    state = State(incident.state)
    after = states.after(state, Event.REOPENED)
    if after is None:
        return CloseOutcome(name="not_closed")
    if session.scalar(
        select(Incident.incident_id).where(
            Incident.site_id == incident.site_id, Incident.scope == incident.scope, Incident.state != state
        )
    ):
        return CloseOutcome(name="another_is_open")
    incident.state, incident.closure, incident.closed_at_ms = after, None, None
    incident.acknowledged_by = incident.acknowledged_at_ms = incident.progress_at_ms = None
    incident.handled_by = incident.handled_as = None
    incident.updated_at_ms = now_ms
    history.record(
        session,
        incident_id,
        "reopened",
        at_ms=now_ms,
        reason="closed_by_mistake",
        actor=actor,
        before=state,
        after=after,
        detail={"note": note},
    )
    session.flush()
    store.start_walk(session, incident, now_ms=now_ms, reason="reopened")
    return CloseOutcome(name="reopened", changed=True)


def _passed_on_by(session: Session, incident_id: str, *, cycle: int) -> set[str]:
    events = session.scalars(
        select(IncidentEvent).where(IncidentEvent.incident_id == incident_id, IncidentEvent.kind == "passed_on")
    )
    return {event.actor for event in events if event.detail.get("cycle") == cycle}
