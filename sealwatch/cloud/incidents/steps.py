"""What people do with an incident between the answer and its closing: go, arrive, look, put aside, agree.

Each function works inside the caller's writing transaction and may be called twice, like those of `service`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import Incident
from sealwatch.cloud.incidents import history, states
from sealwatch.cloud.incidents.states import Event, State
from sealwatch.cloud.paging import store

LONGEST_SHELF_S: Final = 7 * 24 * 3600
"""Nothing is put aside for longer than a week at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What became of a step. "not_now": the table has no such line for the state it is in (`state`)."""

    name: Literal["done", "not_now", "unknown_incident", "bad_end", "no_reason", "same_person", "unknown_person"]
    state: str = ""

    @property
    def changed(self) -> bool:
        return self.name == "done"


def dispatch(session: Session, *, incident_id: str, actor: str, to_person_id: str, now_ms: int) -> StepOutcome:
    """派单: `to_person_id` is on the way. It counts as the answer where nobody had answered."""
    detail = {"to_person_id": to_person_id}
    person = f"person:{to_person_id}"
    return _step(session, incident_id, Event.DISPATCHED, actor, now_ms, detail=detail, takes_on=person)


def arrive(
    session: Session,
    *,
    incident_id: str,
    actor: str,
    latitude_deg: float | None = None,
    longitude_deg: float | None = None,
    attachments: tuple[str, ...] = (),
    more: Mapping[str, Any] | None = None,
    now_ms: int,
) -> StepOutcome:
    """到场: `actor` is on site. Position in WGS 84 where the telephone gave one; `attachments` are evidence hashes;
    `more` is what else the history keeps."""
    place = {"latitude_deg": latitude_deg, "longitude_deg": longitude_deg, "attachments": list(attachments)}
    detail = {**(more or {}), **place}
    return _step(session, incident_id, Event.ARRIVED, actor, now_ms, detail=detail, takes_on=actor)


def verify(
    session: Session, *, incident_id: str, actor: str, note: str, attachments: tuple[str, ...] = (), now_ms: int
) -> StepOutcome:
    """核查: what `actor` found. "no_reason" where nothing is written."""
    if not note.strip():
        return StepOutcome(name="no_reason")
    detail = {"note": note.strip(), "attachments": list(attachments)}
    return _step(session, incident_id, Event.VERIFIED, actor, now_ms, detail=detail)


def shelve(session: Session, *, incident_id: str, actor: str, until_ms: int, reason: str, now_ms: int) -> StepOutcome:
    """Put aside until `until_ms`, at most `LONGEST_SHELF_S` away ("bad_end"), for a reason ("no_reason").

    A rise in level ends it early, and `end_shelves` ends it in time.
    """
    if not reason.strip():
        return StepOutcome(name="no_reason")
    if not now_ms < until_ms <= now_ms + LONGEST_SHELF_S * 1000:
        return StepOutcome(name="bad_end")
    detail = {"note": reason.strip(), "until_ms": until_ms}
    outcome = _step(session, incident_id, Event.SHELVED, actor, now_ms, detail=detail)
    if outcome.changed:
        session.get_one(Incident, incident_id).shelved_until_ms = until_ms
    return outcome


def refuse_closing(session: Session, *, incident_id: str, actor: str, note: str, now_ms: int) -> StepOutcome:
    """The second person does not agree with the closing: the work goes on. The first person can't be the second."""
    incident = held(session, incident_id)
    if incident is not None and State(incident.state) is State.HANDLED and incident.handled_by == actor:
        return StepOutcome(name="same_person", state=incident.state)
    outcome = _step(session, incident_id, Event.CLOSING_REFUSED, actor, now_ms, detail={"note": note.strip()})
    if incident is not None and outcome.changed:
        incident.handled_by = incident.handled_as = None
    return outcome


def end_shelves(session: Session, *, now_ms: int, over_ms: int | None = None) -> list[str]:
    """Every incident whose time on the shelf is over waits for an answer again, and is paged; their ids.

    `over_ms`: the time that ends are measured by, where it is not the wall clock's `now_ms`. The rows are the timers:
    whatever ended while no service ran ends at its next start.
    """
    over_ms = now_ms if over_ms is None else over_ms
    over = (
        select(Incident)
        .where(Incident.state == str(State.SHELVED), Incident.shelved_until_ms <= over_ms)
        .order_by(Incident.incident_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    ended = []
    for incident in session.scalars(over).all():
        if State(incident.state) is not State.SHELVED:  # another worker was first
            continue
        _move(session, incident, Event.SHELF_ENDED, history.SYSTEM, now_ms, detail={})
        incident.acknowledged_by = incident.acknowledged_at_ms = incident.progress_at_ms = None
        session.flush()
        store.start_walk(session, incident, now_ms=now_ms, reason="shelf_ended")
        ended.append(incident.incident_id)
    return ended


def held(session: Session, incident_id: str) -> Incident | None:
    """The incident as it is now, not as this session may have seen it, held until the caller's commit."""
    return session.get(Incident, incident_id, with_for_update=True, populate_existing=True)


def _step(
    session: Session,
    incident_id: str,
    event: Event,
    actor: str,
    now_ms: int,
    *,
    detail: Mapping[str, Any],
    takes_on: str | None = None,
) -> StepOutcome:
    incident = held(session, incident_id)
    if incident is None:
        return StepOutcome(name="unknown_incident")
    if states.after(State(incident.state), event) is None:
        return StepOutcome(name="not_now", state=incident.state)
    _move(session, incident, event, actor, now_ms, detail=detail)
    if takes_on is not None and incident.acknowledged_by is None:
        incident.acknowledged_by, incident.acknowledged_at_ms = takes_on, now_ms
    incident.progress_at_ms = now_ms
    store.cancel_due(session, incident_id, outcome="answered_before")
    person_id = (takes_on or actor).removeprefix("person:")
    store.mark_answered(session, incident_id, person_id=person_id, now_ms=now_ms)
    return StepOutcome(name="done", state=incident.state)


def _move(
    session: Session, incident: Incident, event: Event, actor: str, now_ms: int, *, detail: Mapping[str, Any]
) -> None:
    before = State(incident.state)
    after = states.after(before, event) or before
    incident.state, incident.updated_at_ms, incident.shelved_until_ms = str(after), now_ms, None
    kind = event.value
    history.record(
        session,
        incident.incident_id,
        kind,
        at_ms=now_ms,
        reason=kind,
        actor=actor,
        before=before,
        after=after,
        detail=detail,
    )
