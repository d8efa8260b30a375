"""The audit log: who did or saw what, when, from where, and what came of it. Lines are added, never changed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.account_tables import AuditEntry

COLUMNS: Final = ("id", "at", "actor", "action", "target", "outcome", "address", "region")


def note(
    session: Session,
    *,
    at_ms: int,
    actor: str,
    action: str,
    target: str = "",
    outcome: str = "done",
    address: str = "",
    region: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a line, inside the caller's transaction."""
    session.add(
        AuditEntry(
            at_ms=at_ms,
            actor=actor[:100],
            action=action[:64],
            target=target[:200],
            outcome=outcome[:32],
            address=address[:64],
            region=region,
            detail=dict(detail or {}),
        )
    )


def entries(
    session: Session, *, region: str = "", actor: str = "", before: int | None = None, limit: int = 100
) -> list[AuditEntry]:
    """The newest lines first, older than the line `before`; of those who act in `region` or below it."""
    query = select(AuditEntry).where(AuditEntry.region.startswith(region, autoescape=True))
    if actor:
        query = query.where(AuditEntry.actor == actor)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return list(session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit)))


def as_csv(lines: Sequence[AuditEntry]) -> str:
    """The lines as CSV with a header, times in UTC. No cell begins as a formula of a spreadsheet does."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for line in lines:
        cells = (line.actor, line.action, line.target, line.outcome, line.address, line.region)
        writer.writerow(
            [line.id, datetime.fromtimestamp(line.at_ms / 1000, UTC).isoformat(), *(_harmless(cell) for cell in cells)]
        )
    return out.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell
