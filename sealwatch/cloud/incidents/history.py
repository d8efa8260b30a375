"""The history of an incident: one line for everything that happens to it, written in the same transaction.

Kinds and what `detail` holds:

opened, alarm_joined, alarm_changed, alarm_ended   node_id, alarm_id, kind, level (+ verdict where it changed)
level_raised, recurred                             from, to, verdict, why
ladder_started                                     cycle, steps
page_submitted, page_failed, page_retried          page_id, cycle, step, person_id, channel, attempts, outcome
page_hastened, page_cancelled, page_reclaimed      page_id, cycle, step, person_id
nobody_to_page                                     (empty)
nobody_left                                        cycle: everybody on the ladder has said that they can't
acknowledged, passed_on, closed, reopened          note; closed: closure (+ confirms); passed_on: cycle
dispatched                                         to_person_id
arrived, verified                                  attachments (+ latitude_deg, longitude_deg; note)
arrived, checked_in (came late, moves nothing)     key, taken_at_ms, accuracy_m, as `checkin.CheckIn`
handled                                            closure, note: said by one, to be confirmed by another
closing_refused, shelved                           note (shelved: until_ms)
shelf_ended                                        (empty)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import IncidentEvent

logger = logging.getLogger(__name__)
SYSTEM: Final = "system"


def record(
    session: Session,
    incident_id: str,
    kind: str,
    *,
    at_ms: int,
    reason: str,
    actor: str = SYSTEM,
    before: str = "",
    after: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add one line. `reason` is a stable name; `actor` is "system", "desk" or "person:<id>"."""
    session.add(
        IncidentEvent(
            incident_id=incident_id,
            at_ms=at_ms,
            kind=kind,
            from_state=before,
            to_state=after,
            actor=actor,
            reason=reason,
            detail=dict(detail or {}),
        )
    )
    if before != after:
        said = {"incident_id": incident_id, "kind": kind, "actor": actor, "reason": reason}
        # After the commit: a line about something that was rolled back would be a lie.
        event.listen(
            session, "after_commit", lambda _: logger.info("incident %s -> %s", before, after, extra=said), once=True
        )
