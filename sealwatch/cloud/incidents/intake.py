"""An accepted alarm into the incident tables, inside the transaction that records its arrival."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import AlarmRecord, Incident, Site
from sealwatch.cloud.incidents import history, states
from sealwatch.cloud.incidents.fuse import Decision, Fact, OpenIncident, fuse
from sealwatch.cloud.incidents.states import State
from sealwatch.cloud.paging import ladder as ladders
from sealwatch.cloud.paging import store
from sealwatch.cloud.paging.ladder import Ladder
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import Alarm

_ORDER = {str(Phase.START): 0, str(Phase.UPDATE): 1, str(Phase.END): 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What an alarm led to. `paged` tells whether the ladder started (again)."""

    incident_id: str
    reason: str
    paged: bool = False


def take_alarm(session: Session, alarm: Alarm, *, ladder: Ladder, now_ms: int) -> Taken:
    """Record the alarm and open, join or raise the site's incident.

    Transitions may come late or out of order (a message can overtake another on its way): an older one never undoes a
    newer one. An alarm whose incident a person has closed stays with it; it opens no other one.
    """
    site = session.get_one(Site, alarm.origin.site_id, with_for_update=True)  # one decision a site at a time
    row = session.get(AlarmRecord, (alarm.origin.node_id, alarm.alarm_id))
    if row is not None and row.incident_id is not None:
        incident = session.get_one(Incident, row.incident_id)
        if State(incident.state) is State.CLOSED:
            _refresh(row, alarm)
            _tell(session, alarm, incident.incident_id, "after_closing", now_ms)
            return Taken(incident_id=incident.incident_id, reason="after_closing")
    current = session.scalars(
        select(Incident).where(Incident.site_id == site.site_id, Incident.state.in_([str(s) for s in states.OPEN]))
    ).one_or_none()
    known = row is not None
    stale = row is not None and not _is_newer(row, alarm)
    others = [] if current is None else _facts(session, current.incident_id, without=alarm)
    phase = Phase.UPDATE if known and alarm.phase is Phase.START else alarm.phase
    fact = Fact(kind=alarm.kind, level=alarm.level, standing=alarm.phase is not Phase.END and not stale)
    opened_phase = phase if known else Phase.START  # the first word of an alarm is news, whatever it says
    decision = fuse(_view(current), others, fact, phase=opened_phase, declared=site.declared_status, now_ms=now_ms)
    incident = current or _opened(session, alarm, decision, ladder=ladder, now_ms=now_ms)
    if row is None:
        session.add(_new_row(alarm, incident.incident_id))
    else:
        _refresh(row, alarm)
    if current is not None:
        _joined(session, current, alarm, decision, now_ms=now_ms)
    session.flush()
    paged = decision.page and store.start_walk(session, incident, now_ms=now_ms, reason=decision.reason)
    return Taken(incident_id=incident.incident_id, reason=decision.reason, paged=paged)


def _view(incident: Incident | None) -> OpenIncident | None:
    if incident is None:
        return None
    return OpenIncident(
        state=State(incident.state),
        level=Level(incident.level),
        verdict=incident.verdict,
        reason=incident.reason,
        acknowledged_at_ms=incident.acknowledged_at_ms,
    )


def _facts(session: Session, incident_id: str, *, without: Alarm) -> list[Fact]:
    """The incident's other alarms, grouped, so that a storm of thousands stays a handful of facts."""
    standing = (AlarmRecord.phase != str(Phase.END)).label("standing")
    mine = (AlarmRecord.node_id == without.origin.node_id) & (AlarmRecord.alarm_id == without.alarm_id)
    rows = session.execute(
        select(AlarmRecord.kind, AlarmRecord.level, standing, func.count())
        .where(AlarmRecord.incident_id == incident_id, ~mine)
        .group_by(AlarmRecord.kind, AlarmRecord.level, standing)
    )
    return [Fact(kind=row.kind, level=Level(row.level), standing=bool(row.standing)) for row in rows]


