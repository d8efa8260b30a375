"""A small, complete pack to tamper with, and the tools to do it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.contract import wire
from sealwatch.contract.codes import ClockQuality, Level, Phase
from sealwatch.contract.messages import Alarm, Origin
from sealwatch.evidence import chain, container, pack
from sealwatch.evidence.chain import Head
from sealwatch.evidence.digests import of_chunks
from sealwatch.evidence.documents import ChainRange, ClockState, Detector, FileEntry, Manifest
from sealwatch.evidence.envelope import SecondSigner, seal, sha256_of

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ROGUE = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
BOOT = "ab" * 16
SITE, NODE = "210423000017", "fushun-017-1"
AT_MS = 1_760_000_000_000


def manifest(
    item_id: str,
    files: dict[str, bytes],
    *,
    seq: int = 1,
    quality: ClockQuality = ClockQuality.SYNCHRONISED,
    sm2_key_id: str = "",
    offset_ms: float | None = 12.5,
) -> Manifest:
    entries = []
    for name, data in files.items():
        digests = of_chunks([data], sm3=True)
        entries.append(
            FileEntry(
                name=name,
                media_type="video/mp4",
                size_bytes=digests.size_bytes,
                sha256=digests.sha256,
                sm3=digests.sm3,
            )
        )
    return Manifest(
        item_id=item_id,
        kind="clip",
        site_id=SITE,
        node_id=NODE,
        boot_id=BOOT,
        seq=seq,
        source_id="shaft-mouth",
        from_ms=AT_MS,
        to_ms=AT_MS + 45_000,
        closed_at_ms=AT_MS + 46_000,
        clock=ClockState(quality=quality, offset_ms=offset_ms),
        encoding="h264",
        alarm_id="a1",
        zone="井口",
        detector=Detector(name="person", thresholds={"score": 0.5}),
        sm2_key_id=sm2_key_id,
        files=entries,
    )


def message() -> bytes:
    origin = Origin(
        site_id=SITE,
        node_id=NODE,
        boot_id=BOOT,
        seq=1,
        captured_at_ms=AT_MS,
        enqueued_at_ms=AT_MS,
        clock_quality=ClockQuality.SYNCHRONISED,
    )
    alarm = Alarm(
        origin=origin,
        alarm_id="a1",
        kind="person",
        phase=Phase.START,
        level=Level.RED,
        source_id="shaft-mouth",
        started_at_ms=AT_MS,
        score=0.9,
        reason="person_seen",
        sentence_zh="井口有人",
        sentence_en="a person at the shaft",
    )
    return wire.seal(KEY, alarm)


class Chain:
    """A chain that grows."""

    def __init__(self, key: Ed25519PrivateKey = KEY) -> None:
        self._key = key
        self.head = Head()
        self.lines: list[bytes] = []

    def add(self, item_sha256: str, *, kind: str = "manifest", at_ms: int | None = None) -> None:
        link = chain.next_link(
            self.head,
            site_id=SITE,
            node_id=NODE,
            boot_id=BOOT,
            kind=kind,
            item_sha256=item_sha256,
            at_ms=AT_MS + self.head.index if at_ms is None else at_ms,
            clock_quality=ClockQuality.SYNCHRONISED,
        )
        self.lines.append(seal(self._key, link))
        self.head = Head(link.index, sha256_of(wire.encode(link).decode()))

    def range(self) -> ChainRange:
        return pack.chain_range(self.lines)


@dataclass
class Pack:
    """Members of a pack by name, in order, as bytes."""

    members: dict[str, bytes]

    def zipped(self) -> bytes:
        file = io.BytesIO()
        container.write_zip(file, [pack.Blob(name, data) for name, data in self.members.items()])
        return file.getvalue()


def build(
    folder: Path,
    *,
    key: Ed25519PrivateKey = KEY,
    quality: ClockQuality = ClockQuality.SYNCHRONISED,
    second: SecondSigner | None = None,
    skip_link_of: str = "",
) -> bytes:
    """Two clips of two files each, an alarm, and two links of things that are not in the pack."""
    links = Chain(key)
    items = []
    links.add(hashlib.sha256(b"a segment nobody asked for").hexdigest())
    for number, item_id in enumerate(("clip-1", "clip-2"), start=1):
        files = {
            "clip.mp4": bytes([number]) * 3000 + item_id.encode(),
            "power.csv": f"at_ms,active_power_w\n{number},2.5\n".encode(),
        }
        paths = {}
        for name, data in files.items():
            path = folder / f"{item_id}-{name}"
            path.write_bytes(data)
            paths[name] = path
        document = manifest(
            item_id, files, seq=number, quality=quality, sm2_key_id=second.key_id if second is not None else ""
        )
        sealed = seal(key, document, second)
        if item_id != skip_link_of:
            links.add(hashlib.sha256(sealed).hexdigest())
        items.append(pack.Item(item_id=item_id, manifest=sealed, files=paths))
    links.add(hashlib.sha256(message()).hexdigest(), kind="alarm")
    links.add(hashlib.sha256(b"the next segment").hexdigest())
    out = io.BytesIO()
    request = pack.Request(
        pack_id="pack-1",
        site_id=SITE,
        node_id=NODE,
        packed_at_ms=AT_MS + 60_000,
        items=items,
        links=links.lines,
        head=links.range(),
        messages={"alarm-1": message()},
    )
    pack.write(out, request, key, second)
    return out.getvalue()


def unpack(data: bytes) -> Pack:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return Pack({name: archive.read(name) for name in archive.namelist()})
