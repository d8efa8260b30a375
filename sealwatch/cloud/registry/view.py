"""What the service knows of sites and nodes, as an immutable picture for decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import Node, Site
from sealwatch.contract.signing import public_key_from_text


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredNode:
    """A node, where it stands, and the key its alarms are signed with."""

    node_id: str
    site_id: str
    public_key: Ed25519PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryView:
    """Sites and nodes at one moment."""

    site_ids: frozenset[str] = frozenset()
    nodes: Mapping[str, RegisteredNode] = field(default_factory=dict)


def load(session: Session) -> RegistryView:
    """The registry as the database has it."""
    nodes = {
        node.node_id: RegisteredNode(
            node_id=node.node_id, site_id=node.site_id, public_key=public_key_from_text(node.public_key)
        )
        for node in session.scalars(select(Node).where(Node.revoked_at_ms.is_(None)))
    }
    return RegistryView(site_ids=frozenset(session.scalars(select(Site.site_id))), nodes=nodes)
