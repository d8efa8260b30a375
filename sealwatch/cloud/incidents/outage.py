"""Area outages in the database: one incident for a valley, with all its sites and every one of their alarms.

It is an incident like any other (it pages, is answered and closed) but for its `scope`: it does not stand in the way of
its sites' own incidents. Every function works inside the caller's transaction.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.cloud.db.duty_tables import IncidentSite
from sealwatch.cloud.db.tables import AlarmRecord, Incident, Node, Site
from sealwatch.cloud.incidents import area, history, states
from sealwatch.cloud.incidents.area import Outage, Trouble
from sealwatch.cloud.incidents.states import Event, State
from sealwatch.cloud.paging import ladder as ladders
from sealwatch.cloud.paging import store
from sealwatch.cloud.paging.ladder import LadderSource
from sealwatch.contract.codes import Level, Phase

AREA: Final = "area"
GATHERING: Final = "gathering"


@dataclass(frozen=True, slots=True)
class Running:
    """An area outage that is not closed, and when its first and last trouble began."""

    incident_id: str
    area: str
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Areas:
    """What is known of areas for some sites: theirs, whether enough others share one, and the outages that run."""

    of_site: Mapping[str, Sequence[str]]
    shared: Collection[str]
    running: Sequence[Running]

    def gathers(self, site_id: str) -> bool:
        """Whether a trouble of this site may turn out to be one of many."""
        return any(name in self.shared for name in self.of_site.get(site_id, ()))

    def outage(self, site_id: str, since_ms: int) -> str | None:
        """The outage that a trouble of this site belongs to, if any runs."""
        mine = self.of_site.get(site_id, ())
        for one in self.running:
            if one.area in mine and area.joins(since_ms, first_ms=one.first_ms, last_ms=one.last_ms):
                return one.incident_id
        return None


def load(session: Session) -> Areas:
    """The areas of every site with a node."""
    columns = (Site.site_id, Site.feeder, Site.uplink, Site.township_zh, Site.county_code)
    watched = select(Node.site_id).where(Node.revoked_at_ms.is_(None))
    of_site = {
        row.site_id: area.areas_of(
            feeder=row.feeder, uplink=row.uplink, township=row.township_zh, county=row.county_code
        )
        for row in session.execute(select(*columns).where(Site.site_id.in_(watched)))
    }
    counts = Counter(name for names in of_site.values() for name in names)
    shared = {name for name, sites in counts.items() if sites >= area.MIN_SITES}
    return Areas(of_site, shared, _running(session) if shared else ())


def _running(session: Session) -> list[Running]:
    began = (func.min(AlarmRecord.started_at_ms).label("first"), func.max(AlarmRecord.started_at_ms).label("last"))
    query = (
        select(Incident.incident_id, Incident.area, *began)
        .join(AlarmRecord, AlarmRecord.incident_id == Incident.incident_id)
        .where(Incident.scope == AREA, Incident.state != str(State.CLOSED))
        .group_by(Incident.incident_id, Incident.area)
        .order_by(Incident.incident_id)
    )
    return [Running(row.incident_id, row.area, row.first, row.last) for row in session.execute(query)]


def waiting(session: Session, *, noted: str) -> list[Trouble]:
    """Troubles that wait for others: gathering ones, and silences that are only noted so far and still stand."""
    query = select(AlarmRecord).where(
        AlarmRecord.incident_id.is_(None),
        (AlarmRecord.set_aside == GATHERING)
        | ((AlarmRecord.set_aside == noted) & (AlarmRecord.phase != str(Phase.END))),
    )
    return [Trouble(row.started_at_ms, row.site_id, row.node_id, row.alarm_id) for row in session.scalars(query)]


def open_one(session: Session, outage: Outage, *, ladder: LadderSource, now_ms: int) -> str | None:
    """An incident for an outage, paged; None where another worker was first. The caller writes."""
    sites = sorted(set(outage.sites))
    session.scalars(select(Site).where(Site.site_id.in_(sites)).order_by(Site.site_id).with_for_update()).all()
    rows = [row for one in outage.troubles if (row := _row(session, one)) is not None and row.incident_id is None]
    if len({row.site_id for row in rows}) < area.MIN_SITES:
        return None
    anchor = next(one.site_id for one in outage.troubles)
    taken = select(Incident.incident_id).where(
        Incident.site_id == anchor, Incident.scope == AREA, Incident.state != str(State.CLOSED)
    )
    if session.scalar(taken) is not None:  # its outage still stands open: what is new joins that one
        return None
    gone = any(row.kind == "power_anomaly" for row in rows)
    incident = Incident(
        incident_id=secrets.token_hex(16),
        site_id=anchor,
        scope=AREA,
        area=outage.area,
        level=str(_level(rows)),
        state=str(states.OPENS_AS),
        verdict="area_outage",
        reason="power_gone_together" if gone else "silent_together",
        opened_at_ms=now_ms,
        updated_at_ms=now_ms,
        ladder=ladders.to_json(ladder.at(session, now_ms)),
    )
    session.add(incident)
    session.flush()
    detail = {"verdict": incident.verdict, "area": outage.area, "sites": outage.sites}
    history.record(
        session,
        incident.incident_id,
        "opened",
        at_ms=now_ms,
        reason=incident.reason,
        after=incident.state,
        detail=detail,
    )
    for row in rows:
        row.set_aside, row.set_aside_ref = AREA, incident.incident_id
        take(session, incident, row, now_ms=now_ms)
    session.flush()
    store.start_walk(session, incident, now_ms=now_ms, reason="opened")
    return incident.incident_id


def join_one(session: Session, trouble: Trouble, incident_id: str, *, now_ms: int) -> None:
    """A trouble into an outage that runs already. The caller writes."""
    session.scalars(select(Site).where(Site.site_id == trouble.site_id).with_for_update()).all()
    incident = session.get(Incident, incident_id, with_for_update=True, populate_existing=True)
    row = _row(session, trouble)
    if incident is None or row is None or row.incident_id is not None or State(incident.state) is State.CLOSED:
        return
    row.set_aside, row.set_aside_ref = AREA, incident_id
    take(session, incident, row, now_ms=now_ms)


def names_of(session: Session, incident: Incident) -> dict[Language, str]:
    """What an area outage is called instead of a site's name."""
    count = session.scalar(select(func.count()).where(IncidentSite.incident_id == incident.incident_id)) or 0
    name = area.name_of(incident.area)
    return {language: text.say(language, "watch.area", area=name, count=count) for language in Language}


