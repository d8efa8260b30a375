"""What the duty desk shows beside the incidents: every site on the map, and the people nobody gets hold of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sealwatch.base.text import Language
from sealwatch.cloud.db.tables import Page, Person, Site
from sealwatch.cloud.maps.basemap import Spot
from sealwatch.cloud.maps.datum import Position
from sealwatch.cloud.web.views import IncidentCard, SilentNode

_RECENT_MS: Final = 7 * 24 * 3_600_000
_SETTLED: Final = ("submitted", "answered", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """A person whom the last page did not reach (`at_ms`, `channel`), or who has no address at all (None, "")."""

    person_id: str
    name: str
    role: str
    telephone: str
    channel: str
    at_ms: int | None


def unreachable(session: Session, *, now_ms: int) -> list[Unreachable]:
    """Who can't be reached: by their last page of a week, or because nothing is known of them."""
    latest = (
        select(Page.person_id, func.max(Page.due_at_ms).label("due_at_ms"))
        .where(Page.state.in_(_SETTLED), Page.due_at_ms > now_ms - _RECENT_MS)
        .group_by(Page.person_id)
        .subquery()
    )
    pages = session.scalars(
        select(Page)
        .join(latest, (latest.c.person_id == Page.person_id) & (latest.c.due_at_ms == Page.due_at_ms))
        .where(Page.state.in_(_SETTLED))
    ).all()
    delivered = {page.person_id for page in pages if page.state != "failed"}
    failed = {page.person_id: page for page in pages if page.person_id not in delivered}
    found = []
    for person in session.scalars(select(Person).order_by(Person.level, Person.person_id)):
        page = failed.get(person.person_id)
        known = person.telephone or person.email or person.webhook_url or person.addresses
        if page is None and (known or person.person_id in delivered):
            continue
        found.append(
            Unreachable(
                person_id=person.person_id,
                name=person.name,
                role=person.role,
                telephone=person.telephone,
                channel=page.channel if page else "",
                at_ms=page.due_at_ms if page else None,
            )
        )
    return found


def spots(
    session: Session, language: Language, open_: Iterable[IncidentCard], silent: Iterable[SilentNode]
) -> tuple[list[Spot], int]:
    """Every site with a position, with its most urgent mark; and how many have none."""
    marks = {node.site.site_id: "silent" for node in silent}
    for card in reversed(list(open_)):  # the most urgent comes first, so that it is set last
        marks[card.site.site_id] = card.level
    found, missing = [], 0
    english = language is Language.EN
    for site in session.scalars(select(Site).order_by(Site.site_id)):
        if site.latitude_deg is None or site.longitude_deg is None:
            missing += 1
            continue
        found.append(
            Spot(
                site_id=site.site_id,
                name=site.name_en if english else site.name_zh,
                region=site.township_en if english else site.township_zh,
                place=Position(site.latitude_deg, site.longitude_deg),
                mark=marks.get(site.site_id, "calm"),
            )
        )
    return found, missing
