"""The dead-man: what is silent becomes an alarm of the service's own, goes on, and ends when it is heard again.

Such an alarm is like any other but for its signature: nobody signed it, so that it has no transition. A camera or meter
of whose fault its own node tells is left to the node.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import AlarmRecord, Node, Site
from sealwatch.cloud.incidents.fuse import NODE_SILENT, SOURCE_SILENT
from sealwatch.cloud.incidents.intake import Intake, touched
from sealwatch.cloud.paging.ladder import LadderSource
from sealwatch.cloud.watch import silent
from sealwatch.cloud.watch.silent import NodeSeen, Silent
from sealwatch.contract.codes import AlarmKind, ClockQuality, DeclaredStatus, Level, Phase
from sealwatch.contract.messages import Alarm, Origin

OWN_BOOT: Final = "0" * 32
"""The boot_id of what the service itself says."""
_KINDS: Final = (NODE_SILENT, SOURCE_SILENT)
_OWN_FAULTS: Final = (str(AlarmKind.CAMERA_FAULT), str(AlarmKind.METER_FAULT), str(AlarmKind.LIVENESS))


def turn(database: Database, *, ladder: LadderSource, now_ms: int, listening_ms: int) -> int:
    """Look once at every node; how many alarms began, changed or ended."""
    with database.read() as session:
        sites = session.execute(select(Site.site_id, Site.name_zh, Site.name_en))
        names = {row.site_id: (row.name_zh, row.name_en) for row in sites}
        found = silent.look(_nodes(session), now_ms=now_ms, listening_ms=listening_ms)
        standing = session.scalars(
            select(AlarmRecord).where(AlarmRecord.kind.in_(_KINDS), AlarmRecord.phase != str(Phase.END))
        ).all()
        told = _told_by_nodes(session) if any(one.kind == SOURCE_SILENT for one in found) else set()
    found = [one for one in found if (one.node_id, one.source_id) not in told]
    words = _changes(found, standing, names, now_ms)
    for _, of_site in itertools.groupby(sorted(words, key=_site_of), key=_site_of):
        batch = list(of_site)
        with database.write() as session:
            intake = Intake(session, touched([alarm for alarm, _ in batch]), ladder=ladder, now_ms=now_ms)
            for alarm, noted in batch:
                intake.take(alarm, noted=noted)
    return len(words)


def _site_of(word: tuple[Alarm, bool]) -> str:
    return word[0].origin.site_id


def _nodes(session: Session) -> list[NodeSeen]:
    rows = session.execute(
        select(Node, Site.declared_status, Site.link)
        .join(Site, Site.site_id == Node.site_id)
        .where(Node.revoked_at_ms.is_(None))
        .order_by(Node.node_id)
    )
    return [
        NodeSeen(
            node_id=node.node_id,
            site_id=node.site_id,
            declared=DeclaredStatus(declared),
            mobile=link == "mobile",
            offline=node.state == "offline",
            heard_ms=node.state_at_ms,
            status=node.status,
        )
        for node, declared, link in rows
    ]


def _told_by_nodes(session: Session) -> set[tuple[str, str]]:
    rows = session.execute(
        select(AlarmRecord.node_id, AlarmRecord.source_id).where(
            AlarmRecord.kind.in_(_OWN_FAULTS), AlarmRecord.phase != str(Phase.END)
        )
    )
    return {(row.node_id, row.source_id) for row in rows}


def _changes(
    found: Sequence[Silent], standing: Sequence[AlarmRecord], names: Mapping[str, tuple[str, str]], now_ms: int
) -> list[tuple[Alarm, bool]]:
    """What is to be said now: the alarm, and whether it is only noted."""
    before = {(row.node_id, row.source_id, row.kind): row for row in standing}
    words: list[tuple[Alarm, bool]] = []
    for one in found:
        row = before.pop((one.node_id, one.source_id, one.kind), None)
        if row is None:
            alarm_id = f"silent-{one.since_ms}-{one.source_id}"[:64]
            words.append((_word(one, Phase.START, alarm_id, names, now_ms), one.grade.noted))
        elif one.grade.level.urgency < Level(row.level).urgency:
            words.append((_word(one, Phase.UPDATE, row.alarm_id, names, now_ms), one.grade.noted))
    for row in before.values():
        ended = Silent(
            node_id=row.node_id,
            site_id=row.site_id,
            source_id=row.source_id,
            kind=row.kind,
            since_ms=row.started_at_ms,
            grade=silent.Grade(Level(row.level), noted=False),
        )
        words.append((_word(ended, Phase.END, row.alarm_id, names, now_ms), False))
    return words


def _word(one: Silent, phase: Phase, alarm_id: str, names: Mapping[str, tuple[str, str]], now_ms: int) -> Alarm:
    minutes = (now_ms - one.since_ms) / 60_000
    key = f"watch.{one.kind}.{'end' if phase is Phase.END else 'silent'}"
    zh, en = names.get(one.site_id, (one.site_id, one.site_id))
    values = {"node": one.node_id, "source": one.source_id, "minutes": f"{minutes:.0f}"}
    return Alarm(
        origin=Origin(
            site_id=one.site_id,
            node_id=one.node_id,
            boot_id=OWN_BOOT,
            seq=now_ms,
            captured_at_ms=now_ms,
            enqueued_at_ms=now_ms,
            clock_quality=ClockQuality.SYNCHRONISED,
        ),
        alarm_id=alarm_id,
        kind=one.kind,
        phase=phase,
        level=one.grade.level,
        source_id=one.source_id,
        started_at_ms=one.since_ms,
        score=1.0,
        reason="heard_again" if phase is Phase.END else "nothing_heard",
        numbers={"silent_min": round(minutes, 1)},
        sentence_zh=text.say(Language.ZH, key, site=zh, **values),
        sentence_en=text.say(Language.EN, key, site=en, **values),
    )
