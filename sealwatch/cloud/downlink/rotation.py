"""Putting the service's next key in place, once the nodes have confirmed a configuration that pins it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed
from sealwatch.cloud.auth import service_key
from sealwatch.cloud.db.tables import CommandReply, Node
from sealwatch.cloud.downlink import queue
from sealwatch.cloud.downlink.cli import open_database
from sealwatch.contract import signing, wire
from sealwatch.contract.messages import NodeConfig
from sealwatch.contract.topics import Channel

_SHOWN = 10


def use_next(config: Path, folder: Path, *, anyway: bool) -> int:
    """Exit code. Raises UsageError, and CommandFailed where nodes are not known to believe the next key."""
    if (folder / service_key.NEXT_FILE).exists():
        wanted = signing.public_key_text(service_key.prepare_next(folder).public_key())
        database = open_database(config)
        try:
            with database.read() as session:
                behind = not_ready(session, wanted)
        finally:
            database.close()
        if behind and not anyway:
            more = f" and {len(behind) - _SHOWN} more" if len(behind) > _SHOWN else ""
            raise CommandFailed(
                f"the next key may be unknown to: {', '.join(behind[:_SHOWN])}{more}; push them a configuration with "
                f'next_service_public_key = "{wanted}" and wait for their answers, or add --anyway'
            )
    try:
        key = service_key.use_next(folder)
    except OSError as error:
        raise CommandFailed(f"{folder}: {error.strerror}") from None
    print(text.say(text.terminal_language(), "downlink.key_in_place", key=signing.public_key_text(key.public_key())))
    return 0


def not_ready(session: Session, public_key: str) -> list[str]:
    """Nodes that have not confirmed a configuration which names this key."""
    found = []
    for node_id in session.scalars(select(Node.node_id).where(Node.revoked_at_ms.is_(None)).order_by(Node.node_id)):
        row = queue.newest(session, node_id, Channel.CONFIG)
        reply = None if row is None else session.get(CommandReply, (node_id, row.message_id))
        if row is None or reply is None or not reply.ok or public_key not in wire.decode(NodeConfig, row.body).toml:
            found.append(node_id)
    return found
