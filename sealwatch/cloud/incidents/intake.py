"""Accepted alarms into the incident tables, inside the transaction that records their arrival.

An alarm that something explains (`sealwatch.cloud.incidents.aside`) is set aside: its row is kept and found, it opens
and joins nothing and wakes nobody. It is judged anew with each word of it, and when its explanation ends (`recall`).
While it stands it still counts as a fact beside the alarms that nothing explains.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import AlarmRecord, Incident, Site
from sealwatch.cloud.incidents import area, aside, history, outage, states
from sealwatch.cloud.incidents.aside import Aside
from sealwatch.cloud.incidents.fuse import OVERSTAY, Decision, Fact, OpenIncident, fuse, judge
from sealwatch.cloud.incidents.states import State
from sealwatch.cloud.paging import ladder as ladders
from sealwatch.cloud.paging import store
from sealwatch.cloud.paging.ladder import LadderSource
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import Alarm

_NOTED: Final = Aside(by=aside.NOTE, ref="", reason="noted")
_ORDER = {str(Phase.START): 0, str(Phase.UPDATE): 1, str(Phase.END): 2}


class Touched(NamedTuple):
    """An alarm that is going to be taken or recalled, by name."""

    site_id: str
    node_id: str
    alarm_id: str


def touched(alarms: Sequence[Alarm]) -> list[Touched]:
    """Names of the alarms of a batch."""
    return [Touched(alarm.origin.site_id, alarm.origin.node_id, alarm.alarm_id) for alarm in alarms]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What an alarm led to; no incident where it is set aside. `paged` tells whether the ladder started (again)."""

    incident_id: str | None
    reason: str
    paged: bool = False


