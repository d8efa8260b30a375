"""`cloud.toml` into the registry, at every start.

Sites and people are added and brought up to date, never removed: incidents and pages speak of them. A person who was
edited in the service is left as they are there (`managed_by`). A node that is no
longer in the file loses its entry, and with it the right to be believed; one that was enrolled keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from sealwatch.cloud.config import CloudSettings
from sealwatch.cloud.db.tables import Base, Node, Person, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """Ids by what happened to them, for the log."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def sync(session: Session, settings: CloudSettings) -> SyncReport:
    """Bring the registry to what the file says, inside the caller's transaction."""
    added: list[str] = []
    changed: list[str] = []
    for site in settings.sites:
        values: dict[str, Any] = {
            "name_zh": site.name_zh,
            "name_en": site.name_en,
            "township_zh": site.township_zh,
            "township_en": site.township_en,
            "county_code": site.county_code,
            "latitude_deg": site.latitude_deg,
            "longitude_deg": site.longitude_deg,
            "declared_status": str(site.declared_status),
            "link": site.link,
            "uplink": site.uplink,
            "feeder": site.feeder,
        }
        _upsert(session, Site, site.site_id, {"site_id": site.site_id} | values, added, changed)
    session.flush()  # nodes refer to sites
    enrolled = set(session.scalars(select(Node.node_id).where(Node.enrolled_at_ms.is_not(None))))
    for node in settings.nodes:
        if node.node_id in enrolled:
            continue
        identity = {"node_id": node.node_id, "site_id": node.site_id, "public_key": node.public_key}
        _upsert(session, Node, node.node_id, identity, added, changed)
    own = set(session.scalars(select(Person.person_id).where(Person.managed_by == "service")))
    for person in settings.people:
        if person.person_id in own:
            continue
        fields = ("person_id", "name", "role", "level", "language", "telephone", "email", "webhook_url", "addresses")
        _upsert(session, Person, person.person_id, {f: getattr(person, f) for f in fields}, added, changed)
    kept = [*(node.node_id for node in settings.nodes), *enrolled]
    removed = list(session.scalars(select(Node.node_id).where(Node.node_id.not_in(kept))))
    session.execute(delete(Node).where(Node.node_id.in_(removed)))
    return SyncReport(added=tuple(added), changed=tuple(changed), removed=tuple(removed))


def _upsert(
    session: Session, kind: type[Base], key: str, values: dict[str, Any], added: list[str], changed: list[str]
) -> None:
    row = session.get(kind, key)
    if row is None:
        session.add(kind(**values))
        added.append(key)
        return
    differing = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in differing.items():
        setattr(row, name, value)
    if differing:
        changed.append(key)
