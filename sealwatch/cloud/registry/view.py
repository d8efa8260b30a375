"""What the service knows of sites and nodes, as an immutable picture for decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import FormerKey, Node, Site
from sealwatch.contract.signing import key_id, public_key_from_text


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredNode:
    """A node, where it stands, the key its alarms are signed with, and former ones with their end (ms)."""

    node_id: str
    site_id: str
    public_key: Ed25519PublicKey
    former: tuple[tuple[Ed25519PublicKey, int], ...] = ()

    def trusted(self, now_ms: int) -> dict[str, Ed25519PublicKey]:
        """The keys that are believed at this moment, by their id."""
        keys = [self.public_key, *(key for key, until_ms in self.former if now_ms < until_ms)]
        return {key_id(key): key for key in keys}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryView:
    """Sites and nodes at one moment."""

    site_ids: frozenset[str] = frozenset()
    nodes: Mapping[str, RegisteredNode] = field(default_factory=dict)


def load(session: Session) -> RegistryView:
    """The registry as the database has it."""
    former: dict[str, list[tuple[Ed25519PublicKey, int]]] = {}
    for row in session.scalars(select(FormerKey)):
        former.setdefault(row.node_id, []).append((_key(row.public_key), row.valid_until_ms))
    columns = select(Node.node_id, Node.site_id, Node.public_key).where(Node.revoked_at_ms.is_(None))
    nodes = {
        node_id: RegisteredNode(
            node_id=node_id, site_id=site_id, public_key=_key(key), former=tuple(former.get(node_id, ()))
        )
        for node_id, site_id, key in session.execute(columns)
    }
    return RegistryView(site_ids=frozenset(session.scalars(select(Site.site_id))), nodes=nodes)


@lru_cache(maxsize=65_536)
def _key(text: str) -> Ed25519PublicKey:
    """The same keys are read again every few seconds."""
    return public_key_from_text(text)