def _opened(session: Session, alarm: Alarm, decision: Decision, *, ladder: Ladder, now_ms: int) -> Incident:
    incident = Incident(
        incident_id=secrets.token_hex(16),
        site_id=alarm.origin.site_id,
        level=str(decision.level),
        state=str(states.OPENS_AS),
        verdict=decision.verdict,
        reason=decision.why,
        opened_at_ms=now_ms,
        updated_at_ms=now_ms,
        ladder=ladders.to_json(ladder),
    )
    session.add(incident)
    session.flush()
    detail = _identity(alarm) | {"verdict": decision.verdict}
    history.record(
        session, incident.incident_id, "opened", at_ms=now_ms, reason=decision.why, after=incident.state, detail=detail
    )
    return incident


def _joined(session: Session, incident: Incident, alarm: Alarm, decision: Decision, *, now_ms: int) -> None:
    incident.updated_at_ms = now_ms
    _tell(session, alarm, incident.incident_id, decision.reason, now_ms)
    if decision.event is None:
        return
    before = State(incident.state)
    after = states.after(before, decision.event) or before
    detail = {"from": incident.level, "to": str(decision.level), "verdict": decision.verdict, "why": decision.why}
    incident.level, incident.verdict, incident.reason = str(decision.level), decision.verdict, decision.why
    incident.state = str(after)
    if before is State.ACKNOWLEDGED:  # who answered stays in the history; now somebody must answer again
        incident.acknowledged_by = incident.acknowledged_at_ms = None
    history.record(
        session,
        incident.incident_id,
        decision.event.value,
        at_ms=now_ms,
        reason=decision.reason,
        before=before,
        after=after,
        detail=detail,
    )


def _tell(session: Session, alarm: Alarm, incident_id: str, reason: str, now_ms: int) -> None:
    kind = {Phase.START: "alarm_joined", Phase.UPDATE: "alarm_changed", Phase.END: "alarm_ended"}[alarm.phase]
    history.record(session, incident_id, kind, at_ms=now_ms, reason=reason, detail=_identity(alarm))


def _identity(alarm: Alarm) -> dict[str, object]:
    return {
        "node_id": alarm.origin.node_id,
        "alarm_id": alarm.alarm_id,
        "kind": alarm.kind,
        "level": str(alarm.level),
        "alarm_reason": alarm.reason,
    }


def _new_row(alarm: Alarm, incident_id: str) -> AlarmRecord:
    row = AlarmRecord(
        node_id=alarm.origin.node_id,
        alarm_id=alarm.alarm_id,
        site_id=alarm.origin.site_id,
        incident_id=incident_id,
    )
    _overwrite(row, alarm)
    return row


def _is_newer(row: AlarmRecord, alarm: Alarm) -> bool:
    """Whether this transition comes after what is on record. The end of an alarm is its last word.

    Within one run of the node its own count decides, because its wall clock may have been set back in between.
    """
    if _ORDER[row.phase] != _ORDER[alarm.phase]:
        return _ORDER[row.phase] < _ORDER[alarm.phase]
    if row.boot_id == alarm.origin.boot_id:
        return row.seq < alarm.origin.seq
    return row.captured_at_ms <= alarm.origin.captured_at_ms


def _refresh(row: AlarmRecord, alarm: Alarm) -> None:
    if _is_newer(row, alarm):
        _overwrite(row, alarm)
    elif row.snapshot_sha256 is None and alarm.snapshot is not None:
        row.snapshot_sha256 = alarm.snapshot.sha256


def _overwrite(row: AlarmRecord, alarm: Alarm) -> None:
    row.kind, row.level, row.phase = alarm.kind, str(alarm.level), str(alarm.phase)
    row.boot_id, row.seq = alarm.origin.boot_id, alarm.origin.seq
    row.source_id, row.zone = alarm.source_id, alarm.zone
    row.score, row.reason, row.numbers = alarm.score, alarm.reason, dict(alarm.numbers)
    row.sentence_zh, row.sentence_en = alarm.sentence_zh, alarm.sentence_en
    row.started_at_ms, row.captured_at_ms = alarm.started_at_ms, alarm.origin.captured_at_ms
    row.ended_at_ms = alarm.origin.captured_at_ms if alarm.phase is Phase.END else None
    if alarm.snapshot is not None:
        row.snapshot_sha256 = alarm.snapshot.sha256
