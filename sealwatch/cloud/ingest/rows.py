"""The rows that a message leaves, apart from alarms and incidents (`sealwatch.cloud.incidents.intake`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import (
    AlarmTransition,
    CommandReply,
    Evidence,
    Node,
    QuarantineCount,
    Quarantined,
)
from sealwatch.cloud.ingest.judge import Rejected
from sealwatch.contract.messages import Alarm, Reply, Snapshot, Status

QUARANTINE_PAYLOAD_BYTES: Final = 64 * 1024
QUARANTINE_ROWS: Final = 1000
"""Only the newest are kept: a node gone mad must not fill the disk. The counts go on."""


def add_transition(session: Session, alarm: Alarm, payload: bytes, *, now_ms: int) -> None:
    """A signed transition exactly as it came."""
    origin = alarm.origin
    session.add(
        AlarmTransition(
            node_id=origin.node_id,
            boot_id=origin.boot_id,
            seq=origin.seq,
            alarm_id=alarm.alarm_id,
            phase=str(alarm.phase),
            captured_at_ms=origin.captured_at_ms,
            received_at_ms=now_ms,
            sealed=payload,
        )
    )


def add_evidence(session: Session, snapshot: Snapshot, *, now_ms: int) -> None:
    """A picture that lies in the evidence store. The same picture twice (a frozen camera) keeps its first entry."""
    if session.get(Evidence, snapshot.evidence.sha256) is not None:
        return
    session.add(
        Evidence(
            sha256=snapshot.evidence.sha256,
            media_type=snapshot.evidence.media_type,
            size_bytes=snapshot.evidence.size_bytes,
            site_id=snapshot.origin.site_id,
            node_id=snapshot.origin.node_id,
            alarm_id=snapshot.alarm_id,
            captured_at_ms=snapshot.origin.captured_at_ms,
            received_at_ms=now_ms,
        )
    )
    session.flush()


def set_statuses(session: Session, came: Sequence[tuple[Status, bool]], *, now_ms: int) -> None:
    """The last words of nodes as they came, each with whether the broker only repeats it (retained).

    Of several of one node the last counts. A repeated one is as old as it says, not as now, and changes nothing where
    it is known. One statement for all of them: at 10,000 nodes 333 come in a second. Nodes that left the registry a
    moment ago are passed over.
    """
    last = {status.node_id: (status, retained) for status, retained in came}
    repeated = [node_id for node_id, (_, retained) in last.items() if retained]
    known: dict[str, object] = {}
    if repeated:
        rows = session.execute(select(Node.node_id, Node.status).where(Node.node_id.in_(repeated)))
        known = {row.node_id: row.status for row in rows}
    changes = []
    for node_id, (status, retained) in sorted(last.items()):  # in one order: services that do the same never deadlock
        value = msgspec.to_builtins(status)
        if retained and known.get(node_id) == value:
            continue
        at_ms = min(status.reported_at_ms, now_ms) if retained else now_ms
        changes.append({"node": node_id, "state": status.state, "status": value, "state_at_ms": at_ms})
    if changes:
        statement = update(Node.__table__).where(Node.__table__.c.node_id == bindparam("node"))  # type: ignore[arg-type]
        session.connection().execute(statement, changes)


def set_reply(session: Session, reply: Reply, *, now_ms: int) -> None:
    """A node's answer to a command; the first one counts, unless what was refused at first has succeeded since."""
    row = session.get(CommandReply, (reply.node_id, reply.command_id))
    if row is None:
        row = CommandReply(node_id=reply.node_id, command_id=reply.command_id)
        session.add(row)
    elif row.ok or not reply.ok:
        return
    row.ok, row.reason, row.detail = reply.ok, reply.reason, reply.detail
    row.replied_at_ms, row.received_at_ms = reply.replied_at_ms, now_ms
    session.flush()


def quarantine(session: Session, topic: str, payload: bytes, rejected: Rejected, *, now_ms: int) -> None:
    """Keep what could not be taken, with its reason, and count it."""
    session.add(
        Quarantined(
            received_at_ms=now_ms,
            topic=_printable(topic),
            reason=rejected.reason,
            detail=_printable(rejected.detail)[:500],
            size_bytes=len(payload),
            payload=payload[:QUARANTINE_PAYLOAD_BYTES],
        )
    )
    session.flush()
    newest = select(func.max(Quarantined.id)).scalar_subquery()
    session.execute(
        delete(Quarantined)
        .where(Quarantined.id <= newest - QUARANTINE_ROWS)
        .execution_options(synchronize_session=False)
    )
    _count(session, rejected.reason, now_ms=now_ms)


def _count(session: Session, reason: str, *, now_ms: int) -> None:
    add_one = (
        update(QuarantineCount)
        .where(QuarantineCount.reason == reason)
        .values(count=QuarantineCount.count + 1, last_at_ms=now_ms)
        .returning(QuarantineCount.reason)
        .execution_options(synchronize_session=False)
    )
    if session.scalar(add_one) is not None:
        return
    try:
        with session.begin_nested():
            session.add(QuarantineCount(reason=reason, count=1, last_at_ms=now_ms))
    except IntegrityError:  # another worker met this reason for the first time at the same moment
        session.execute(add_one)


def _printable(text: str) -> str:
    """Text that every database takes: without NUL and lone surrogates."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode()
