"""When a clip begins, how far it reaches and when it can be cut: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.edge.ports import AlarmDraft
from sealwatch.edge.recorder.segment import FRAGMENT_S

LATE_S: Final = 120.0  # a draft that tells of something older than this is stamped wrongly
_NO_CLIP: Final = frozenset({AlarmKind.NODE_FAULT, AlarmKind.METER_FAULT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRules:
    """How much around an event, and how long one clip may get before the next one goes on."""

    pre_s: float = 10.0
    post_s: float = 20.0
    max_s: float = 600.0
    max_parts: int = 6  # a standing alarm is followed for this many clips, then the footage in the ring must do
    give_up_s: float = 30.0  # after the end, when no more footage comes


class ClipJob(msgspec.Struct, frozen=True, kw_only=True):
    """A clip that is to be made. Times are monotonic, of the boot they name; `from_ms` labels `from_s`."""

    clip_id: str
    part: int = 1
    alarm_id: str
    camera_id: str
    boot_id: str
    kind: str
    level: Level
    zone: str = ""
    source_id: str = ""
    reason: str = ""
    score: float = 0.0
    numbers: dict[str, float] = {}
    from_s: float
    from_ms: int
    to_s: float | None = None
    cut_short: str = ""
    asked_by: str = ""


def wants_clip(draft: AlarmDraft, camera_id: str) -> bool:
    """Whether this alarm is worth a clip of this camera: its own ones, and urgent ones of a meter or input."""
    if draft.phase is not Phase.START or draft.kind in _NO_CLIP:
        return False
    return draft.source_id == camera_id or (
        draft.level in (Level.RED, Level.ORANGE)
        and draft.kind in (AlarmKind.POWER_STEP, AlarmKind.HOIST_LIKE_CYCLE, AlarmKind.POWER_ANOMALY, AlarmKind.INPUT)
    )


def begin(draft: AlarmDraft, camera_id: str, *, boot_id: str, now_s: float, now_ms: int, rules: ClipRules) -> ClipJob:
    """The job of an alarm that has just started."""
    ago_s = min(LATE_S, max(0.0, (now_ms - draft.started_at_ms) / 1000))
    return ClipJob(
        clip_id=f"{draft.alarm_id[:32]}-{camera_id[:24]}-1",
        alarm_id=draft.alarm_id,
        camera_id=camera_id,
        boot_id=boot_id,
        kind=draft.kind,
        level=draft.level,
        zone=draft.zone,
        source_id=draft.source_id,
        reason=draft.reason,
        score=draft.score,
        numbers=dict(draft.numbers),
        from_s=now_s - ago_s - rules.pre_s,
        from_ms=now_ms - int((ago_s + rules.pre_s) * 1000),
    )


def end(job: ClipJob, *, now_s: float, rules: ClipRules) -> ClipJob:
    """The alarm has ended."""
    return msgspec.structs.replace(job, to_s=now_s + rules.post_s) if job.to_s is None else job


def split(job: ClipJob, *, now_s: float, rules: ClipRules) -> tuple[ClipJob, ClipJob | None]:
    """A clip that has become too long ends here, and the next one goes on from there."""
    if job.to_s is not None or now_s - job.from_s < rules.max_s:
        return job, None
    ended = msgspec.structs.replace(job, to_s=now_s)
    part = job.part + 1
    if part > rules.max_parts:
        return ended, None
    following = msgspec.structs.replace(
        job,
        clip_id=f"{job.clip_id.rpartition('-')[0]}-{part}",
        part=part,
        from_s=now_s,
        from_ms=job.from_ms + int((now_s - job.from_s) * 1000),
    )
    return ended, following


Due = Literal["event_goes_on", "footage_comes", "complete", "no_more_footage"]


def due(job: ClipJob, *, now_s: float, kept_s: float, rules: ClipRules) -> Due:
    """Whether it can be cut. `kept_s`: the last packet that was taken to disk."""
    if job.to_s is None:
        return "event_goes_on"
    if kept_s >= job.to_s + 2 * FRAGMENT_S + 0.5:  # the fragment that holds the end must be in the file
        return "complete"
    return "no_more_footage" if now_s >= job.to_s + rules.give_up_s else "footage_comes"
