"""The receiver of this service: nodes from the registry, arrivals into the list of evidence."""

from __future__ import annotations

from pathlib import Path

from sealwatch.base.clock import Clock
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import Evidence
from sealwatch.cloud.evidence.receive import Arrived, Receiver, Sender
from sealwatch.cloud.evidence.store import FileEvidence
from sealwatch.cloud.registry.cache import RegistryCache


def open_receiver(folder: Path, store: FileEvidence, database: Database, clock: Clock) -> Receiver:
    """`folder` must be on the disk of `store`: a file that is whole moves there by a rename. Raises OSError."""
    registry = RegistryCache(database, clock)

    def find(node_id: str) -> Sender | None:
        node = registry.current().nodes.get(node_id)
        if node is None:
            return None
        trusted = node.trusted(clock.wall_ms()).values()
        former = tuple(key for key in trusted if key is not node.public_key)
        return Sender(node.node_id, node.site_id, node.public_key, former)

    def note(arrived: Arrived) -> None:
        manifest, file = arrived.manifest, arrived.file
        with database.write() as session:
            if session.get(Evidence, file.sha256) is not None:
                return
            session.add(
                Evidence(
                    sha256=file.sha256,
                    media_type=file.media_type,
                    size_bytes=file.size_bytes,
                    site_id=manifest.site_id,
                    node_id=manifest.node_id,
                    alarm_id=manifest.alarm_id,
                    captured_at_ms=manifest.from_ms,
                    received_at_ms=clock.wall_ms(),
                )
            )

    return Receiver(folder, store, find, on_arrived=note)
