"""A pack out of what the node holds: the clips of an alarm, or the footage of a stretch of time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from sealwatch.base.errors import CommandFailed
from sealwatch.edge.recorder.clips import ClipJob
from sealwatch.edge.recorder.footage import CLIPS, Footage
from sealwatch.edge.recorder.segment import footage_error, sync_folder
from sealwatch.evidence import pack
from sealwatch.evidence.documents import Envelope, Manifest

MAX_LINKS: Final = 200_000


def items_of_alarm(footage: Footage, alarm_id: str) -> list[pack.Item]:
    """The sealed clips of an alarm. Raises FootageError."""
    rows = [
        c for c in footage.store.clips(state="sealed") if msgspec.json.decode(c.job, type=ClipJob).alarm_id == alarm_id
    ]
    return [_item(footage.store.manifest("clip", row.id), footage.folder / CLIPS / row.id) for row in rows]


def items_between(footage: Footage, camera_id: str, from_ms: int, to_ms: int) -> list[pack.Item]:
    """The closed segments of a camera that touch a stretch of wall time. Raises FootageError."""
    return [
        _item(footage.store.manifest("segment", s.id), (footage.folder / s.path).parent)
        for s in footage.store.segments(camera_id, state="closed")
        if s.started_at_ms < to_ms and s.ended_at_ms > from_ms
    ]


def messages_of_alarm(footage: Footage, alarm_id: str) -> dict[str, bytes]:
    """The alarm's own messages as they went over the wire, by a name that tells their order. Raises FootageError."""
    return {f"{alarm_id}-{number:03d}": data for number, data in enumerate(footage.store.told(alarm_id), start=1)}


def write_pack(
    footage: Footage,
    items: Sequence[pack.Item],
    target: Path,
    *,
    pack_id: str,
    messages: Mapping[str, bytes] | None = None,
) -> int:
    """Write the pack; it takes its name only when it is whole and durable. Returns its size in bytes.

    Raises CommandFailed where there is nothing to pack or it would pass 4 GiB, FootageError where the disk refuses.
    """
    packed = [*(item.manifest for item in items), *(messages or {}).values()]
    if not packed:
        raise CommandFailed("there is no sealed footage of it on this node; check alarm, camera and time")
    numbers = footage.store.link_numbers([hashlib.sha256(data).hexdigest() for data in packed])
    if len(numbers) < len(packed) or numbers[-1] - numbers[0] >= MAX_LINKS:
        raise CommandFailed("the items are not in one stretch of the chain; ask for a shorter time range")
    links = footage.store.links(numbers[0], numbers[-1])
    sealer = footage.sealer
    request = pack.Request(
        pack_id=pack_id,
        site_id=sealer.site_id,
        node_id=sealer.node_id,
        packed_at_ms=max(0, footage.clock.wall_ms()),
        items=items,
        links=links,
        head=pack.chain_range(links),
        messages=messages or {},
    )
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            size = pack.write(file, request, sealer.key, sealer.second)
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise footage_error(target, error) from None
    return size


def _item(sealed: bytes | None, folder: Path) -> pack.Item:
    if sealed is None:
        raise CommandFailed(f"{folder}: has no manifest; it was never sealed")
    manifest = msgspec.json.decode(msgspec.json.decode(sealed, type=Envelope).body, type=Manifest)
    return pack.Item(item_id=manifest.item_id, manifest=sealed, files={f.name: folder / f.name for f in manifest.files})