class Intake:
    """Opens, joins and raises incidents for the alarms of one batch.

    What they touch is read once for all of them, with a handful of queries. Sites and incidents are held until the
    commit: one decision a site at a time, whoever else is at work. Transitions may come late or out of
    order (a message can overtake another on its way): an older one never undoes a newer one. An alarm whose incident a
    person has closed stays with it; it opens no other one.
    """

    def __init__(self, session: Session, alarms: Collection[Touched], *, ladder: LadderSource, now_ms: int) -> None:
        self._session, self._ladder, self._now_ms = session, ladder, now_ms
        sites = sorted({alarm.site_id for alarm in alarms})
        held = select(Site).where(Site.site_id.in_(sites)).order_by(Site.site_id).with_for_update()
        self._declared = {site.site_id: site.declared_status for site in session.scalars(held)}
        keys = sorted({(alarm.node_id, alarm.alarm_id) for alarm in alarms})
        wanted = select(AlarmRecord).where(tuple_(AlarmRecord.node_id, AlarmRecord.alarm_id).in_(keys))
        self._rows = {(row.node_id, row.alarm_id): row for row in session.scalars(wanted)}
        named = {row.incident_id for row in self._rows.values()}
        is_open = Incident.state.in_([str(state) for state in states.OPEN])
        found = select(Incident).where(or_(Incident.incident_id.in_(named), Incident.site_id.in_(sites) & is_open))
        held_incidents = found.order_by(Incident.incident_id).with_for_update()
        self._incidents = {incident.incident_id: incident for incident in session.scalars(held_incidents)}
        own = (i for i in self._incidents.values() if i.scope != outage.AREA)
        self._open = {i.site_id: i for i in own if State(i.state) in states.OPEN}
        self._facts = self._read_facts([incident.incident_id for incident in self._open.values()])
        self._explains = aside.load(session, sites)
        self._aside = self._read_aside(sites)

    def _read_aside(self, sites: list[str]) -> defaultdict[str, Counter[Fact]]:
        """What stands at the sites and is explained, by site."""
        standing = (AlarmRecord.incident_id.is_(None), AlarmRecord.phase != str(Phase.END))
        groups = (AlarmRecord.site_id, AlarmRecord.kind, AlarmRecord.level)
        query = select(*groups, func.count().label("alarms")).where(AlarmRecord.site_id.in_(sites), *standing)
        facts: defaultdict[str, Counter[Fact]] = defaultdict(Counter)
        for row in self._session.execute(query.group_by(*groups)):
            fact = Fact(kind=row.kind, level=Level(row.level), standing=True, explained=True)
            facts[row.site_id][fact] += row.alarms
        return facts

    def _read_facts(self, incident_ids: list[str]) -> defaultdict[str, Counter[Fact]]:
        """The alarms of open incidents, grouped, so that a storm of thousands stays a handful of facts."""
        standing = (AlarmRecord.phase != str(Phase.END)).label("standing")
        groups = (AlarmRecord.incident_id, AlarmRecord.kind, AlarmRecord.level, standing)
        query = select(*groups, func.count().label("alarms")).where(AlarmRecord.incident_id.in_(incident_ids))
        facts: defaultdict[str, Counter[Fact]] = defaultdict(Counter)
        for row in self._session.execute(query.group_by(*groups)):
            fact = Fact(kind=row.kind, level=Level(row.level), standing=bool(row.standing))
            facts[str(row.incident_id)][fact] += row.alarms
        return facts

    def take(self, alarm: Alarm, *, noted: bool = False) -> Taken:
        """One alarm into its row and its site's incident. `noted`: recorded, and no incident's business yet."""
        key = (alarm.origin.node_id, alarm.alarm_id)
        row = self._rows.get(key)
        judged = self._incidents.get(row.incident_id or "") if row is not None else None
        if row is not None and judged is not None and State(judged.state) is State.CLOSED:
            _refresh(row, alarm)
            _tell(self._session, alarm, judged.incident_id, "after_closing", self._now_ms)
            return Taken(incident_id=judged.incident_id, reason="after_closing")
        before = None if row is None else _fact(row)
        phase = Phase.START if row is None else Phase.UPDATE if alarm.phase is Phase.START else alarm.phase
        if row is None:  # the first word of an alarm is news, whatever it says
            row = self._rows[key] = _new_row(alarm)
        else:
            _refresh(row, alarm)
        if row.incident_id is not None:
            if judged is not None and judged.scope == outage.AREA:
                return self._into_outage(row, judged)
            return self._fuse(row, alarm, phase=phase, before=before)
        self._note_aside(row.site_id, before, -1)
        verdict = _NOTED if noted else self._explained(row, alarm)
        if verdict is None and (before is None or phase is not Phase.END):
            return self._fuse(row, alarm, phase=Phase.START, before=None)
        still_gathers = row.set_aside == outage.GATHERING and verdict is not None and verdict.by == outage.GATHERING
        if verdict is not None and not still_gathers:
            row.set_aside, row.set_aside_ref = verdict.by, verdict.ref
        if verdict is not None and verdict.by == outage.AREA:
            running = self._session.get(Incident, verdict.ref, with_for_update=True, populate_existing=True)
            if running is not None:
                return self._into_outage(row, running)
        self._session.add(row)
        self._note_aside(row.site_id, _fact(row), +1)
        return Taken(incident_id=None, reason=verdict.reason if verdict is not None else "ended_aside")

    def recall(self, alarm: Touched) -> Taken | None:
        """Its explanation has ended and it still stands: from now on it is an alarm like any other.

        None where it is over, or has its incident by now. What outlasted its permit is worse than the alarm alone.
        """
        row = self._rows.get((alarm.node_id, alarm.alarm_id))
        if row is None or row.incident_id is not None:
            return None
        if row.phase == str(Phase.END) and row.set_aside != outage.GATHERING:
            return None
        self._note_aside(row.site_id, _fact(row), -1)
        overstay = Fact(kind=OVERSTAY, level=Level(row.level), standing=True)
        extra = (overstay,) if row.set_aside == aside.PERMIT else ()
        return self._fuse(row, row, phase=Phase.START, before=None, extra=extra)

    def _explained(self, row: AlarmRecord, alarm: Alarm) -> Aside | None:
        """What explains it. Neither a silence nor an outage explains what makes the site's incident red; an outage
        explains nothing at a site that has an incident of its own, or that tells more than an outage would."""
        verdict = self._explains.judge(alarm, now_ms=self._now_ms)
        if verdict is None or verdict.by == aside.PERMIT:
            return verdict
        current = self._open.get(row.site_id)
        others = [] if current is None else self._others(current.incident_id, without=None)
        facts = [*others, *self._set_aside(row.site_id), _fact(row)]
        level, rule = judge(facts, self._declared[row.site_id])
        if level is Level.RED:
            return None
        of_area = verdict.by in (outage.AREA, outage.GATHERING)
        return None if of_area and (current is not None or rule.verdict not in area.VERDICTS) else verdict

    def _into_outage(self, row: AlarmRecord, incident: Incident) -> Taken:
        paged = outage.take(self._session, incident, row, now_ms=self._now_ms)
        return Taken(incident_id=incident.incident_id, reason="area_outage", paged=paged)

    def _set_aside(self, site_id: str) -> list[Fact]:
        return [fact for fact, alarms in self._aside[site_id].items() if alarms > 0]

    def _note_aside(self, site_id: str, fact: Fact | None, count: int) -> None:
        if fact is not None and fact.standing:
            self._aside[site_id][replace(fact, explained=True)] += count

    def _fuse(
        self,
        row: AlarmRecord,
        word: Alarm | AlarmRecord,
        *,
        phase: Phase,
        before: Fact | None,
        extra: tuple[Fact, ...] = (),
    ) -> Taken:
        site_id = row.site_id
        current = self._open.get(site_id)
        others = [] if current is None else self._others(current.incident_id, without=before)
        others += self._set_aside(site_id)
        decision = fuse(
            _view(current),
            [*others, *extra],
            _fact(row),
            phase=phase,
            declared=self._declared[site_id],
            now_ms=self._now_ms,
        )
        incident = current or self._opened(site_id, word, decision)
        self._count(incident.incident_id, before=before, after=_fact(row))
        if row.incident_id is None:
            row.incident_id = incident.incident_id
            self._session.add(row)
        if current is not None:
            _joined(self._session, current, word, decision, now_ms=self._now_ms)
        paged = decision.page and self._page(incident, decision.reason)
        return Taken(incident_id=incident.incident_id, reason=decision.reason, paged=paged)

    def _others(self, incident_id: str, *, without: Fact | None) -> list[Fact]:
        """The incident's facts but for this alarm's own earlier one."""
        counts = self._facts[incident_id]
        return [fact for fact, alarms in counts.items() if alarms - (fact == without) > 0]

    def _count(self, incident_id: str, *, before: Fact | None, after: Fact) -> None:
        counts = self._facts[incident_id]
        if before is not None:
            counts[before] -= 1
        counts[after] += 1

    def _opened(self, site_id: str, word: Alarm | AlarmRecord, decision: Decision) -> Incident:
        incident = _open(self._session, site_id, word, decision, ladder=self._ladder, now_ms=self._now_ms)
        self._incidents[incident.incident_id] = self._open[incident.site_id] = incident
        return incident

    def _page(self, incident: Incident, reason: str) -> bool:
        if State(incident.state) not in states.UNANSWERED:  # somebody is there
            return False
        self._session.flush()
        return store.start_walk(self._session, incident, now_ms=self._now_ms, reason=reason)


