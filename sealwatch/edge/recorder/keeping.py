"""The ring at work: what the limits no longer hold is removed, clips last."""

from __future__ import annotations

import logging
import shutil
from typing import Final

import msgspec

from sealwatch.contract.codes import ClockQuality
from sealwatch.edge.recorder import ring
from sealwatch.edge.recorder.clips import ClipJob
from sealwatch.edge.recorder.footage import CLIPS, Footage
from sealwatch.edge.recorder.segment import footage_error
from sealwatch.edge.recorder.store import Segment

logger = logging.getLogger(__name__)
LOOK_AT: Final = 200  # of each camera's oldest files; a month of footage is 43,000


def tidy(footage: Footage, limits: ring.Limits, *, clips_bytes: int) -> list[ring.Removal]:
    """Remove what the limits no longer hold; what went and why. Raises FootageError."""
    trusted = footage.sealer.clock_state().quality is not ClockQuality.UNSYNCHRONISED
    needed = [msgspec.json.decode(row.job, type=ClipJob) for row in footage.store.clips(state="wanted")]
    segments = {s.id: s for s in footage.store.oldest(LOOK_AT)}
    held = [
        ring.Held(
            s.id,
            s.camera_id,
            s.ended_at_ms,
            s.size_bytes,
            label_trusted=s.clock_quality != ClockQuality.UNSYNCHRONISED.value,
            protected=s.state == "open" or any(job_needs(job, s) for job in needed),
        )
        for s in segments.values()
    ]
    removals = ring.plan(
        held,
        limits,
        total_bytes=footage.store.held_bytes(),
        now_ms=footage.clock.wall_ms(),
        clock_trusted=trusted,
        free_bytes=footage.free_bytes,
    )
    footage.remove([segments[r.id] for r in removals])
    _tidy_clips(footage, clips_bytes)
    return removals


def _tidy_clips(footage: Footage, max_bytes: int) -> None:
    """Clips have room of their own; those that the service already has go first."""
    clips = [c for c in footage.store.clips() if c.state != "wanted"]
    over = sum(c.size_bytes for c in clips) - max_bytes
    gone = []
    for clip in sorted(clips, key=lambda c: not c.sent):  # stable: oldest first within each
        if over <= 0:
            break
        try:
            shutil.rmtree(footage.folder / CLIPS / clip.id)
        except FileNotFoundError:
            logger.info("the clip %s was gone already", clip.id)
        except OSError as error:
            raise footage_error(footage.folder / CLIPS / clip.id, error) from None
        gone.append(clip.id)
        over -= clip.size_bytes
    footage.store.forget_clips(gone)


def job_needs(job: ClipJob, segment: Segment) -> bool:
    """Whether a clip that is still to be made reaches into this segment."""
    return (
        job.camera_id == segment.camera_id
        and job.boot_id == segment.boot_id
        and segment.ended_s >= job.from_s - 60.0
        and (job.to_s is None or segment.started_s <= job.to_s)
    )
