"""What an incident's own nodes are told of it: that somebody has answered, which an installer waits for on site."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import AlarmRecord, Downlink, Node
from sealwatch.cloud.downlink.queue import queue_command

NAME: Final = "answered"
VALID_S: Final = 7 * 86_400.0
_AUTHOR: Final = "system"


def answered(session: Session, incident_id: str, *, now_ms: int) -> int:
    """Tell the nodes whose alarms the incident is made of; how many were. Each is told once in `VALID_S` at most: what
    a node wants to know is that its alarms reach a person, not how often."""
    ours = select(AlarmRecord.node_id).where(AlarmRecord.incident_id == incident_id)
    known = session.scalars(select(Node.node_id).where(Node.node_id.in_(ours)).order_by(Node.node_id)).all()
    waiting = set(
        session.scalars(
            select(Downlink.node_id).where(
                Downlink.node_id.in_(known),
                Downlink.author == _AUTHOR,
                Downlink.body.contains(f'"name":"{NAME}"'),
                Downlink.expires_at_ms > now_ms,
            )
        )
    )
    fresh = [node_id for node_id in known if node_id not in waiting]
    for node_id in fresh:
        queue_command(session, node_id=node_id, name=NAME, author=_AUTHOR, now_ms=now_ms, valid_s=VALID_S)
    return len(fresh)
