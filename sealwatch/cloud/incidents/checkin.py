"""A check-in on site: where, when by the telephone's own clock, with which pictures. Never lost, never doubled.

A telephone keeps it while there is no network and sends it later, as often as it takes: the key makes one of many
sendings. By then the incident may have gone on without it; then it is a line of the history that moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import IncidentEvent
from sealwatch.cloud.incidents import history, states, steps
from sealwatch.cloud.incidents.states import Event, State
from sealwatch.cloud.incidents.steps import StepOutcome

CHECKED_IN = "checked_in"
_KINDS = (CHECKED_IN, str(Event.ARRIVED))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckIn:
    """`key` tells one check-in from another ("" for a plain form, sent once); the position is WGS 84."""

    key: str = ""
    taken_at_ms: int | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    accuracy_m: float | None = None
    attachments: tuple[str, ...] = ()
    note: str = ""

    def detail(self) -> dict[str, Any]:
        """What the history keeps of it."""
        return {
            "key": self.key,
            "taken_at_ms": self.taken_at_ms,
            "latitude_deg": self.latitude_deg,
            "longitude_deg": self.longitude_deg,
            "accuracy_m": self.accuracy_m,
            "attachments": list(self.attachments),
            "note": self.note,
        }


def check_in(session: Session, *, incident_id: str, actor: str, said: CheckIn, now_ms: int) -> StepOutcome:
    """`actor` is on site, or was at `said.taken_at_ms`. Works inside the caller's writing transaction."""
    incident = steps.held(session, incident_id)
    if incident is None:
        return StepOutcome(name="unknown_incident")
    if said.key and _known(session, incident_id, said.key):
        return StepOutcome(name="done", state=incident.state)
    if states.after(State(incident.state), Event.ARRIVED) is not None:
        return steps.arrive(
            session,
            incident_id=incident_id,
            actor=actor,
            latitude_deg=said.latitude_deg,
            longitude_deg=said.longitude_deg,
            attachments=said.attachments,
            more=said.detail(),
            now_ms=now_ms,
        )
    history.record(session, incident_id, CHECKED_IN, at_ms=now_ms, reason=CHECKED_IN, actor=actor, detail=said.detail())
    return StepOutcome(name="done", state=incident.state)


def _known(session: Session, incident_id: str, key: str) -> bool:
    events = session.scalars(
        select(IncidentEvent).where(IncidentEvent.incident_id == incident_id, IncidentEvent.kind.in_(_KINDS))
    )
    return any(event.detail.get("key") == key for event in events)
