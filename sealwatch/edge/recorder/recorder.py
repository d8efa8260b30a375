"""The part that records one camera: takes packets, writes segments, makes clips, and knows what is missing."""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from sealwatch.base.clock import Clock
from sealwatch.contract.codes import Phase
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.ports import AlarmDraft, Sink
from sealwatch.edge.recorder import clips, coverage, ring
from sealwatch.edge.recorder.clips import ClipJob, ClipRules
from sealwatch.edge.recorder.coverage import Coverage, GapBegan, GapEnded
from sealwatch.edge.recorder.footage import Footage, Running
from sealwatch.edge.recorder.gate import Gate, Mode
from sealwatch.edge.recorder.keeping import tidy
from sealwatch.edge.recorder.media import MediaPacket, Template
from sealwatch.edge.recorder.segment import FootageError
from sealwatch.edge.recorder.series import PowerSeries
from sealwatch.edge.recorder.store import Segment
from sealwatch.edge.recorder.tap import Begin, End, Lost, QueueTap, Unusable
from sealwatch.edge.recorder.telling import gap_draft

logger = logging.getLogger(__name__)

PUMP_EVERY_S: Final = 0.25
SYNC_EVERY_S: Final = 10.0  # what a power cut may cost, on top of the fragment in memory
RETRY_S: Final = 5.0
TIDY_EVERY_S: Final = 60.0
CLOCK_STEP_S: Final = 2.0
MAX_SEGMENT_BYTES: Final = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderRules:
    """How a camera is recorded."""

    mode: Mode = "continuous"
    segment_s: float = 60.0
    target_days: float = 30.0
    clip: ClipRules = field(default_factory=ClipRules)
    limits: ring.Limits
    clips_bytes: int


