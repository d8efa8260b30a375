"""Silences in the database: made, listed, ended. A silence whose `ended_at_ms` is set never holds again, whatever the
clock says.

Functions that change something work inside the caller's writing transaction and raise `NotAllowed` with a named reason.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.duty_tables import Silence
from sealwatch.cloud.db.tables import Site
from sealwatch.cloud.incidents import history
from sealwatch.cloud.refused import NotAllowed

LONGEST_S: Final = 7 * 24 * 3600
"""Like a shelf: nothing is silent for longer than a week at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be silent: kinds of alarm at a site, of one source or (empty) of all."""

    site_id: str
    kinds: tuple[str, ...]
    source_id: str = ""
    from_ms: int
    until_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """A silence as the decision needs it."""

    silence_id: str
    kinds: frozenset[str]
    source_id: str
    from_ms: int
    until_ms: int

    def covers(self, kind: str, source_id: str, now_ms: int) -> bool:
        """Whether it holds for such an alarm now."""
        return kind in self.kinds and self.source_id in ("", source_id) and self.from_ms <= now_ms < self.until_ms


def make(session: Session, wanted: Wanted, *, author: str, now_ms: int) -> Silence:
    """Enter a silence. Raises NotAllowed: unknown_site | bad_window | too_long | no_reason."""
    if session.get(Site, wanted.site_id) is None:
        raise NotAllowed("unknown_site")
    if not wanted.reason.strip():
        raise NotAllowed("no_reason")
    if not wanted.kinds or wanted.until_ms <= max(wanted.from_ms, now_ms):
        raise NotAllowed("bad_window")
    if wanted.until_ms - max(wanted.from_ms, now_ms) > LONGEST_S * 1000:
        raise NotAllowed("too_long")
    silence = Silence(
        silence_id=f"s-{secrets.token_hex(6)}",
        site_id=wanted.site_id,
        source_id=wanted.source_id,
        kinds=sorted(set(wanted.kinds)),
        from_ms=wanted.from_ms,
        until_ms=wanted.until_ms,
        reason=wanted.reason.strip(),
        author=author,
        created_at_ms=now_ms,
    )
    session.add(silence)
    session.flush()
    return silence


def end(session: Session, silence_id: str, *, author: str, now_ms: int) -> Silence:
    """End a silence before its time. Raises NotAllowed: unknown_silence | silence_over."""
    silence = session.get(Silence, silence_id, with_for_update=True, populate_existing=True)
    if silence is None:
        raise NotAllowed("unknown_silence")
    if silence.ended_at_ms is not None or silence.until_ms <= now_ms:
        raise NotAllowed("silence_over")
    silence.ended_at_ms, silence.ended_by, silence.ended_why = now_ms, author, "early"
    session.flush()
    return silence


def end_all_over(session: Session, *, now_ms: int, everything: bool) -> list[str]:
    """End each silence whose time is over, or (`everything`) each there is; their ids."""
    query = select(Silence).where(Silence.ended_at_ms.is_(None)).order_by(Silence.silence_id).with_for_update()
    if not everything:
        query = query.where(Silence.until_ms <= now_ms)
    ended = []
    for silence in session.scalars(query.execution_options(populate_existing=True)).all():
        if silence.ended_at_ms is not None:  # another worker was first
            continue
        why = "time_over" if silence.until_ms <= now_ms else "clock_went_back"
        silence.ended_at_ms, silence.ended_by, silence.ended_why = now_ms, history.SYSTEM, why
        ended.append(silence.silence_id)
    return ended


def any_to_end(session: Session, *, now_ms: int, everything: bool) -> bool:
    """Whether `end_all_over` has something to do."""
    query = select(Silence.silence_id).where(Silence.ended_at_ms.is_(None)).limit(1)
    return session.scalar(query if everything else query.where(Silence.until_ms <= now_ms)) is not None


def listed(session: Session, *, site_id: str | None, holding_only: bool, limit: int) -> list[Silence]:
    """The newest first."""
    query = select(Silence).order_by(Silence.created_at_ms.desc(), Silence.silence_id).limit(limit)
    if site_id is not None:
        query = query.where(Silence.site_id == site_id)
    if holding_only:
        query = query.where(Silence.ended_at_ms.is_(None))
    return list(session.scalars(query))


def quiets(session: Session, site_ids: Collection[str]) -> dict[str, list[Quiet]]:
    """What may be silent at these sites, for the decision."""
    wanted = select(Silence).where(Silence.site_id.in_(site_ids), Silence.ended_at_ms.is_(None))
    found: defaultdict[str, list[Quiet]] = defaultdict(list)
    for one in session.scalars(wanted.order_by(Silence.silence_id)):
        found[one.site_id].append(
            Quiet(
                silence_id=one.silence_id,
                kinds=frozenset(one.kinds),
                source_id=one.source_id,
                from_ms=one.from_ms,
                until_ms=one.until_ms,
            )
        )
    return found
