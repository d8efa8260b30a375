"""Alarms that were set aside, that stand, and that nothing explains any more: a permit or a silence has ended.

A trouble that has waited for others of its area in vain is recalled even where it has ended meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import AlarmRecord
from sealwatch.cloud.incidents import aside, outage
from sealwatch.cloud.incidents.intake import Intake, Taken, Touched
from sealwatch.cloud.paging.ladder import LadderSource
from sealwatch.contract.codes import Phase


def find(session: Session, *, now_ms: int) -> list[Touched]:
    """Their names, by site. Another worker may recall them meanwhile."""
    wanted = select(AlarmRecord).where(
        AlarmRecord.incident_id.is_(None),
        (AlarmRecord.set_aside == outage.GATHERING)
        | (AlarmRecord.set_aside.in_([aside.PERMIT, aside.SILENCE]) & (AlarmRecord.phase != str(Phase.END))),
    )
    rows = session.scalars(wanted.order_by(AlarmRecord.site_id, AlarmRecord.started_at_ms)).all()
    explains = aside.load(session, {row.site_id for row in rows})
    return [
        Touched(row.site_id, row.node_id, row.alarm_id) for row in rows if explains.still(row, now_ms=now_ms) is None
    ]


def recall(session: Session, found: Sequence[Touched], *, ladder: LadderSource, now_ms: int) -> list[Taken]:
    """They become alarms like any other, inside the caller's writing transaction; what they led to."""
    intake = Intake(session, found, ladder=ladder, now_ms=now_ms)
    taken = (intake.recall(one) for one in found)
    return [one for one in taken if one is not None]