class CameraRecorder:
    """The `Part` that records one camera. `tap` goes to the owner of the camera's connection."""

    def __init__(
        self,
        camera_id: str,
        open_footage: Callable[[], Footage],
        sink: Sink,
        clock: Clock,
        rules: RecorderRules,
        *,
        power: PowerSeries | None = None,
        tap: QueueTap | None = None,
    ) -> None:
        """`open_footage` is tried until it succeeds: a disk that is away must not stop the node."""
        self._camera_id, self._open_footage, self._sink, self._clock = camera_id, open_footage, sink, clock
        self._footage: Footage
        self._rules, self._power = rules, power
        self.tap = tap or QueueTap(clock)
        self._gate = Gate(rules.mode, pre_s=rules.clip.pre_s)
        self._drafts: deque[AlarmDraft] = deque(maxlen=1000)
        self._template: Template | None = None
        self._running: Running | None = None
        self._jobs: dict[str, ClipJob] = {}
        self._coverage = Coverage(kept_s=clock.monotonic_s(), kept_ms=clock.wall_ms())
        self._kept_any = False
        self._cause = "no_packets"
        self._trouble = ""
        self._retry_s = self._synced_s = self._tidied_s = float("-inf")
        self._recovered = False
        self._gap_id = ""
        self._earlier: Segment | None = None
        self._torn: list[tuple[int, str]] = []
        self._numbers: dict[str, float] = {}

    @property
    def camera_id(self) -> str:
        return self._camera_id

    @property
    def part_id(self) -> str:
        return f"recorder-{self._camera_id}"[:64]

    def observe(self, draft: AlarmDraft) -> None:
        """See an alarm pass by. Callable from any thread; returns at once."""
        self._drafts.append(draft)

    def run(self, stop: threading.Event) -> None:
        """Record until `stop` is set; then close the running segment properly."""
        while not stop.wait(PUMP_EVERY_S):  # in batches: waking for every packet costs more than writing it
            self.pump()
        self.pump()
        self._attempt(self._close)

    def pump(self) -> None:
        """Do everything that is due: packets, alarms, clips, gaps, ring."""
        if not self._recovered and self._clock.monotonic_s() >= self._retry_s:
            self._attempt(self._recover)
        if not self._recovered:
            self.tap.take()  # without an index there is nowhere to put them
            self._watch_coverage()
            return
        for event in self.tap.take():
            self._handle(event)
        while self._drafts:
            self._alarm(self._drafts.popleft())
        self._tick()

    # -- packets -----------------------------------------------------------------------------------------------------

    def _handle(self, event: Begin | MediaPacket | End | Lost | Unusable) -> None:
        match event:
            case MediaPacket():
                self._packet(event)
            case Begin(template):
                self._attempt(self._close)
                self._gate.forget()
                self._template, self._cause = template, "no_packets"
            case End():
                self._attempt(self._close)
                self._cause = "no_packets"
            case Lost(packets):
                self._cause = "disk_slow"
                self._attempt(self._close)
                logger.warning("camera %s: the disk does not keep up; %d packets are lost", self._camera_id, packets)
            case Unusable(why):
                self._cause = "not_recordable"
                logger.warning("camera %s is not recorded: %s", self._camera_id, why)

    def _packet(self, packet: MediaPacket) -> None:
        for one in self._gate.take(packet, wanted=bool(self._jobs)):
            if not self._write(one):
                return
        self._cause = "no_packets"
        self._kept(packet)

    def _kept(self, packet: MediaPacket) -> None:
        if not self._kept_any:
            self._kept_any = True
            self._first_gap(packet)
        self._coverage, ended = coverage.kept(self._coverage, now_s=packet.monotonic_s, now_ms=packet.wall_ms)
        if ended is not None:
            self._tell_gap(ended)

    def _write(self, packet: MediaPacket) -> bool:
        """Whether the packet is in a file."""
        if self._running is not None and packet.key and self._rotation_due(self._running, packet):
            self._attempt(self._close)
        if self._running is None and (not packet.key or packet.monotonic_s < self._retry_s):
            return False
        return self._attempt(lambda: self._append(packet))

    def _append(self, packet: MediaPacket) -> None:
        if self._running is None:
            if self._template is None:
                return
            self._running = self._footage.open_segment(self._camera_id, self._template, packet)
            self._synced_s = packet.monotonic_s
        self._running.refine(packet)
        self._running.writer.write(packet)
        if packet.monotonic_s - self._synced_s >= SYNC_EVERY_S:
            self._synced_s = packet.monotonic_s
            self._running.writer.sync()

    def _rotation_due(self, running: Running, packet: MediaPacket) -> bool:
        elapsed_s = packet.monotonic_s - running.arrived_s
        stepped_s = abs((packet.wall_ms - running.arrived_at_ms) / 1000 - elapsed_s)
        return (
            elapsed_s >= self._rules.segment_s
            or stepped_s > CLOCK_STEP_S  # the clock was set: the next file gets a right label
            or running.writer.size_bytes > MAX_SEGMENT_BYTES
        )

    def _close(self) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        if running.writer.failed:
            running.writer.abandon()
            self._footage.salvage(running.id, why=self._trouble or "disk_error")
        elif running.writer.packets == 0:
            running.writer.abandon()
            self._footage.salvage(running.id, why="empty")
        else:
            self._footage.close_segment(running)

    # -- alarms and clips --------------------------------------------------------------------------------------------

    def _alarm(self, draft: AlarmDraft) -> None:
        now_s, now_ms = self._clock.monotonic_s(), self._clock.wall_ms()
        if clips.wants_clip(draft, self._camera_id):
            job = clips.begin(
                draft,
                self._camera_id,
                boot_id=self._footage.sealer.boot_id,
                now_s=now_s,
                now_ms=now_ms,
                rules=self._rules.clip,
            )
            self._jobs[job.clip_id] = job
            self._attempt(lambda: self._footage.want(job, draft.snapshot_jpeg))
        if draft.phase is Phase.END:
            for job in [j for j in self._jobs.values() if j.alarm_id == draft.alarm_id and j.to_s is None]:
                self._update(clips.end(job, now_s=now_s, rules=self._rules.clip))

    def _update(self, job: ClipJob) -> None:
        self._jobs[job.clip_id] = job
        self._attempt(lambda: self._footage.want(job))

    def _make_due(self) -> None:
        now_s = self._clock.monotonic_s()
        for job in list(self._jobs.values()):
            here, following = clips.split(job, now_s=now_s, rules=self._rules.clip)
            if here is not job:
                self._update(here)
            if following is not None:
                self._update(following)
            verdict = clips.due(here, now_s=now_s, kept_s=self._coverage.kept_s, rules=self._rules.clip)
            if verdict in ("complete", "no_more_footage") and now_s >= self._retry_s:
                self._make(here)

    def _make(self, job: ClipJob) -> None:
        def work() -> None:
            try:
                made = self._footage.make_clip(job, self._power)
            except FootageError as error:
                if error.reason != "stream_error":
                    raise
                made = None  # trying again would fail again
                self._footage.store.fail_clip(job.clip_id, self._clock.wall_ms())
            del self._jobs[job.clip_id]
            if made is None:
                logger.warning("clip %s: there is no usable footage of its time", job.clip_id)

        if self._attempt(work) and not self._jobs and self._rules.mode == "events":
            self._attempt(self._close)

    # -- time passes -------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_s = self._clock.monotonic_s()
        self._make_due()
        if self._torn and not self._trouble:
            torn, self._torn = self._torn, []
            for segment_id, why in torn:
                self._attempt(functools.partial(self._footage.salvage, segment_id, why=why))
        self._watch_coverage()
        if now_s - self._tidied_s >= TIDY_EVERY_S:
            self._tidied_s = now_s
            self._attempt(self._tidy)

    def _watch_coverage(self) -> None:
        now_s = self._clock.monotonic_s()
        self._coverage, began = coverage.missing(self._coverage, now_s=now_s, reason=self._trouble or self._cause)
        if began is not None:
            self._tell_gap(began)

    def _tidy(self) -> None:
        running = self._running
        if running is not None:
            self._footage.store.grown(
                running.id, length_s=running.writer.length_s, size_bytes=running.writer.size_bytes
            )
        removed = tidy(self._footage, self._rules.limits, clips_bytes=self._rules.clips_bytes)
        below = sum(1 for r in removed if r.reason == "room_below_target")
        if below:
            logger.warning("footage: %d files went before their target of days; fit a larger disk", below)
        self._numbers = self._measure(below)

    def _measure(self, below: int) -> dict[str, float]:
        store = self._footage.store
        mine, all_of_it = _per_day(store.written_bytes(self._camera_id)), _per_day(store.written_bytes())
        numbers = {
            "bytes_per_day": mine or 0.0,
            "held_bytes": float(store.held_bytes(self._camera_id)),
            "target_days": self._rules.target_days,
            "removed_below_target": float(below),
        }
        reach_days = ring.reach_days(self._rules.limits.max_bytes, all_of_it or 0.0)
        if reach_days is not None:
            numbers["reach_days"] = round(reach_days, 1)
        reach = store.reach(self._camera_id)
        if reach is not None:
            numbers["oldest_age_days"] = round((self._clock.wall_ms() - reach[0].started_at_ms) / 86_400_000, 2)
        return numbers

    def _recover(self) -> None:
        self._footage = self._open_footage()
        lost = self._footage.ensure_recovered()
        for job, _ in self._footage.wanted(self._camera_id):
            if job.boot_id != self._footage.sealer.boot_id:  # its time has passed: cut what there is
                self._footage.make_clip(msgspec.structs.replace(job, cut_short="restart"), self._power)
        reach = self._footage.store.reach(self._camera_id)
        self._earlier = reach[1] if reach is not None else None
        self._recovered = True
        for segment in lost:
            self._tell_removed(segment)

    def _attempt(self, work: Callable[[], object]) -> bool:
        """Do something with the disk; where it refuses, keep the reason, say so once, and try again later."""
        try:
            work()
        except FootageError as error:
            self._refused(error)
            return False
        if self._trouble and self._clock.monotonic_s() >= self._retry_s:
            logger.info("camera %s: footage is written again", self._camera_id)
            self._trouble = ""
        return True

    def _refused(self, error: FootageError) -> None:
        if error.reason != self._trouble:
            logger.error("camera %s: %s", self._camera_id, error)
        self._trouble = error.reason
        self._retry_s = self._clock.monotonic_s() + RETRY_S
        running, self._running = self._running, None
        if running is not None:
            running.writer.abandon()
            self._torn.append((running.id, error.reason))  # what is whole in it is sealed as soon as the disk works
        if error.reason == "disk_full":
            self._tidied_s = float("-inf")  # make room at once

    # -- what people are told ----------------------------------------------------------------------------------------

    def _first_gap(self, packet: MediaPacket) -> None:
        """Footage between the last life of the agent and now, which nobody was there to miss."""
        earlier = [
            s for s in self._footage.store.segments(self._camera_id) if s.boot_id != self._footage.sealer.boot_id
        ]
        if earlier and packet.wall_ms - earlier[-1].ended_at_ms > coverage.ON_DELAY_S * 1000:
            gap = GapBegan(earlier[-1].ended_at_ms, "node_was_off")
            self._tell_gap(gap)
            self._tell_gap(GapEnded(gap.from_ms, packet.wall_ms, gap.reason))

    def _tell_gap(self, gap: GapBegan | GapEnded) -> None:
        if isinstance(gap, GapBegan):
            self._gap_id = f"gap-{self._camera_id[:32]}-{gap.from_ms}"
            self._note(lambda: self._footage.store.begin_gap(self._camera_id, gap.reason, gap.from_ms))
            self._sink.alarm(self._draft(Phase.START, gap.from_ms, gap.reason))
            return
        self._note(lambda: self._footage.store.end_gap(self._camera_id, gap.to_ms))
        missing_s = (gap.to_ms - gap.from_ms) / 1000
        self._sink.alarm(self._draft(Phase.END, gap.from_ms, gap.reason, missing_s))

    def _note(self, work: Callable[[], object]) -> None:
        """Write into the index, where there is one; the alarm goes out in any case."""
        if self._recovered:
            self._attempt(work)

    def _tell_removed(self, segment: Segment) -> None:
        self._gap_id = f"gap-{self._camera_id[:32]}-{segment.started_at_ms}"
        for phase in (Phase.START, Phase.END):
            self._sink.alarm(self._draft(phase, segment.started_at_ms, "file_removed", segment.length_s))

    def _draft(self, phase: Phase, from_ms: int, reason: str, missing_s: float | None = None) -> AlarmDraft:
        return gap_draft(
            self._camera_id,
            self._gap_id,
            phase,
            from_ms=from_ms,
            now_ms=self._clock.wall_ms(),
            reason=reason,
            missing_s=missing_s,
        )

    def health(self) -> PartHealth:
        """`ok` only while footage is really kept and the target of days is within reach."""
        state = self._coverage
        age_s = self._clock.monotonic_s() - state.kept_s
        reason = "footage_kept" if self._rules.mode == "continuous" else "buffer_kept"
        reach = self._numbers.get("reach_days")
        if self._trouble:
            reason = self._trouble
        elif age_s > coverage.ON_DELAY_S or state.missing_since_ms is not None:
            reason = f"footage_{state.reason or self._cause}"
        elif not self._kept_any:
            reason = "no_footage_yet"
        elif reach is not None and reach < self._rules.target_days:
            reason = "target_days_out_of_reach"
        numbers = {**self._numbers, "newest_age_s": round(age_s, 1), "queue_bytes": float(self.tap.waiting_bytes)}
        return PartHealth(
            part_id=self.part_id,
            kind="recorder",
            ok=reason in ("footage_kept", "buffer_kept"),
            reason=reason,
            evidence_at_ms=state.kept_ms if self._kept_any else None,
            numbers=numbers,
        )


def _per_day(by_day: Mapping[str, int]) -> float | None:
    """Bytes of the last whole day; None before there is one. `by_day` begins with the day that still runs."""
    days = list(by_day.values())
    return float(days[1]) if len(days) > 1 else None
