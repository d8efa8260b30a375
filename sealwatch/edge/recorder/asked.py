"""The command `clip`: footage of a stretch of time that somebody asks for, cut, sealed and sent like an alarm's clip.

Arguments: ``camera``, ``from`` and ``to`` (ISO 8601 with an offset), ``asked_by``, which the service fills in and the
manifest keeps. Upload puts it behind red and orange alarms and keeps to the day's data budget.

Answers
  reason: cut (detail: the clips and the SHA-256 of their films) | unknown_camera | bad_time | too_long | not_yet
          | no_footage | and what the disk says (disk_full ...)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from sealwatch.base.clock import Clock
from sealwatch.contract.codes import Level
from sealwatch.contract.messages import Command
from sealwatch.edge.recorder.clips import ClipJob
from sealwatch.edge.recorder.footage import Footage
from sealwatch.edge.recorder.segment import FRAGMENT_S, FootageError
from sealwatch.edge.recorder.series import PowerSeries
from sealwatch.edge.recorder.store import Segment
from sealwatch.edge.uplink.commands import Answer
from sealwatch.evidence.documents import Envelope, Manifest

KIND: Final = "asked_for"
MOST_S: Final = 600.0
LATEST_S: Final = 2 * FRAGMENT_S + 1.0
"""What is newer than this may not be in a file yet."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of wall time, ms since 1970."""

    from_ms: int
    to_ms: int


def stretch(command: Command, now_ms: int) -> Stretch | Answer:
    """What is asked for, or why it can't be had."""
    found = []
    for name in ("from", "to"):
        given = command.arguments.get(name, "")
        try:
            moment = datetime.fromisoformat(given)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            return Answer(ok=False, reason="bad_time", detail=f"{name}={given}: write 2026-03-01T22:15:00+08:00")
        found.append(int(moment.timestamp() * 1000))
    from_ms, to_ms = found
    if from_ms >= to_ms:
        return Answer(ok=False, reason="bad_time", detail="it ends before it begins")
    if to_ms - from_ms > MOST_S * 1000:
        return Answer(ok=False, reason="too_long", detail=f"at most {MOST_S:.0f} s at a time")
    if to_ms > now_ms - LATEST_S * 1000:
        return Answer(ok=False, reason="not_yet", detail=f"the node's clock is at {now_ms} ms; ask a little later")
    return Stretch(from_ms, to_ms)


def jobs(wanted: Stretch, segments: Sequence[Segment], command: Command, camera_id: str) -> list[ClipJob]:
    """One job for each life of the agent that has footage of it: times inside a job are of one monotonic clock.

    `segments` are the camera's, oldest first; one that is still open may reach to the end of what is asked for.
    """
    touching: dict[str, list[Segment]] = {}
    for segment in segments:
        ends_ms = wanted.to_ms if segment.state == "open" else segment.ended_at_ms
        if segment.started_at_ms < wanted.to_ms and ends_ms >= wanted.from_ms and ends_ms > segment.started_at_ms:
            touching.setdefault(segment.boot_id, []).append(segment)
    found = []
    for number, (boot_id, of_boot) in enumerate(touching.items(), start=1):
        # The nearest label: where the clock was set in between, each file's own one is the right one.
        first, last = of_boot[0], of_boot[-1]
        begins_ms = max(wanted.from_ms, first.started_at_ms)
        from_s = first.started_s + (begins_ms - first.started_at_ms) / 1000
        found.append(
            ClipJob(
                clip_id=f"{command.command_id[:32]}-{camera_id[:24]}-{number}",
                part=number,
                alarm_id=command.command_id,
                camera_id=camera_id,
                boot_id=boot_id,
                kind=KIND,
                level=Level.YELLOW,
                source_id=camera_id,
                reason=KIND,
                asked_by=command.arguments.get("asked_by", "")[:100],
                from_s=from_s,
                from_ms=begins_ms,
                to_s=last.started_s + (wanted.to_ms - last.started_at_ms) / 1000,
            )
        )
    return found


class ClipCommand:
    """Carries the command out, on the thread of the caller."""

    def __init__(
        self, open_footage: Callable[[], Footage], camera_ids: Sequence[str], clock: Clock, power: PowerSeries
    ) -> None:
        self._open_footage, self._camera_ids, self._clock, self._power = open_footage, camera_ids, clock, power

    def __call__(self, command: Command) -> Answer:
        camera_id = command.arguments.get("camera", "")
        if camera_id not in self._camera_ids:
            there = ", ".join(self._camera_ids) or "none"
            return Answer(ok=False, reason="unknown_camera", detail=f"no camera '{camera_id}' is recorded; {there}")
        wanted = stretch(command, self._clock.wall_ms())
        if isinstance(wanted, Answer):
            return wanted
        try:
            return self._cut(command, wanted, camera_id)
        except FootageError as error:
            return Answer(ok=False, reason=error.reason, detail=str(error))

    def _cut(self, command: Command, wanted: Stretch, camera_id: str) -> Answer:
        footage = self._open_footage()
        made = []
        for job in jobs(wanted, footage.store.segments(camera_id), command, camera_id):
            footage.want(job)
            if footage.make_clip(job, self._power) is not None:
                made.append(f"{job.clip_id} {', '.join(_films(footage, job.clip_id))}")
        if not made:
            reach = footage.store.reach(camera_id)
            held = "none at all" if reach is None else f"{reach[0].started_at_ms} to {reach[1].ended_at_ms} ms"
            return Answer(ok=False, reason="no_footage", detail=f"there is none of that time; held: {held}")
        return Answer(ok=True, reason="cut", detail="; ".join(made))


def _films(footage: Footage, clip_id: str) -> list[str]:
    """SHA-256 of the films of a clip that was just sealed."""
    sealed = footage.store.manifest("clip", clip_id) or b""
    manifest = msgspec.json.decode(msgspec.json.decode(sealed, type=Envelope).body, type=Manifest)
    return [file.sha256 for file in manifest.files if file.media_type.startswith("video/")]
