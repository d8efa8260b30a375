"""Whether everything that is kept after the day proves itself: every file, the whole chain, a pack of every clip."""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.clock import SystemClock
from sealwatch.contract import signing
from sealwatch.edge.recorder import packing
from sealwatch.edge.recorder.clips import ClipJob
from sealwatch.edge.recorder.footage import CLIPS, INDEX_FILE, Footage
from sealwatch.edge.recorder.sealing import Sealer, unknown_clock
from sealwatch.edge.recorder.store import Store
from sealwatch.evidence import chain
from sealwatch.evidence.documents import Envelope, Manifest
from sealwatch.evidence.verify import verify

PACKS: Final = 50  # the newest clips; each pack carries its stretch of the chain


def reckon(folder: Path, key: Ed25519PrivateKey, *, site_id: str, node_id: str) -> dict[str, int]:
    """Counts, named as in `day.Outcome`."""
    store = Store(folder / INDEX_FILE, now_ms=time.time_ns() // 1_000_000)
    try:
        files = _files(store, folder)
        sound = sum(1 for path, digest in files.items() if path.exists() and _sha256(path) == digest)
        there = {p for p in folder.rglob("*") if p.is_file() and p.name.split(".db")[0] != INDEX_FILE.split(".db")[0]}
        trusted = {signing.key_id(key.public_key()): key.public_key()}
        last = store.head().index
        checked = chain.check(store.links(1, last), trusted, None)
        in_order = [link.index for link in checked.links] == list(range(1, last + 1))
        sealer = Sealer(
            store,
            key,
            site_id=site_id,
            node_id=node_id,
            boot_id="0" * 32,
            clock=SystemClock(),
            clock_state=unknown_clock,
        )
        good, bad = _packs(Footage(folder, store, sealer, SystemClock()))
        return {
            "evidence_files": len(files),
            "evidence_broken": len(files) - sound,
            "evidence_unlisted": len(there - set(files)),
            "chain_links": last,
            "chain_broken": len(checked.findings) + (not in_order),
            "packs_verified": good,
            "packs_broken": bad,
        }
    finally:
        store.close()


def _files(store: Store, folder: Path) -> dict[Path, str]:
    """Every file that a signed manifest names, with its hash."""
    found: dict[Path, str] = {}
    for segment in store.segments():
        for name, digest in _named(store.manifest("segment", segment.id)):
            found[(folder / segment.path).with_name(name)] = digest
    for clip in store.clips(state="sealed"):
        for name, digest in _named(store.manifest("clip", clip.id)):
            found[folder / CLIPS / clip.id / name] = digest
    return found


def _named(sealed: bytes | None) -> list[tuple[str, str]]:
    if sealed is None:
        return []
    manifest = msgspec.json.decode(msgspec.json.decode(sealed, type=Envelope).body, type=Manifest)
    return [(file.name, file.sha256) for file in manifest.files]


def _packs(footage: Footage) -> tuple[int, int]:
    trusted = [footage.sealer.key.public_key()]
    good = bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        alarms = {
            msgspec.json.decode(c.job, type=ClipJob).alarm_id for c in footage.store.clips(state="sealed")[-PACKS:]
        }
        for number, alarm_id in enumerate(sorted(alarms)):
            target = Path(scratch) / f"{number}.zip"
            packing.write_pack(footage, packing.items_of_alarm(footage, alarm_id), target, pack_id="cuts")
            holds = verify(target, trusted).holds
            good, bad = good + holds, bad + (not holds)
    return good, bad


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
