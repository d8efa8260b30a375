"""What the pages of sites, nodes and the search show, read from the database: plain values, no sentence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import AlarmRecord, CommandReply, Downlink, Evidence, Incident, Node, Page, Person, Site
from sealwatch.cloud.incidents.states import State
from sealwatch.cloud.web import views
from sealwatch.cloud.web.views import IncidentCard, SiteView

_MOST_FOUND: Final = 20
_MOST_COMMANDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLine:
    """A site in the list. `open_level` is that of its open incident, `silence` why a node of it says nothing."""

    site: SiteView
    node_count: int
    open_level: str
    silence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartView:
    """What a node said of one of its parts."""

    part_id: str
    kind: str
    ok: bool
    reason: str
    evidence_at_ms: int | None
    numbers: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node with its last word. `silence` is why it counts as silent, or ""."""

    node_id: str
    site_id: str
    state: str
    state_at_ms: int | None
    silence: str
    revoked: bool
    agent_version: str
    outbox_depth: int
    parts: list[PartView]

    @property
    def faults(self) -> list[PartView]:
        return [part for part in self.parts if not part.ok]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraView:
    """A camera and its latest picture, whatever it came for."""

    node_id: str
    source_id: str
    ok: bool
    reason: str
    sha256: str
    at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandView:
    """A message for a node and what it answered; `ok` None: no answer yet."""

    channel: str
    name: str
    version: int | None
    author: str
    created_at_ms: int
    sent_at_ms: int | None
    expires_at_ms: int | None
    ok: bool | None
    reason: str
    detail: str
    replied_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found."""

    sites: list[SiteView]
    nodes: list[tuple[str, SiteView]]
    people: list[Person]
    incidents: list[IncidentCard]

    @property
    def count(self) -> int:
        return len(self.sites) + len(self.nodes) + len(self.people) + len(self.incidents)


def sites(session: Session, *, now_ms: int) -> list[SiteLine]:
    """Every site by township and name."""
    open_ = {card.site.site_id: card.level for card in reversed(views.open_incidents(session))}
    silent = {node.site.site_id: node.reason for node in views.silent_nodes(session, now_ms=now_ms)}
    per_site = session.execute(select(Node.site_id, func.count()).group_by(Node.site_id))
    counts = {row[0]: row[1] for row in per_site}
    rows = session.scalars(select(Site).order_by(Site.township_zh, Site.name_zh, Site.site_id))
    return [
        SiteLine(
            site=views.site_view(row),
            node_count=counts.get(row.site_id, 0),
            open_level=open_.get(row.site_id, ""),
            silence=silent.get(row.site_id, ""),
        )
        for row in rows
    ]


def node_view(node: Node, *, now_ms: int) -> NodeView:
    """A node out of its row."""
    status: dict[str, Any] = node.status or {}
    parts = [
        PartView(
            part_id=str(part["part_id"]),
            kind=str(part["kind"]),
            ok=bool(part["ok"]),
            reason=str(part["reason"]),
            evidence_at_ms=part.get("evidence_at_ms"),
            numbers=dict(part.get("numbers") or {}),
        )
        for part in status.get("parts", [])
    ]
    return NodeView(
        node_id=node.node_id,
        site_id=node.site_id,
        state=node.state,
        state_at_ms=node.state_at_ms,
        silence=views.silence(node, now_ms) or "",
        revoked=node.revoked_at_ms is not None,
        agent_version=str(status.get("agent_version", "")),
        outbox_depth=int(status.get("outbox_depth", 0)),
        parts=sorted(parts, key=lambda part: (part.ok, part.kind, part.part_id)),
    )


def nodes_of(session: Session, site_id: str, *, now_ms: int) -> list[NodeView]:
    """The nodes of a site."""
    rows = session.scalars(select(Node).where(Node.site_id == site_id).order_by(Node.node_id))
    return [node_view(row, now_ms=now_ms) for row in rows]


def cameras(session: Session, site_id: str, nodes: list[NodeView]) -> list[CameraView]:
    """The cameras of a site, with the latest picture of each: of an alarm, or asked for."""
    latest: dict[tuple[str, str], tuple[int, str]] = {}
    with_picture = (
        select(AlarmRecord.node_id, AlarmRecord.source_id, func.max(AlarmRecord.started_at_ms).label("at_ms"))
        .where(AlarmRecord.site_id == site_id, AlarmRecord.snapshot_sha256.is_not(None))
        .group_by(AlarmRecord.node_id, AlarmRecord.source_id)
        .subquery()
    )
    rows = session.scalars(
        select(AlarmRecord).join(
            with_picture,
            (AlarmRecord.node_id == with_picture.c.node_id)
            & (AlarmRecord.source_id == with_picture.c.source_id)
            & (AlarmRecord.started_at_ms == with_picture.c.at_ms),
        )
    )
    for row in rows:
        if row.snapshot_sha256:
            latest[row.node_id, row.source_id] = (row.started_at_ms, row.snapshot_sha256)
    for node in nodes:
        for asked in commands(session, node.node_id):
            if asked.name.startswith("snapshot ") and asked.ok and asked.replied_at_ms is not None:
                key = (node.node_id, asked.name.removeprefix("snapshot "))
                latest[key] = max(latest.get(key, (0, "")), (asked.replied_at_ms, asked.detail))
    said = {(node.node_id, part.part_id): part for node in nodes for part in node.parts if part.kind == "camera"}
    found = []
    for key in sorted({*said, *latest}):
        part, (at_ms, sha256) = said.get(key), latest.get(key, (None, ""))
        found.append(
            CameraView(
                node_id=key[0],
                source_id=key[1],
                ok=part.ok if part else True,
                reason=part.reason if part else "",
                sha256=sha256,
                at_ms=at_ms,
            )
        )
    return found


def commands(session: Session, node_id: str) -> list[CommandView]:
    """The latest messages for a node, the newest first, each with its answer."""
    rows = session.execute(
        select(Downlink, CommandReply)
        .outerjoin(
            CommandReply,
            (CommandReply.node_id == Downlink.node_id) & (CommandReply.command_id == Downlink.message_id),
        )
        .where(Downlink.node_id == node_id)
        .order_by(Downlink.id.desc())
        .limit(_MOST_COMMANDS)
    )
    return [_command(row, reply) for row, reply in rows]


def _command(row: Downlink, reply: CommandReply | None) -> CommandView:
    return CommandView(
        channel=row.channel,
        name=_name(row),
        version=row.version,
        author=row.author,
        created_at_ms=row.created_at_ms,
        sent_at_ms=row.sent_at_ms,
        expires_at_ms=row.expires_at_ms,
        ok=None if reply is None else reply.ok,
        reason="" if reply is None else reply.reason,
        detail="" if reply is None else reply.detail,
        replied_at_ms=None if reply is None else reply.replied_at_ms,
    )


def config_version(session: Session, node_id: str) -> int | None:
    """The newest configuration that was pushed to a node, or None where it lives by its own file."""
    wanted = select(func.max(Downlink.version)).where(Downlink.node_id == node_id, Downlink.channel == "config")
    return session.scalar(wanted)


def has_picture(session: Session, site_id: str, sha256: str) -> bool:
    """Whether this picture is one of the site's."""
    row = session.get(Evidence, sha256)
    return row is not None and row.site_id == site_id and row.media_type.startswith("image/")


