"""Sealing on the node: a manifest, its signature and its link in the chain, in one transaction with the index."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch import __version__
from sealwatch.base.clock import Clock
from sealwatch.contract import wire
from sealwatch.contract.codes import ClockQuality
from sealwatch.contract.messages import Alarm, Sealed
from sealwatch.contract.topics import Channel
from sealwatch.edge.recorder.store import Store, add_link, add_told
from sealwatch.evidence import chain
from sealwatch.evidence.documents import ClockState, Detector, FileEntry, Manifest
from sealwatch.evidence.envelope import SecondSigner, seal, sha256_of


@dataclass(frozen=True, slots=True)
class Sent:
    """A sealed message that went to the service. `alarm` has its bytes where it is one: pictures would be too many."""

    kind: str
    sha256: str
    alarm: bytes = b""


def as_sent(kind: str, payload: bytes) -> Sent:
    """What is remembered of a sealed message of this kind (`alarm`, `snapshot`)."""
    return Sent(kind, hashlib.sha256(payload).hexdigest(), payload if kind == Channel.ALARM else b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the recorder knows about an item; the rest of its manifest is the node's."""

    item_id: str
    kind: str
    source_id: str
    from_ms: int
    to_ms: int
    encoding: str
    files: list[FileEntry]
    later: bool = False
    alarm_id: str = ""
    zone: str = ""
    detector: Detector | None = None
    reference_sha256: str | None = None
    notes: dict[str, str] = field(default_factory=dict)


class Sealer:
    """Signs with the node's key. Callable from any thread."""

    def __init__(
        self,
        store: Store,
        key: Ed25519PrivateKey,
        *,
        site_id: str,
        node_id: str,
        boot_id: str,
        clock: Clock,
        clock_state: Callable[[], ClockState],
        second: SecondSigner | None = None,
    ) -> None:
        self._store, self._key, self._second = store, key, second
        self.site_id, self.node_id, self.boot_id = site_id, node_id, boot_id
        self._clock, self.clock_state = clock, clock_state
        self._lock = threading.Lock()
        self._seq = 0

    @property
    def key(self) -> Ed25519PrivateKey:
        return self._key

    @property
    def second(self) -> SecondSigner | None:
        return self._second

    def manifest(self, item: Described) -> bytes:
        """The sealed manifest of an item."""
        with self._lock:
            self._seq += 1
            seq = self._seq
        document = Manifest(
            item_id=item.item_id,
            kind=item.kind,
            site_id=self.site_id,
            node_id=self.node_id,
            boot_id=self.boot_id,
            seq=seq,
            source_id=item.source_id,
            from_ms=max(0, item.from_ms),
            to_ms=max(0, item.to_ms),
            closed_at_ms=max(0, self._clock.wall_ms()),
            sealed="later" if item.later else "on_close",
            clock=self.clock_state(),
            encoding=item.encoding,
            alarm_id=item.alarm_id,
            zone=item.zone,
            detector=item.detector,
            reference_sha256=item.reference_sha256,
            agent_version=__version__,
            sm2_key_id=self._second.key_id if self._second is not None else "",
            notes=item.notes,
            files=item.files,
        )
        return seal(self._key, document, self._second)

    def link(self, db: sqlite3.Connection, kind: str, item_sha256: str) -> None:
        """Add a link for an item (the hash of a sealed document or message) inside a transaction of the store."""
        head = self._store.head()
        link = chain.next_link(
            head,
            site_id=self.site_id,
            node_id=self.node_id,
            boot_id=self.boot_id,
            kind=kind,
            item_sha256=item_sha256,
            at_ms=max(0, self._clock.wall_ms()),
            clock_quality=self.clock_state().quality,
        )
        add_link(db, link.index, kind, item_sha256, sha256_of(wire.encode(link).decode()), seal(self._key, link))

    def record(self, sent: Sequence[Sent]) -> None:
        """Chain what was sent, in one commit; alarms are kept for packs as well. Raises FootageError."""
        with self._store.transaction() as db:
            for one in sent:
                self.link(db, one.kind, one.sha256)
                if one.alarm:
                    add_told(db, _alarm_id(one.alarm), one.alarm)


def _alarm_id(payload: bytes) -> str:
    return wire.decode(Alarm, wire.decode(Sealed, payload).body).alarm_id


def unknown_clock() -> ClockState:
    """What to say where nobody watches the clock."""
    return ClockState(quality=ClockQuality.UNSYNCHRONISED)
