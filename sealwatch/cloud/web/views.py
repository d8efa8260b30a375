"""What the pages show, read from the database in one go: plain values, no session, no sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from sealwatch.base.text import Language
from sealwatch.cloud.db.account_tables import Account
from sealwatch.cloud.db.tables import (
    AlarmRecord,
    Evidence,
    Incident,
    IncidentEvent,
    Node,
    Page,
    Person,
    QuarantineCount,
    Quarantined,
    Site,
)
from sealwatch.cloud.incidents import outage
from sealwatch.cloud.incidents.states import State
from sealwatch.cloud.paging import store
from sealwatch.contract.codes import Level

SILENT_AFTER_MS: Final = 15 * 60_000
"""A node says how it is every five minutes; three missed words in a row are silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteView:
    """A site in both languages."""

    site_id: str
    name_zh: str
    name_en: str
    township_zh: str
    township_en: str
    declared_status: str
    latitude_deg: float | None
    longitude_deg: float | None

    def name(self, language: Language) -> str:
        return self.name_en if language is Language.EN else self.name_zh

    def township(self, language: Language) -> str:
        return self.township_en if language is Language.EN else self.township_zh


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentCard:
    """An incident as a line of a list."""

    incident_id: str
    site: SiteView  # of an area outage: where it began, under the area's name
    scope: str = "site"  # or area
    level: str
    state: str
    verdict: str
    reason: str
    opened_at_ms: int
    updated_at_ms: int
    acknowledged_at_ms: int | None
    acknowledged_by: str | None  # actor
    acknowledged_name: str | None  # the person's name; None for the desk
    closed_at_ms: int | None
    closure: int | None
    handled_by: str | None  # actor who said what it was; a second person confirms it
    handled_name: str | None
    handled_as: int | None
    shelved_until_ms: int | None

    @property
    def closed(self) -> bool:
        return self.state == State.CLOSED

    @property
    def unanswered(self) -> bool:
        return not self.closed and self.acknowledged_at_ms is None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmView:
    """An alarm of an incident as it stands now."""

    node_id: str
    alarm_id: str
    kind: str
    level: str
    source_id: str
    zone: str
    phase: str
    score: float
    reason: str
    numbers: dict[str, float]
    sentence_zh: str
    sentence_en: str
    started_at_ms: int
    ended_at_ms: int | None
    snapshot_sha256: str | None

    def sentence(self, language: Language) -> str:
        return self.sentence_en if language is Language.EN else self.sentence_zh


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """One attempt to reach a person."""

    page_id: str
    person_id: str
    name: str
    role: str
    channel: str
    state: str
    due_at_ms: int
    submitted_at_ms: int | None
    answered_at_ms: int | None
    outcome: str
    telephone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipView:
    """A recording that arrived with an alarm."""

    sha256: str
    media_type: str
    size_bytes: int
    source_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One line of the history."""

    at_ms: int
    kind: str
    actor: str
    actor_name: str | None
    reason: str
    to_state: str
    detail: dict[str, Any]

    def attachments(self) -> list[str]:
        """Hashes of the pictures that a person sent with it."""
        found = self.detail.get("attachments")
        return [str(sha256) for sha256 in found] if isinstance(found, list) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """Everything about one incident. `pages` are those of the walk up the ladder that began last: number `cycle`."""

    card: IncidentCard
    alarms: list[AlarmView]
    pages: list[PageView]
    cycle: int
    events: list[EventView]
    people: dict[str, str]
    clips: list[ClipView]

    def snapshot_hashes(self) -> set[str]:
        """Every picture that belongs to the incident: those of its alarms, and those its people sent."""
        sent = {sha256 for event in self.events for sha256 in event.attachments()}
        return sent | {alarm.snapshot_sha256 for alarm in self.alarms if alarm.snapshot_sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentNode:
    """A node that says nothing: reason is never_seen, offline or overdue."""

    node_id: str
    site: SiteView
    reason: str
    since_ms: int | None


def open_incidents(session: Session) -> list[IncidentCard]:
    """Everything that is not closed: the most urgent level first, within it the newest first."""
    urgency = case({level.value: level.urgency for level in Level}, value=Incident.level, else_=len(Level))
    query = select(Incident).where(Incident.state != State.CLOSED).order_by(urgency, Incident.opened_at_ms.desc())
    return cards(session, session.scalars(query).all())


def closed_incidents(session: Session, *, limit: int, before: tuple[int, str] | None = None) -> list[IncidentCard]:
    """The latest closed ones; `before` is (closed_at_ms, incident_id) of the last one already seen."""
    query = select(Incident).where(Incident.state == State.CLOSED)
    if before is not None:
        at_ms, incident_id = before
        query = query.where(
            (Incident.closed_at_ms < at_ms) | ((Incident.closed_at_ms == at_ms) & (Incident.incident_id < incident_id))
        )
    query = query.order_by(Incident.closed_at_ms.desc(), Incident.incident_id.desc()).limit(limit)
    return cards(session, session.scalars(query).all())


def incident(session: Session, incident_id: str) -> IncidentView | None:
    """One incident with its alarms, pages and history, or None."""
    row = session.get(Incident, incident_id)
    if row is None:
        return None
    people = _people(session)
    alarms = session.scalars(
        select(AlarmRecord).where(AlarmRecord.incident_id == incident_id).order_by(AlarmRecord.started_at_ms)
    ).all()
    pages = session.scalars(select(Page).where(Page.incident_id == incident_id).order_by(Page.cycle, Page.step)).all()
    events = session.scalars(
        select(IncidentEvent).where(IncidentEvent.incident_id == incident_id).order_by(IncidentEvent.id)
    ).all()
    cycle = store.running_cycle(pages)
    names = {i: p.name for i, p in people.items()} | _account_names(session, (event.actor for event in events))
    in_ladder = {step.get("person_id", ""): step for step in row.ladder.get("steps", [])}
    return IncidentView(
        card=cards(session, [row])[0],
        alarms=[alarm_view(alarm) for alarm in alarms],
        pages=[_page(page, people, in_ladder.get(page.person_id, {})) for page in pages if page.cycle == cycle],
        cycle=cycle,
        events=[_event(event, names) for event in events],
        people={person_id: person.name for person_id, person in people.items()},
        clips=_clips(session, alarms),
    )


def silent_nodes(session: Session, *, now_ms: int) -> list[SilentNode]:
    """Nodes that are offline, overdue or were never heard of; the longest silence first."""
    found = []
    for node, site in session.execute(select(Node, Site).join(Site, Site.site_id == Node.site_id)):
        reason = silence(node, now_ms)
        if reason is not None:
            found.append(
                SilentNode(node_id=node.node_id, site=site_view(site), reason=reason, since_ms=node.state_at_ms)
            )
    return sorted(found, key=lambda silent: (silent.since_ms or 0, silent.node_id))


def node_count(session: Session) -> int:
    """How many nodes are registered."""
    return session.scalar(select(func.count()).select_from(Node)) or 0


def person_exists(session: Session, person_id: str) -> bool:
    """Whether this person is in the registry."""
    return session.get(Person, person_id) is not None


def open_counts(session: Session) -> dict[tuple[str, str], int]:
    """Open incidents by (level, state)."""
    query = (
        select(Incident.level, Incident.state, func.count())
        .where(Incident.state != State.CLOSED)
        .group_by(Incident.level, Incident.state)
    )
    return {(level, state): count for level, state, count in session.execute(query)}


def quarantine_counts(session: Session) -> list[QuarantineCount]:
    """Refused messages ever, by reason."""
    return list(session.scalars(select(QuarantineCount).order_by(QuarantineCount.reason)))


def quarantine_latest(session: Session, *, limit: int) -> list[Quarantined]:
    """The newest refused messages."""
    return list(session.scalars(select(Quarantined).order_by(Quarantined.id.desc()).limit(limit)))


def silence(node: Node, now_ms: int) -> str | None:
    """Why a node counts as silent (never_seen, offline, overdue), or None."""
    if node.state_at_ms is None:
        return "never_seen"
    if node.state != "online":
        return "offline"
    return "overdue" if now_ms - node.state_at_ms > SILENT_AFTER_MS else None


def _clips(session: Session, alarms: Sequence[AlarmRecord]) -> list[ClipView]:
    """The recordings of these alarms, that of the latest alarm first."""
    found = session.scalars(
        select(Evidence)
        .where(Evidence.alarm_id.in_({alarm.alarm_id for alarm in alarms}), Evidence.media_type.like("video/%"))
        .order_by(Evidence.captured_at_ms.desc())
    ).all()
    sources = {(alarm.node_id, alarm.alarm_id): alarm.source_id for alarm in alarms}
    return [
        ClipView(
            sha256=one.sha256,
            media_type=one.media_type,
            size_bytes=one.size_bytes,
            source_id=sources[one.node_id, one.alarm_id],
        )
        for one in found
        if (one.node_id, one.alarm_id) in sources
    ]


def _account_names(session: Session, actors: Iterable[str | None]) -> dict[str, str]:
    """Names of the accounts among these actors, by actor."""
    logins = {a.removeprefix("account:") for a in actors if a is not None and a.startswith("account:")}
    if not logins:
        return {}
    found = session.scalars(select(Account).where(Account.login.in_(logins)))
    return {f"account:{account.login}": account.name for account in found}


def _people(session: Session) -> dict[str, Person]:
    return {person.person_id: person for person in session.scalars(select(Person))}


def cards(session: Session, rows: Sequence[Incident]) -> list[IncidentCard]:
    """Incidents as lines of a list, in the order of `rows`."""
    sites = {
        site.site_id: site_view(site)
        for site in session.scalars(select(Site).where(Site.site_id.in_({row.site_id for row in rows})))
    }
    wanted = {actor_person(actor) for row in rows for actor in (row.acknowledged_by, row.handled_by)} - {None}
    found = session.scalars(select(Person).where(Person.person_id.in_(wanted)))
    names = {person.person_id: person.name for person in found}
    names |= _account_names(session, (actor for row in rows for actor in (row.acknowledged_by, row.handled_by)))
    return [
        IncidentCard(
            incident_id=row.incident_id,
            site=_place(session, row, sites[row.site_id]),
            scope=row.scope,
            level=row.level,
            state=row.state,
            verdict=row.verdict,
            reason=row.reason,
            opened_at_ms=row.opened_at_ms,
            updated_at_ms=row.updated_at_ms,
            acknowledged_at_ms=row.acknowledged_at_ms,
            acknowledged_by=row.acknowledged_by,
            acknowledged_name=_named(names, row.acknowledged_by),
            closed_at_ms=row.closed_at_ms,
            closure=row.closure,
            handled_by=row.handled_by,
            handled_name=_named(names, row.handled_by),
            handled_as=row.handled_as,
            shelved_until_ms=row.shelved_until_ms,
        )
        for row in rows
    ]


def _place(session: Session, row: Incident, site: SiteView) -> SiteView:
    if row.scope != outage.AREA:
        return site
    names = outage.names_of(session, row)
    return replace(site, name_zh=names[Language.ZH], name_en=names[Language.EN])


def actor_person(actor: str | None) -> str | None:
    """The person_id in an actor, or None for the desk and the system."""
    return actor.removeprefix("person:") if actor is not None and actor.startswith("person:") else None


def _named(names: dict[str, str], actor: str | None) -> str | None:
    if actor is not None and actor.startswith("account:"):
        return names.get(actor, actor.removeprefix("account:"))
    person_id = actor_person(actor)
    return None if person_id is None else names.get(person_id, person_id)


def site_view(site: Site) -> SiteView:
    """A site out of its row."""
    return SiteView(
        site_id=site.site_id,
        name_zh=site.name_zh,
        name_en=site.name_en,
        township_zh=site.township_zh,
        township_en=site.township_en,
        declared_status=site.declared_status,
        latitude_deg=site.latitude_deg,
        longitude_deg=site.longitude_deg,
    )


def alarm_view(alarm: AlarmRecord) -> AlarmView:
    """An alarm out of its row."""
    return AlarmView(
        node_id=alarm.node_id,
        alarm_id=alarm.alarm_id,
        kind=alarm.kind,
        level=alarm.level,
        source_id=alarm.source_id,
        zone=alarm.zone,
        phase=alarm.phase,
        score=alarm.score,
        reason=alarm.reason,
        numbers=dict(alarm.numbers),
        sentence_zh=alarm.sentence_zh,
        sentence_en=alarm.sentence_en,
        started_at_ms=alarm.started_at_ms,
        ended_at_ms=alarm.ended_at_ms,
        snapshot_sha256=alarm.snapshot_sha256,
    )


def _page(page: Page, people: dict[str, Person], step: dict[str, Any]) -> PageView:
    person = people.get(page.person_id)
    return PageView(
        page_id=page.page_id,
        person_id=page.person_id,
        name=person.name if person else str(step.get("name") or page.person_id),
        role=person.role if person else str(step.get("role") or ""),
        channel=page.channel,
        state=page.state,
        due_at_ms=page.due_at_ms,
        submitted_at_ms=page.submitted_at_ms,
        answered_at_ms=page.answered_at_ms,
        outcome=page.outcome,
        telephone=person.telephone if person else "",
    )


def _event(event: IncidentEvent, names: dict[str, str]) -> EventView:
    return EventView(
        at_ms=event.at_ms,
        kind=event.kind,
        actor=event.actor,
        actor_name=_named(names, event.actor),
        reason=event.reason,
        to_state=event.to_state,
        detail=dict(event.detail),
    )


def alarms(
    session: Session, *, site_id: str | None, set_aside: str | None, ref: str | None, before_ms: int, limit: int
) -> list[AlarmRecord]:
    """Alarms, the newest first; `set_aside` "any": all that were. Those that started together stay together."""
    query = select(AlarmRecord).where(AlarmRecord.started_at_ms < before_ms)
    if site_id is not None:
        query = query.where(AlarmRecord.site_id == site_id)
    if set_aside is not None:
        query = query.where(AlarmRecord.set_aside != "" if set_aside == "any" else AlarmRecord.set_aside == set_aside)
    if ref is not None:
        query = query.where(AlarmRecord.set_aside_ref == ref)
    order = (AlarmRecord.started_at_ms.desc(), AlarmRecord.node_id, AlarmRecord.alarm_id)
    found = list(session.scalars(query.order_by(*order).limit(limit)))
    if len(found) < limit:
        return found
    rest = query.where(AlarmRecord.started_at_ms == found[-1].started_at_ms)
    known = {(one.node_id, one.alarm_id) for one in found}
    return found + [one for one in session.scalars(rest.order_by(*order)) if (one.node_id, one.alarm_id) not in known]
