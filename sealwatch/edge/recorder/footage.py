"""The footage folder of a node: segments and clips on disk, their seals, and what happens after a kill.

Steps of a segment: ``opened`` (row) - file grows - ``closed`` (file durable) - ``sealed`` (manifest, link and row in
one commit). Of a clip: ``wanted`` (row) - ``cut`` - ``files`` - ``moved`` (folder has its name) - ``sealed``. Killed
anywhere, the next start ends in the same state as if nothing had happened, or says in the manifest what did.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from sealwatch.base.clock import Clock
from sealwatch.contract.codes import ClockQuality, Level
from sealwatch.edge.recorder.clips import ClipJob
from sealwatch.edge.recorder.cut import Cut, Source, cut
from sealwatch.edge.recorder.media import MediaPacket, Template
from sealwatch.edge.recorder.sealing import Described, Sealer
from sealwatch.edge.recorder.segment import (
    SegmentWriter,
    footage_error,
    length_of,
    sync_folder,
    trim,
)
from sealwatch.edge.recorder.series import PowerSeries, as_csv
from sealwatch.edge.recorder.store import Segment, Store, StoredClip, add_written
from sealwatch.evidence import digests
from sealwatch.evidence.digests import Digests
from sealwatch.evidence.documents import Detector, FileEntry

logger = logging.getLogger(__name__)
INDEX_FILE: Final = "footage.db"
CLIPS: Final = "clips"
LATE_START_S: Final = 10.0  # more than this is not a connection that starts up, but a stream whose time jumped
_REBUILT: Final = b"the footage index was damaged and built again from the files"
_MP4: Final = "video/mp4"
_MEDIA: Final = {".mp4": _MP4, ".jpg": "image/jpeg", ".csv": "text/csv"}


def _nothing(_step: str) -> None:
    """A node does nothing between steps; tests pull the plug here."""


@dataclass(slots=True)
class Running:
    """A segment that is being written."""

    id: int
    camera_id: str
    codec: str
    started_at_ms: int
    started_s: float
    writer: SegmentWriter
    first_dts_s: float
    arrived_at_ms: int
    arrived_s: float

    def refine(self, packet: MediaPacket) -> None:
        """Learn when the file really begins: a new connection hands over its first seconds all at once and late."""
        started_s = packet.monotonic_s - (packet.dts_s - self.first_dts_s)
        if self.arrived_s - LATE_START_S < started_s < self.started_s:
            self.started_at_ms = self.arrived_at_ms - int((self.arrived_s - started_s) * 1000)
            self.started_s = started_s


class Footage:
    """Shared by the recorders of all cameras. Callable from any thread; methods raise FootageError."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        sealer: Sealer,
        clock: Clock,
        *,
        sm3: bool = False,
        step: Callable[[str], None] = _nothing,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self.folder, self.store, self.sealer = folder, store, sealer
        self.clock, self._sm3, self._step, self._free_bytes = clock, sm3, step, free_bytes
        self._recovery, self._recovered = threading.Lock(), False

    @property
    def free_bytes(self) -> int:
        """Room left on the disk. Raises FootageError."""
        try:
            return self._free_bytes(self.folder)
        except OSError as error:
            raise footage_error(self.folder, error) from None

    # -- segments ----------------------------------------------------------------------------------------------------

    def open_segment(self, camera_id: str, template: Template, first: MediaPacket) -> Running:
        """Begin a file with `first`, which must be a key frame."""
        name = f"{first.wall_ms:013d}_{self.sealer.boot_id}_{int(first.monotonic_s * 1000)}.mp4"
        path = self.folder / camera_id / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise footage_error(path.parent, error) from None
        segment_id = self.store.open_segment(
            camera_id,
            f"{camera_id}/{name}",
            boot_id=self.sealer.boot_id,
            codec=template.codec,
            clock_quality=self.sealer.clock_state().quality.value,
            at_ms=first.wall_ms,
            at_s=first.monotonic_s,
        )
        self._step("segment.opened")
        writer = SegmentWriter(path, template, sm3=self._sm3)
        return Running(
            id=segment_id,
            camera_id=camera_id,
            codec=template.codec,
            started_at_ms=first.wall_ms,
            started_s=first.monotonic_s,
            writer=writer,
            first_dts_s=first.dts_s,
            arrived_at_ms=first.wall_ms,
            arrived_s=first.monotonic_s,
        )

    def close_segment(self, running: Running) -> None:
        """Make the file durable, hash it, sign it, chain it."""
        found = running.writer.close()
        self._step("segment.closed")
        self._seal_segment(
            running.id,
            running.camera_id,
            running.writer.path,
            codec=running.codec,
            started_at_ms=running.started_at_ms,
            started_s=running.started_s,
            length_s=running.writer.length_s,
            found=found,
        )
        self._step("segment.sealed")

    def salvage(self, segment_id: int, *, why: str) -> bool:
        """Close what an interruption left open: up to the last whole fragment. False where there is nothing in it."""
        segment = next((s for s in self.store.segments(state="open") if s.id == segment_id), None)
        if segment is None:
            return False
        path = self.folder / segment.path
        if not path.exists() or trim(path) == 0:
            self.remove([segment])
            return False
        try:
            length_s, _, codec = length_of(path)
        except ValueError:
            self.remove([segment])
            return False
        self._seal_segment(
            segment.id,
            segment.camera_id,
            path,
            codec=codec,
            started_at_ms=segment.started_at_ms,
            started_s=segment.started_s,
            length_s=length_s,
            found=self._digests(path),
            why=why,
        )
        return True

    def _seal_segment(
        self,
        segment_id: int,
        camera_id: str,
        path: Path,
        *,
        codec: str,
        started_at_ms: int,
        started_s: float,
        length_s: float,
        found: Digests,
        why: str = "",
    ) -> None:
        sealed = self.sealer.manifest(
            Described(
                item_id=f"{camera_id[:24]}-{started_at_ms}-{segment_id}",
                kind="segment",
                source_id=camera_id,
                from_ms=started_at_ms,
                to_ms=started_at_ms + int(length_s * 1000),
                encoding=codec,
                files=[_entry(path.name, _MP4, found)],
                later=bool(why),
                notes={"closed_after": why} if why else {},
            )
        )
        with self.store.transaction() as db:
            self.sealer.link(db, "manifest", hashlib.sha256(sealed).hexdigest())
            db.execute(
                "UPDATE segment SET state = 'closed', started_at_ms = ?, started_s = ?, length_s = ?, size_bytes = ?,"
                " manifest = ? WHERE id = ?",
                (started_at_ms, started_s, length_s, found.size_bytes, sealed, segment_id),
            )
            add_written(db, camera_id, started_at_ms, found.size_bytes)

    def remove(self, segments: Sequence[Segment]) -> None:
        """Delete files of footage and forget them."""
        for segment in segments:
            try:
                (self.folder / segment.path).unlink(missing_ok=True)
            except OSError as error:
                raise footage_error(self.folder / segment.path, error) from None
        self.store.forget_segments([s.id for s in segments])

    def _digests(self, path: Path) -> Digests:
        try:
            return digests.of_file(path, sm3=self._sm3)
        except OSError as error:
            raise footage_error(path, error) from None

    # -- after a start -----------------------------------------------------------------------------------------------

    def ensure_recovered(self) -> list[Segment]:
        """`recover`, once for all cameras; whoever comes later finds it done."""
        with self._recovery:
            lost = [] if self._recovered else self.recover()
            self._recovered = True
        return lost

    def recover(self) -> list[Segment]:
        """Finish what was interrupted; files that vanished while nobody looked are returned and forgotten."""
        self._make_folder()
        if self.store.rebuilt:
            self.rebuild()
        for segment in self.store.segments(state="open"):
            if segment.boot_id == self.sealer.boot_id:
                continue  # being written right now
            kept = self.salvage(segment.id, why="restart")
            logger.info("footage %s was interrupted; %s", segment.path, "its whole part is kept" if kept else "empty")
        return self.audit()

    def audit(self) -> list[Segment]:
        """Closed segments whose file is gone or has another size; they are forgotten, and missing from now on."""
        lost = [s for s in self.store.segments(state="closed") if _size(self.folder / s.path) != s.size_bytes]
        self.store.forget_segments([s.id for s in lost])
        return lost

    def rebuild(self) -> None:
        """Fill an index that had to be begun anew from the files themselves."""
        with self.store.transaction() as db:
            self.sealer.link(db, "restart", hashlib.sha256(_REBUILT).hexdigest())
        count = 0
        for path in sorted(self.folder.glob("*/*.mp4")):
            parts = path.stem.split("_")
            if len(parts) != 3 or not (parts[0].isdigit() and parts[2].isdigit()):
                continue
            segment_id = self.store.open_segment(
                path.parent.name,
                f"{path.parent.name}/{path.name}",
                boot_id=parts[1],
                codec="",
                clock_quality=ClockQuality.UNSYNCHRONISED.value,
                at_ms=int(parts[0]),
                at_s=int(parts[2]) / 1000,
            )
            count += self.salvage(segment_id, why="index_damaged")
        clips = sum(self._readopt_clip(folder) for folder in sorted((self.folder / CLIPS).iterdir()) if folder.is_dir())
        logger.warning("%d files of footage and %d clips are in the new index", count, clips)

    def _readopt_clip(self, folder: Path) -> int:
        """Seal a clip anew whose row was lost; what only the row knew (zone, figures, times) stays unknown."""
        files = sorted(path for path in folder.iterdir() if path.is_file())
        if not files:
            return 0
        alarm_and_camera = folder.name.rpartition("-")[0]
        cameras = [p.name for p in self.folder.iterdir() if p.is_dir() and p.name != CLIPS]
        camera_id = next((c for c in cameras if alarm_and_camera.endswith(f"-{c[:24]}")), "unknown")
        at_ms = int(min(path.stat().st_mtime for path in files) * 1000)
        job = ClipJob(
            clip_id=folder.name,
            alarm_id=alarm_and_camera.removesuffix(f"-{camera_id[:24]}"),
            camera_id=camera_id,
            boot_id=self.sealer.boot_id,
            kind="unknown",
            level=Level.YELLOW,
            from_s=0.0,
            from_ms=at_ms,
            to_s=0.0,
            cut_short="index_damaged",
        )
        self.store.want_clip(job.clip_id, camera_id, msgspec.json.encode(job), None)
        entries = [_entry(path.name, _MEDIA.get(path.suffix, _MP4), self._digests(path)) for path in files]
        self._seal_clip(job, None, entries)
        return 1

    def _make_folder(self) -> None:
        try:
            (self.folder / CLIPS).mkdir(parents=True, exist_ok=True)
            for leftover in (self.folder / CLIPS).glob(".*.part"):
                shutil.rmtree(leftover)
        except OSError as error:
            raise footage_error(self.folder, error) from None

    # -- clips -------------------------------------------------------------------------------------------------------

    def want(self, job: ClipJob, snapshot: bytes | None = None) -> None:
        """Note a clip durably."""
        self.store.want_clip(job.clip_id, job.camera_id, msgspec.json.encode(job), snapshot)
        self._step("clip.wanted")

    def wanted(self, camera_id: str) -> list[tuple[ClipJob, StoredClip]]:
        """Clips that are still to be made."""
        rows = self.store.clips(camera_id, state="wanted")
        return [(msgspec.json.decode(row.job, type=ClipJob), row) for row in rows]

    def make_clip(self, job: ClipJob, power: PowerSeries | None = None) -> Cut | None:
        """Cut, add snapshot and power series, seal. None where there is no footage at all; the row says so."""
        row = next((r for r in self.store.clips(job.camera_id, state="wanted") if r.id == job.clip_id), None)
        if row is None:
            return None
        part = self.folder / CLIPS / f".{job.clip_id}.part"
        final = self.folder / CLIPS / job.clip_id
        try:
            for old in (part, final):  # left by an interruption: made again from the same footage
                if old.exists():
                    shutil.rmtree(old)
            part.mkdir(parents=True)
        except OSError as error:
            raise footage_error(part, error) from None
        to_s = job.to_s if job.to_s is not None else float("inf")
        made = cut(self._sources(job, to_s), part, from_s=job.from_s, to_s=to_s, sm3=self._sm3)
        self._step("clip.cut")
        if made is None and row.snapshot is None:
            part.rmdir()
            self.store.fail_clip(job.clip_id, self.clock.wall_ms())
            return None
        files = self._clip_files(job, row, made, part, power)
        self._step("clip.files")
        try:
            part.rename(final)
            sync_folder(final.parent)
        except OSError as error:
            raise footage_error(final, error) from None
        self._step("clip.moved")
        self._seal_clip(job, made, files)
        self._step("clip.sealed")
        return made

    def _sources(self, job: ClipJob, to_s: float) -> list[Source]:
        segments = self.store.segments(job.camera_id, boot_id=job.boot_id)
        # The running segment's length in the index lags; one that is open may reach anywhere.
        reach = [s for s in segments if s.started_s < to_s and (s.state == "open" or s.ended_s > job.from_s - 60.0)]
        return [Source(self.folder / s.path, s.started_s) for s in reach]

    def _clip_files(
        self, job: ClipJob, row: StoredClip, made: Cut | None, part: Path, power: PowerSeries | None
    ) -> list[FileEntry]:
        files = [_entry(p.path.name, _MP4, p.digests) for p in (made.pieces if made is not None else ())]
        extra: list[tuple[str, str, bytes]] = []
        if row.snapshot is not None:
            extra.append(("snapshot.jpg", "image/jpeg", row.snapshot))
        from_ms, to_ms = _window_ms(job, made)
        samples = power.between(from_ms, to_ms) if power is not None else []
        if samples:
            extra.append(("power.csv", "text/csv", as_csv(samples)))
        for name, media_type, data in extra:
            try:
                with (part / name).open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                sync_folder(part)
            except OSError as error:
                raise footage_error(part / name, error) from None
            files.append(_entry(name, media_type, digests.of_chunks([data], sm3=self._sm3)))
        return files

    def _seal_clip(self, job: ClipJob, made: Cut | None, files: list[FileEntry]) -> None:
        from_ms, to_ms = _window_ms(job, made)
        notes = {"reason": job.reason} if job.reason else {}
        if job.asked_by:
            notes["asked_by"] = job.asked_by
        if job.cut_short:
            notes["cut_short"] = job.cut_short
        if made is None and job.cut_short != "index_damaged":
            notes["footage"] = "none"
        elif made is not None and made.gap_s > 0:
            notes["gap_s"] = f"{made.gap_s:.1f}"
        sealed = self.sealer.manifest(
            Described(
                item_id=job.clip_id,
                kind="clip",
                source_id=job.camera_id,
                from_ms=from_ms,
                to_ms=to_ms,
                encoding=made.pieces[0].codec if made is not None else "",
                files=files,
                later=bool(job.cut_short),
                alarm_id=job.alarm_id,
                zone=job.zone,
                detector=Detector(name=job.kind, thresholds=job.numbers),
                notes=notes,
            )
        )
        size = sum(f.size_bytes for f in files)
        with self.store.transaction() as db:
            self.sealer.link(db, "manifest", hashlib.sha256(sealed).hexdigest())
            db.execute(
                "UPDATE clip SET state = 'sealed', manifest = ?, size_bytes = ?, closed_at_ms = ?, snapshot = NULL"
                " WHERE id = ?",
                (sealed, size, self.clock.wall_ms(), job.clip_id),
            )
            add_written(db, job.camera_id, from_ms, size)


def _window_ms(job: ClipJob, made: Cut | None) -> tuple[int, int]:
    """The clip's window in wall time, by the label of the job and monotonic lengths."""
    if made is None:
        length_s = (job.to_s - job.from_s) if job.to_s is not None else 0.0
        return job.from_ms, job.from_ms + int(length_s * 1000)
    from_ms = job.from_ms + int((made.from_s - job.from_s) * 1000)
    return from_ms, from_ms + int((made.to_s - made.from_s) * 1000)


def _entry(name: str, media_type: str, found: Digests) -> FileEntry:
    return FileEntry(name=name, media_type=media_type, size_bytes=found.size_bytes, sha256=found.sha256, sm3=found.sm3)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