def _view(incident: Incident | None) -> OpenIncident | None:
    if incident is None:
        return None
    return OpenIncident(
        state=State(incident.state),
        level=Level(incident.level),
        verdict=incident.verdict,
        reason=incident.reason,
        progress_at_ms=incident.progress_at_ms or incident.acknowledged_at_ms,
    )


def _open(
    session: Session, site_id: str, word: Alarm | AlarmRecord, decision: Decision, *, ladder: LadderSource, now_ms: int
) -> Incident:
    incident = Incident(
        incident_id=secrets.token_hex(16),
        site_id=site_id,
        level=str(decision.level),
        state=str(states.OPENS_AS),
        verdict=decision.verdict,
        reason=decision.why,
        opened_at_ms=now_ms,
        updated_at_ms=now_ms,
        ladder=ladders.to_json(ladder.at(session, now_ms)),
    )
    session.add(incident)
    session.flush()
    detail = _identity(word) | {"verdict": decision.verdict}
    history.record(
        session, incident.incident_id, "opened", at_ms=now_ms, reason=decision.why, after=incident.state, detail=detail
    )
    return incident


def _joined(
    session: Session, incident: Incident, word: Alarm | AlarmRecord, decision: Decision, *, now_ms: int
) -> None:
    incident.updated_at_ms = now_ms
    _tell(session, word, incident.incident_id, decision.reason, now_ms)
    if decision.event is None:
        return
    before = State(incident.state)
    after = states.after(before, decision.event) or before
    detail = {"from": incident.level, "to": str(decision.level), "verdict": decision.verdict, "why": decision.why}
    incident.level, incident.verdict, incident.reason = str(decision.level), decision.verdict, decision.why
    incident.state = str(after)
    incident.shelved_until_ms = None
    if (
        before not in states.UNANSWERED and after in states.UNANSWERED
    ):  # who answered stays in the history; now somebody must answer again
        incident.acknowledged_by = incident.acknowledged_at_ms = incident.progress_at_ms = None
        incident.handled_by = incident.handled_as = None
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


def _tell(session: Session, word: Alarm | AlarmRecord, incident_id: str, reason: str, now_ms: int) -> None:
    """A word of the node, or (a row) an alarm that had been set aside."""
    kinds = {Phase.START: "alarm_joined", Phase.UPDATE: "alarm_changed", Phase.END: "alarm_ended"}
    kind = kinds[word.phase] if isinstance(word, Alarm) else "alarm_joined"
    history.record(session, incident_id, kind, at_ms=now_ms, reason=reason, detail=_identity(word))


def _identity(word: Alarm | AlarmRecord) -> dict[str, object]:
    detail: dict[str, object] = {
        "node_id": word.origin.node_id if isinstance(word, Alarm) else word.node_id,
        "alarm_id": word.alarm_id,
        "kind": word.kind,
        "level": str(word.level),
        "alarm_reason": word.reason,
    }
    if isinstance(word, AlarmRecord):
        detail |= {"set_aside": word.set_aside, "set_aside_ref": word.set_aside_ref}
    return detail


def _fact(row: AlarmRecord) -> Fact:
    return Fact(kind=row.kind, level=Level(row.level), standing=row.phase != str(Phase.END))


def _new_row(alarm: Alarm) -> AlarmRecord:
    row = AlarmRecord(
        node_id=alarm.origin.node_id,
        alarm_id=alarm.alarm_id,
        site_id=alarm.origin.site_id,
        incident_id=None,
        set_aside="",
        set_aside_ref="",
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
