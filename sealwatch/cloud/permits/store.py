"""Permits in the database: announced, listed, ended; each change is told to the site's nodes in the same transaction.

Functions that change something work inside the caller's writing transaction and raise `NotAllowed` with a named reason.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.duty_tables import WorkPermit
from sealwatch.cloud.db.tables import Site
from sealwatch.cloud.downlink.queue import publish_declaration
from sealwatch.cloud.permits.cover import Work
from sealwatch.cloud.refused import NotAllowed
from sealwatch.contract.messages import Permit

LONGEST_S: Final = 92 * 24 * 3600
"""A quarter of a year: work that takes longer is announced anew."""
MOST_OPEN: Final = 64
"""As many as a declaration to a node may carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What a permit says; hours of the day in UTC+8, `to_hour` below `from_hour` is after midnight."""

    site_id: str
    from_ms: int
    to_ms: int
    from_hour: int = 0
    to_hour: int = 24
    max_power_w: float
    max_people: int
    equipment: tuple[str, ...] = ()
    purpose: str
    measures: str = ""
    responsible: str
    telephone: str = ""
    documents: tuple[str, ...] = ()


def announce(session: Session, announced: Announced, *, author: str, now_ms: int) -> WorkPermit:
    """Enter a permit. Raises NotAllowed: unknown_site | bad_window | too_long | too_many_permits.

    A permit may be entered late, for work that has begun; what was raised before that stays raised.
    """
    session.execute(select(Site.site_id).where(Site.site_id == announced.site_id).with_for_update())
    if session.get(Site, announced.site_id) is None:
        raise NotAllowed("unknown_site")
    if not announced.from_ms < announced.to_ms or announced.to_ms <= now_ms or announced.from_hour == announced.to_hour:
        raise NotAllowed("bad_window")
    if announced.to_ms - announced.from_ms > LONGEST_S * 1000:
        raise NotAllowed("too_long")
    if len(_open(session, announced.site_id, now_ms)) >= MOST_OPEN:
        raise NotAllowed("too_many_permits")
    permit = WorkPermit(
        permit_id=f"p-{secrets.token_hex(6)}",
        site_id=announced.site_id,
        from_ms=announced.from_ms,
        to_ms=announced.to_ms,
        from_hour=announced.from_hour,
        to_hour=announced.to_hour,
        max_power_w=announced.max_power_w,
        max_people=announced.max_people,
        equipment=list(announced.equipment),
        purpose=announced.purpose,
        measures=announced.measures,
        responsible=announced.responsible,
        telephone=announced.telephone,
        documents=list(announced.documents),
        author=author,
        created_at_ms=now_ms,
    )
    session.add(permit)
    session.flush()
    tell(session, announced.site_id, author=author, now_ms=now_ms)
    return permit


def end(session: Session, permit_id: str, *, author: str, reason: str, now_ms: int) -> WorkPermit:
    """End a permit now. Raises NotAllowed: unknown_permit | permit_over | no_reason."""
    if not reason.strip():
        raise NotAllowed("no_reason")
    permit = session.get(WorkPermit, permit_id, with_for_update=True, populate_existing=True)
    if permit is None:
        raise NotAllowed("unknown_permit")
    if ends_at_ms(permit) <= now_ms:
        raise NotAllowed("permit_over")
    permit.ended_at_ms, permit.ended_by, permit.ended_reason = now_ms, author, reason.strip()
    session.flush()
    tell(session, permit.site_id, author=author, now_ms=now_ms)
    return permit


def tell(session: Session, site_id: str, *, author: str, now_ms: int) -> None:
    """The permits that hold or will hold, to the nodes of the site; nothing is sent where nothing has changed."""
    permits = [
        Permit(
            permit_id=one.permit_id,
            from_ms=one.from_ms,
            to_ms=ends_at_ms(one),
            from_hour=one.from_hour,
            to_hour=one.to_hour,
            max_power_w=one.max_power_w,
            max_people=one.max_people,
            purpose=one.purpose,
        )
        for one in _open(session, site_id, now_ms)
    ]
    publish_declaration(session, site_id, author=author, now_ms=now_ms, permits=permits)


def ends_at_ms(permit: WorkPermit) -> int:
    """When it really ends."""
    return permit.to_ms if permit.ended_at_ms is None else min(permit.to_ms, permit.ended_at_ms)


def as_work(permit: WorkPermit) -> Work:
    """The permit as the decision needs it."""
    return Work(
        permit_id=permit.permit_id,
        from_ms=permit.from_ms,
        to_ms=ends_at_ms(permit),
        from_hour=permit.from_hour,
        to_hour=permit.to_hour,
        max_power_w=permit.max_power_w,
        max_people=permit.max_people,
        equipment=frozenset(permit.equipment),
    )


def listed(session: Session, *, site_id: str | None, open_at_ms: int | None, limit: int) -> list[WorkPermit]:
    """The newest first; `open_at_ms`: only those that hold or will hold after that moment."""
    query = select(WorkPermit).order_by(WorkPermit.created_at_ms.desc(), WorkPermit.permit_id).limit(limit)
    if site_id is not None:
        query = query.where(WorkPermit.site_id == site_id)
    if open_at_ms is not None:
        query = query.where(func.coalesce(WorkPermit.ended_at_ms, WorkPermit.to_ms) > open_at_ms)
    return list(session.scalars(query))


def works(session: Session, site_ids: Collection[str], *, since_ms: int) -> dict[str, list[Work]]:
    """The permits of these sites that had not ended by `since_ms`, for the decision."""
    wanted = select(WorkPermit).where(WorkPermit.site_id.in_(site_ids), WorkPermit.to_ms > since_ms)
    found: defaultdict[str, list[Work]] = defaultdict(list)
    for one in session.scalars(wanted.order_by(WorkPermit.from_ms, WorkPermit.permit_id)):
        found[one.site_id].append(as_work(one))
    return found


def _open(session: Session, site_id: str, now_ms: int) -> list[WorkPermit]:
    wanted = select(WorkPermit).where(
        WorkPermit.site_id == site_id, func.coalesce(WorkPermit.ended_at_ms, WorkPermit.to_ms) > now_ms
    )
    return list(session.scalars(wanted.order_by(WorkPermit.from_ms, WorkPermit.permit_id)))