def incidents_of(session: Session, site_id: str, *, limit: int) -> list[IncidentCard]:
    """The incidents of a site, open ones first, then the latest."""
    query = select(Incident).where(Incident.site_id == site_id)
    order = (Incident.state == State.CLOSED, Incident.opened_at_ms.desc(), Incident.incident_id)
    return views.cards(session, session.scalars(query.order_by(*order).limit(limit)).all())


def paged_lately(session: Session, site_id: str) -> list[Person]:
    """Who is asked when something happens here: the people of the latest incident's ladder."""
    latest = session.scalar(
        select(Incident).where(Incident.site_id == site_id).order_by(Incident.opened_at_ms.desc()).limit(1)
    )
    if latest is None:
        return []
    wanted = set(session.scalars(select(Page.person_id).where(Page.incident_id == latest.incident_id)))
    wanted |= {str(step.get("person_id")) for step in latest.ladder.get("steps", [])}
    return list(session.scalars(select(Person).where(Person.person_id.in_(wanted)).order_by(Person.level, Person.name)))


def search(session: Session, wanted: str) -> Found:
    """Sites, nodes, people and incidents with these characters in a name or an id."""
    like = {"autoescape": True}
    at_site = or_(
        Site.name_zh.icontains(wanted, **like),
        Site.name_en.icontains(wanted, **like),
        Site.township_zh.icontains(wanted, **like),
        Site.township_en.icontains(wanted, **like),
        Site.site_id.icontains(wanted, **like),
    )
    found = session.scalars(select(Site).where(at_site).order_by(Site.name_zh, Site.site_id).limit(_MOST_FOUND)).all()
    nodes = session.execute(
        select(Node, Site)
        .join(Site, Site.site_id == Node.site_id)
        .where(Node.node_id.icontains(wanted, **like))
        .order_by(Node.node_id)
        .limit(_MOST_FOUND)
    )
    people = session.scalars(
        select(Person)
        .where(
            or_(
                Person.name.icontains(wanted, **like),
                Person.role.icontains(wanted, **like),
                Person.person_id.icontains(wanted, **like),
            )
        )
        .order_by(Person.level, Person.person_id)
        .limit(_MOST_FOUND)
    ).all()
    incidents = session.scalars(
        select(Incident)
        .join(Site, Site.site_id == Incident.site_id)
        .where(or_(Incident.incident_id.icontains(wanted, **like), at_site))
        .order_by(Incident.state == State.CLOSED, Incident.opened_at_ms.desc(), Incident.incident_id)
        .limit(_MOST_FOUND)
    ).all()
    return Found(
        sites=[views.site_view(row) for row in found],
        nodes=[(node.node_id, views.site_view(site)) for node, site in nodes],
        people=list(people),
        incidents=views.cards(session, incidents),
    )


def _name(row: Downlink) -> str:
    """The command's name with the camera it is about; of what is retained: its channel."""
    if row.channel != "command":
        return row.channel
    body = json.loads(row.body)
    camera = (body.get("arguments") or {}).get("camera", "")
    return f"{body.get('name', '')} {camera}".rstrip()
