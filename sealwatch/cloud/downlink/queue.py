"""What is to go to nodes, put down inside the caller's transaction; `sealwatch.cloud.downlink.sender` sends it.

Whoever changes something that nodes must know of (what a site declares, a command) calls one of these in the same
transaction: either both are there or neither is. A command may be sent twice; its node carries it out once.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.base.errors import UsageError
from sealwatch.cloud.db.tables import Downlink, Node, Person, Site
from sealwatch.contract import wire
from sealwatch.contract.codes import DeclaredStatus
from sealwatch.contract.messages import Command, Declaration, NodeConfig, Permit
from sealwatch.contract.release import UpdateOffer
from sealwatch.contract.topics import Channel
from sealwatch.contract.wire import Refused

COMMAND_VALID_S: Final = 3600.0


def queue_command(
    session: Session,
    *,
    node_id: str,
    name: str,
    arguments: Mapping[str, str] | None = None,
    author: str,
    now_ms: int,
    valid_s: float = COMMAND_VALID_S,
) -> str:
    """Ask a node to do something; the command_id under which its reply will be found.

    The node refuses it after `valid_s`. Raises UsageError for a node that is not registered and for a command that the
    contract does not allow.
    """
    node = _node(session, node_id)
    if name == "disarm" and not (arguments or {}).get("permit"):
        _check_persons(session, arguments or {})
    if name == "clip":  # footage shows people: who has looked is part of its manifest
        arguments = {**(arguments or {}), "asked_by": author}
    command = Command(
        site_id=node.site_id,
        node_id=node_id,
        command_id=secrets.token_hex(16),
        name=name,
        arguments=dict(arguments or {}),
        issued_at_ms=now_ms,
        expires_at_ms=now_ms + int(valid_s * 1000),
    )
    try:
        wire.decode(Command, wire.encode(command))
    except Refused as refused:
        raise UsageError(f"the command cannot be sent: {refused.detail}") from None
    session.add(
        Downlink(
            node_id=node_id,
            site_id=node.site_id,
            channel=str(Channel.COMMAND),
            message_id=command.command_id,
            body=wire.encode(command).decode(),
            author=author,
            created_at_ms=now_ms,
            expires_at_ms=command.expires_at_ms,
        )
    )
    return command.command_id


def publish_declaration(
    session: Session, site_id: str, *, author: str, now_ms: int, permits: Sequence[Permit] | None = None
) -> int:
    """Tell the nodes of a site what it declares; how many nodes there was something new for.

    `permits` are all that hold; None: those of the site's last declaration still do. Nothing is sent where nothing has
    changed, so that it may be called at any time. Raises UsageError for an unknown site.
    """
    site = session.get(Site, site_id)
    if site is None:
        raise UsageError(f"no site '{site_id}'; sites are those of cloud.toml")
    status = DeclaredStatus(site.declared_status)
    holding = _last_permits(session, site_id) if permits is None else list(permits)
    told = 0
    nodes = select(Node).where(Node.site_id == site_id).order_by(Node.node_id).with_for_update()
    for node in session.scalars(nodes).all():
        last = newest(session, node.node_id, Channel.DECLARATION)
        said = None if last is None else wire.decode(Declaration, last.body)
        if said is not None and (said.site_id, said.declared_status, said.permits) == (site_id, status, holding):
            continue
        version = _next_version(last, now_ms)
        message = Declaration(
            site_id=site_id,
            node_id=node.node_id,
            version=version,
            issued_at_ms=now_ms,
            declared_status=status,
            permits=holding,
        )
        add_retained(session, message, Channel.DECLARATION, author=author, now_ms=now_ms)
        told += 1
    return told


def push_config(session: Session, *, node_id: str, toml: str, author: str, now_ms: int) -> int:
    """Send a node a whole configuration; its version. The node checks it, tries it and goes back by itself.

    Raises UsageError for a node that is not registered and for a text beyond what the contract allows.
    """
    _node(session, node_id)
    node = session.scalars(select(Node).where(Node.node_id == node_id).with_for_update()).one()
    version = _next_version(newest(session, node_id, Channel.CONFIG), now_ms)
    message = NodeConfig(site_id=node.site_id, node_id=node_id, version=version, issued_at_ms=now_ms, toml=toml)
    try:
        wire.decode(NodeConfig, wire.encode(message))
    except Refused as refused:
        raise UsageError(f"the configuration cannot be sent: {refused.detail}") from None
    add_retained(session, message, Channel.CONFIG, author=author, now_ms=now_ms)
    return version


def newest(session: Session, node_id: str, channel: Channel) -> Downlink | None:
    """The newest of a retained channel for a node, sent or not."""
    return session.scalars(
        select(Downlink)
        .where(Downlink.node_id == node_id, Downlink.channel == str(channel))
        .order_by(Downlink.version.desc())
        .limit(1)
    ).first()


def message_id(channel: Channel, version: int) -> str:
    """Names a version of a retained channel; the node answers a configuration under it."""
    return f"{channel}-{version}"


def _node(session: Session, node_id: str) -> Node:
    node = session.get(Node, node_id)
    if node is None:
        there = list(session.scalars(select(Node.node_id).order_by(Node.node_id).limit(20)))
        raise UsageError(f"no node '{node_id}'; there are: {', '.join(there) or 'none'}")
    return node


def _check_persons(session: Session, arguments: Mapping[str, str]) -> None:
    for field in ("first", "second"):
        person_id = arguments.get(field, "")
        if session.get(Person, person_id) is None:
            raise UsageError(
                f"disarm: {field}={person_id or '…'} names nobody of [[people]]; wanted are two of them, "
                "first=… second=…, or an open permit=…"
            )


def _last_permits(session: Session, site_id: str) -> list[Permit]:
    last = session.scalars(
        select(Downlink)
        .where(Downlink.site_id == site_id, Downlink.channel == str(Channel.DECLARATION))
        .order_by(Downlink.id.desc())
        .limit(1)
    ).first()
    return [] if last is None else wire.decode(Declaration, last.body).permits


def next_version(session: Session, node_id: str, channel: Channel, now_ms: int) -> int:
    """The version that the next message of a retained channel has."""
    return _next_version(newest(session, node_id, channel), now_ms)


def _next_version(last: Downlink | None, now_ms: int) -> int:
    """Above the last one, and above whatever a lost database may have said: the time where that is more."""
    return max((last.version or 0) + 1 if last is not None else 1, now_ms)


def add_retained(
    session: Session, message: Declaration | NodeConfig | UpdateOffer, channel: Channel, *, author: str, now_ms: int
) -> None:
    """Put a new version of a retained channel down for a node."""
    session.add(
        Downlink(
            node_id=message.node_id,
            site_id=message.site_id,
            channel=str(channel),
            message_id=message_id(channel, message.version),
            version=message.version,
            body=wire.encode(message).decode(),
            author=author,
            created_at_ms=now_ms,
        )
    )
    session.flush()
