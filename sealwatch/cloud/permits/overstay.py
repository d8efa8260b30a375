"""People, machines and power that are still there after their permit's end."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import AlarmRecord
from sealwatch.cloud.incidents import fuse
from sealwatch.cloud.incidents.aside import PERMIT
from sealwatch.cloud.incidents.intake import Intake, Taken, Touched
from sealwatch.cloud.paging.ladder import Ladder
from sealwatch.cloud.permits import cover, store
from sealwatch.cloud.permits.cover import Seen
from sealwatch.contract.codes import Phase

PACKING_UP_S: Final = 600
"""How long after the end they may take to leave. A new alarm after the end has no such grace."""


def find(session: Session, *, now_ms: int) -> list[Touched]:
    """Alarms that a permit had explained, that stand, and that no permit explains any more."""
    wanted = select(AlarmRecord).where(
        AlarmRecord.set_aside == PERMIT, AlarmRecord.incident_id.is_(None), AlarmRecord.phase != str(Phase.END)
    )
    rows = session.scalars(wanted.order_by(AlarmRecord.site_id, AlarmRecord.started_at_ms)).all()
    works = store.works(session, {row.site_id for row in rows}, since_ms=now_ms - PACKING_UP_S * 1000)
    over = []
    for row in rows:
        seen = Seen(kind=row.kind, reason=row.reason, numbers=row.numbers)
        at = (now_ms, now_ms - PACKING_UP_S * 1000)
        if not any(cover.judge(works.get(row.site_id, ()), seen, at_ms).covered for at_ms in at):
            over.append(Touched(row.site_id, row.node_id, row.alarm_id))
    return over


def recall(session: Session, found: list[Touched], *, ladder: Ladder, now_ms: int) -> list[Taken]:
    """They become alarms like any other, inside the caller's writing transaction; what they led to."""
    intake = Intake(session, found, ladder=ladder, now_ms=now_ms)
    taken = (intake.recall(one, why=fuse.OVERSTAY) for one in found)
    return [one for one in taken if one is not None]