def take(session: Session, incident: Incident, row: AlarmRecord, *, now_ms: int) -> bool:
    """A trouble, or another word of one, into its outage; whether that paged again because it is worse now."""
    kinds = {Phase.START: "alarm_joined", Phase.UPDATE: "alarm_changed", Phase.END: "alarm_ended"}
    kind = "alarm_joined" if row.incident_id is None else kinds[Phase(row.phase)]
    row.incident_id = incident.incident_id
    session.add(row)
    session.flush()
    detail = {"node_id": row.node_id, "alarm_id": row.alarm_id, "kind": row.kind, "level": row.level}
    detail |= {"site_id": row.site_id, "alarm_reason": row.reason}
    history.record(session, incident.incident_id, kind, at_ms=now_ms, reason="area_outage", detail=detail)
    incident.updated_at_ms = now_ms
    _note_site(session, incident, row.site_id, now_ms=now_ms)
    level = _level([row])
    if row.phase == str(Phase.END) or level.urgency >= Level(incident.level).urgency:
        return False
    before = State(incident.state)
    after = states.after(before, Event.LEVEL_RAISED)
    if after is None:  # closed: told, and nobody is woken
        return False
    raised = {"from": incident.level, "to": str(level), "verdict": incident.verdict, "why": incident.reason}
    incident.level, incident.state, incident.shelved_until_ms = str(level), str(after), None
    if before not in states.UNANSWERED and after in states.UNANSWERED:
        incident.acknowledged_by = incident.acknowledged_at_ms = incident.progress_at_ms = None
        incident.handled_by = incident.handled_as = None
    history.record(
        session,
        incident.incident_id,
        "level_raised",
        at_ms=now_ms,
        reason="level_raised",
        before=before,
        after=after,
        detail=raised,
    )
    session.flush()
    return after in states.UNANSWERED and store.start_walk(session, incident, now_ms=now_ms, reason="level_raised")


def sites_of(session: Session, incident_id: str) -> list[IncidentSite]:
    """The sites of an area outage, in the order in which they joined."""
    query = select(IncidentSite).where(IncidentSite.incident_id == incident_id)
    return list(session.scalars(query.order_by(IncidentSite.joined_at_ms, IncidentSite.site_id)))


def _note_site(session: Session, incident: Incident, site_id: str, *, now_ms: int) -> None:
    """The site is in it; it is back when none of its alarms stands, and the outage is over when every site is back."""
    noted = session.get(IncidentSite, (incident.incident_id, site_id))
    if noted is None:
        noted = IncidentSite(incident_id=incident.incident_id, site_id=site_id, joined_at_ms=now_ms)
        session.add(noted)
    standing = select(AlarmRecord.alarm_id).where(
        AlarmRecord.incident_id == incident.incident_id,
        AlarmRecord.site_id == site_id,
        AlarmRecord.phase != str(Phase.END),
    )
    was_back = noted.back_at_ms is not None
    noted.back_at_ms = None if session.scalar(standing.limit(1)) is not None else noted.back_at_ms or now_ms
    session.flush()
    if noted.back_at_ms is None or was_back:
        return
    away = select(IncidentSite.site_id).where(
        IncidentSite.incident_id == incident.incident_id, IncidentSite.back_at_ms.is_(None)
    )
    if session.scalar(away.limit(1)) is None:
        history.record(session, incident.incident_id, "area_back", at_ms=now_ms, reason="every_site_is_back")


def _row(session: Session, one: Trouble) -> AlarmRecord | None:
    return session.get(AlarmRecord, (one.node_id, one.alarm_id), populate_existing=True)


def _level(rows: Sequence[AlarmRecord]) -> Level:
    """The most urgent of its alarms, at least yellow and at most orange."""
    most = min((Level(row.level) for row in rows), key=lambda level: level.urgency)
    return max(min(most, Level.YELLOW, key=lambda level: level.urgency), Level.ORANGE, key=lambda level: level.urgency)
