"""Whether an incident is somebody's business: they were paged for it, or sent to it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import IncidentEvent, Page


def was_asked(session: Session, person_id: str, incident_id: str) -> bool:
    """Whether a page of this incident went out to the person, or they were dispatched; one that waits is none."""
    paged = select(Page.page_id).where(
        Page.incident_id == incident_id, Page.person_id == person_id, Page.submitted_at_ms.is_not(None)
    )
    if session.scalar(paged.limit(1)) is not None:
        return True
    sent = select(IncidentEvent).where(IncidentEvent.incident_id == incident_id, IncidentEvent.kind == "dispatched")
    return any(event.detail.get("to_person_id") == person_id for event in session.scalars(sent))
