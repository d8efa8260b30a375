"""A camera under watch: keeps the picture coming, turns decisions into alarms, and knows whether it really sees."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import Clock
from sealwatch.contract.codes import AlarmKind, Level, Phase, VideoFault
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Frame, FrameSource, Sink, SourceError
from sealwatch.edge.video import continuity, signal_loss
from sealwatch.edge.video.analyser import Analyser, Look, boxes_of
from sealwatch.edge.video.change_keep import MemorySurroundings, SurroundingsStore
from sealwatch.edge.video.change_map import Surroundings
from sealwatch.edge.video.continuity import Continuity
from sealwatch.edge.video.decisions import Decider, Decision, random_id
from sealwatch.edge.video.drafts import draft
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.ports import Demand, ObjectDetector, StageTimes
from sealwatch.edge.video.signal_loss import SignalState
from sealwatch.edge.video.snapshot import jpeg
from sealwatch.edge.video.source import open_source
from sealwatch.edge.video.suspicion import Suspicion
from sealwatch.edge.video.views import Keeping, MemoryViews, ViewError, ViewStore, due

logger = logging.getLogger(__name__)

SAMPLE_EVERY_S: Final = 20.0
RECONNECT_CAP_S: Final = 20.0
UNCHANGED_S: Final = 60.0  # a living sensor's noise changes the picture sooner than this
HANGS_S: Final = 45.0
"""A thread that neither got a picture nor was told why not for so long hangs in a driver or a library: connecting by
every transport, looking up a name and reading take less. It cannot be woken from here, so it is told (`health.faults`).
"""
_NOT_KEPT: Final = -1  # no revision of a view: what could not be written is due again
PICTURE_WITHIN_S: Final = 8.0  # idle cameras are decoded at key frames only, which may be seconds apart


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """What health is told from; replaced as a whole, so that any thread may read it."""

    state: str = "starting"
    changed_at_ms: int | None = None
    changed_s: float | None = None
    pictures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveView:
    """One picture for people: a JPEG without drawings, and what is seen in it.

    `boxes` are (box, label, score); `gate` is the named reason of the motion gate, `motion_ratio` the part of the
    picture that moves; `faults` are the codes of standing camera faults, `active` the zones where an alarm stands.
    """

    jpeg: bytes
    captured_at_ms: int
    boxes: tuple[tuple[Box, str, float], ...]
    gate: str
    motion_ratio: float
    faults: tuple[str, ...]
    active: tuple[str, ...]


@dataclass(slots=True)
class _Interval:
    """What one sample is made of."""

    began_s: float
    pictures: int = 0
    motion: float = 0.0
    motion_most: float = 0.0


class CameraWatcher:
    """The `Part` of one camera."""

    def __init__(
        self,
        camera: CameraSettings,
        detector: ObjectDetector,
        sink: Sink,
        clock: Clock,
        *,
        connect: Callable[[CameraSettings, Clock, StageTimes, Demand], FrameSource] = open_source,
        new_id: Callable[[], str] = random_id,
        views: ViewStore | None = None,
        surroundings: SurroundingsStore | None = None,
        suspicions: Sequence[Suspicion] = (),
    ) -> None:
        self._suspicions, self._doubter = tuple(suspicions), Decider(new_id)
        self._views = views if views is not None else MemoryViews()
        self._surroundings = surroundings if surroundings is not None else MemorySurroundings()
        self._kept_revision = 0
        self._told_unkept = False
        self._camera, self._detector, self._sink, self._clock = camera, detector, sink, clock
        self._connect, self._new_id = connect, new_id
        self.times = StageTimes()
        self._demand = Demand()
        self._evidence = _Evidence()
        self._turned_s: float | None = None  # while it runs
        self._continuity = Continuity()
        self._told_down = False
        self._signal_alarm_id = ""
        self._asked: deque[queue.SimpleQueue[LiveView]] = deque()
        self._wanted = camera

    @property
    def part_id(self) -> str:
        return self._camera.camera_id

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set, reconnecting for ever. Raises SettingsError for a secret that is not there."""
        self._turned_s = self._clock.monotonic_s()
        try:
            self._watch(stop)
        finally:
            self._turned_s = None

    def _watch(self, stop: threading.Event) -> None:
        self._camera = self._wanted
        analyser, kept = self._analyser()
        signal = SignalState(quiet_since_s=self._clock.monotonic_s(), quiet_since_ms=self._clock.wall_ms())
        interval = _Interval(self._clock.monotonic_s())
        attempt = 0
        while not stop.is_set():
            try:
                for frame in self._pictures(stop):
                    attempt, self._turned_s = 0, self._clock.monotonic_s()
                    self._came_back()
                    self._follow_time(frame)
                    signal, phases = signal_loss.picture(signal, now_s=frame.monotonic_s, now_ms=frame.captured_at_ms)
                    self._tell_signal(signal, phases)
                    self._redraw(analyser, frame)
                    look = analyser.look(frame)
                    self._tell(analyser, look, frame)
                    self._suspect(analyser, look, frame)
                    self._show(analyser, look, frame)
                    kept = self._keep_view(analyser, kept, frame.monotonic_s)
                    interval = self._measure(interval, analyser, look, frame)
            except SourceError as error:
                self._went_down(error)
            else:
                if not stop.is_set():
                    logger.info("camera %s: the video is at its end", self._camera.camera_id)
                    self._evidence = replace(self._evidence, state="source_ended")
                    self._idle(stop)
                return
            signal = self._wait(stop, signal, full_jitter_s(attempt, base_s=1.0, cap_s=RECONNECT_CAP_S))
            attempt += 1

    def health(self) -> PartHealth:
        """`ok` only while pictures come and change."""
        evidence = self._evidence
        now_s = self._clock.monotonic_s()
        still_s = now_s - evidence.changed_s if evidence.changed_s is not None else None
        reason = evidence.state
        if reason == "pictures_change" and still_s is not None and still_s > UNCHANGED_S:
            reason = "picture_unchanged"
        turned_s = self._turned_s
        if turned_s is not None and now_s - turned_s > HANGS_S:
            reason = "hangs"
        numbers = {
            "pictures": float(evidence.pictures),
            "time_jumps": float(self._continuity.jumps),
            "codec_changes": float(self._continuity.codec_changes),
        }
        if still_s is not None:
            numbers["last_change_age_s"] = round(still_s, 1)
        for suspicion in self._suspicions:
            numbers |= suspicion.numbers()
        return PartHealth(
            part_id=self.part_id,
            kind="camera",
            ok=reason == "pictures_change",
            reason=reason,
            evidence_at_ms=evidence.changed_at_ms,
            numbers=numbers,
        )

    def picture(self) -> bytes | None:
        """The next picture as a JPEG, or None where none comes within `PICTURE_WITHIN_S` (real seconds)."""
        view = self.live()
        return view.jpeg if view is not None else None

    def live(self) -> LiveView | None:
        """The next picture with what is seen in it, or None where none comes within `PICTURE_WITHIN_S`."""
        answer: queue.SimpleQueue[LiveView] = queue.SimpleQueue()
        self._asked.append(answer)
        try:
            return answer.get(timeout=PICTURE_WITHIN_S)
        except queue.Empty:
            with contextlib.suppress(ValueError):  # just being answered, too late
                self._asked.remove(answer)
            return None

    def redraw(self, camera: CameraSettings) -> None:
        """Watch the zones, lines and regions of `camera` from the next picture on; the connection stays as it is."""
        self._wanted = camera

    def _redraw(self, analyser: Analyser, frame: Frame) -> None:
        camera = self._wanted  # read once: another thread may set it again at any moment
        if camera is self._camera:
            return
        self._camera = camera
        for decision in analyser.redraw(camera, frame):
            self._sink.alarm(draft(decision, camera.camera_id))

    def _show(self, analyser: Analyser, look: Look, frame: Frame) -> None:
        """Give the picture to whoever asked; on this thread, because a decoded picture belongs to it."""
        if not self._asked:
            return
        view = LiveView(
            jpeg=jpeg(frame.colour()),
            captured_at_ms=frame.captured_at_ms,
            boxes=tuple(boxes_of(look, frame.monotonic_s)),
            gate=look.gate.reason,
            motion_ratio=look.gate.motion_ratio,
            faults=tuple(fault.value for fault in analyser.standing_faults),
            active=analyser.active_zones,
        )
        while self._asked:
            self._asked.popleft().put(view)

    def _analyser(self) -> tuple[Analyser, Keeping]:
        """The chain, with the reference picture of an earlier life where there is one."""
        view, now_s = None, self._clock.monotonic_s()
        try:
            view = self._views.load()
        except ViewError as error:
            logger.warning("camera %s: %s", self._camera.camera_id, error)
        analyser = Analyser(
            self._camera,
            self._detector,
            times=self.times,
            new_id=self._new_id,
            demand=self._demand,
            view=view,
            surroundings=self._kept_surroundings(),
        )
        self._kept_revision = analyser.change_map.surroundings.revision
        return analyser, Keeping(analyser.view_revision, now_s)

    def _keep_view(self, analyser: Analyser, kept: Keeping, now_s: float) -> Keeping:
        """Write the reference picture when it is due; without a disk it is kept in memory and tried again later."""
        if not due(kept, analyser.view_revision, now_s) or (view := analyser.view) is None:
            return kept
        try:
            self._views.save(view)
        except ViewError as error:
            if not self._told_unkept:
                logger.warning("camera %s: %s; a restart would forget the view", self._camera.camera_id, error)
            self._told_unkept = True
            return Keeping(_NOT_KEPT, now_s)
        self._told_unkept = False
        return Keeping(analyser.view_revision, now_s)

    def _kept_surroundings(self) -> Surroundings | None:
        try:
            return self._surroundings.load()
        except ViewError as error:
            logger.warning("camera %s: %s", self._camera.camera_id, error)
            return None

    def _keep_surroundings(self, analyser: Analyser, frame: Frame) -> None:
        """Keep what was learnt, and learn anew where a person has taken the references away."""
        if self._surroundings.renewal_wanted():
            logger.warning("camera %s: the references of its surroundings are learnt anew", self._camera.camera_id)
            for decision in analyser.renew_surroundings(frame):
                self._sink.alarm(draft(decision, self._camera.camera_id))
        surroundings = analyser.change_map.surroundings
        if surroundings.revision == self._kept_revision:
            return
        self._kept_revision = surroundings.revision
        try:
            self._surroundings.save(surroundings)
        except ViewError as error:
            logger.warning("camera %s: %s; a restart would learn them anew", self._camera.camera_id, error)

    def _follow_time(self, frame: Frame) -> None:
        before = self._continuity.codec
        self._continuity, reason = continuity.picture(
            self._continuity, pts_s=frame.pts_s, monotonic_s=frame.monotonic_s, codec=frame.codec
        )
        if reason == "codec_changed":
            logger.warning(
                "camera %s: codec_changed: it sends %s and sent %s before; check who set it up anew",
                self._camera.camera_id, frame.codec, before,
            )  # fmt: skip
        elif reason:
            logger.warning("camera %s: %s: its stream's time is no longer even", self._camera.camera_id, reason)

    def _pictures(self, stop: threading.Event) -> Iterator[Frame]:
        self._continuity = continuity.reconnected(self._continuity)
        self._demand.idle = False
        return self._connect(self._camera, self._clock, self.times, self._demand).frames(stop)

    def _tell(self, analyser: Analyser, look: Look, frame: Frame) -> None:
        for decision in look.decisions:
            picture = None
            if decision.phase is not Phase.END:
                zone = next((z for z in analyser.zones if z.name == decision.zone), None)
                with self.times.stage("snapshot"):
                    marks = [(box, "changed", decision.score) for box in decision.marks]
                    picture = jpeg(frame.colour(), boxes=[*boxes_of(look, frame.monotonic_s), *marks], zone=zone)
            self._sink.alarm(draft(decision, self._camera.camera_id, picture))
            if decision.momentary:
                self._sink.alarm(draft(replace(decision, phase=Phase.END), self._camera.camera_id))
        changed = look.gate.changed
        self._evidence = _Evidence(
            state="pictures_change",
            changed_at_ms=frame.captured_at_ms if changed else self._evidence.changed_at_ms,
            changed_s=frame.monotonic_s if changed else self._evidence.changed_s,
            pictures=self._evidence.pictures + 1,
        )

    def _suspect(self, analyser: Analyser, look: Look, frame: Frame) -> None:
        """Let what doubts this camera by other means than its pictures look too."""
        trusted = not analyser.standing_faults
        quiet = look.gate.reason == "still" and not any(track.alive for track in look.tracks)
        for suspicion in self._suspicions:
            doubt = suspicion.look(frame, quiet=quiet, trusted=trusted)
            if doubt is None:
                continue
            picture = jpeg(frame.colour()) if doubt.phase is Phase.START else None
            self._sink.alarm(draft(self._doubter.doubt(doubt, frame), self._camera.camera_id, picture))
        if any(suspicion.wants_all for suspicion in self._suspicions):
            self._demand.idle = False

    def _measure(self, interval: _Interval, analyser: Analyser, look: Look, frame: Frame) -> _Interval:
        interval.pictures += 1
        interval.motion += look.gate.motion_ratio if look.gate.moving else 0.0
        interval.motion_most = max(interval.motion_most, look.gate.motion_ratio if look.gate.moving else 0.0)
        elapsed_s = frame.monotonic_s - interval.began_s
        if elapsed_s < SAMPLE_EVERY_S:
            return interval
        self._keep_surroundings(analyser, frame)
        score = analyser.change_map.score
        self._sink.samples(
            self._camera.camera_id,
            [frame.captured_at_ms],
            {
                "motion_ratio": [round(interval.motion / interval.pictures, 5)],
                "motion_ratio_max": [round(interval.motion_most, 5)],
                "picture_rate_hz": [round(interval.pictures / elapsed_s, 2)],
                **({} if score is None else {"seal_change_score": [score]}),
            },
        )
        return _Interval(frame.monotonic_s)

    def _wait(self, stop: threading.Event, signal: SignalState, seconds: float) -> SignalState:
        """Let the backoff pass, and raise the alarm as soon as the silence is long enough."""
        until_s = self._clock.monotonic_s() + seconds
        while not stop.is_set():
            now_s = self._turned_s = self._clock.monotonic_s()
            signal, phases = signal_loss.silence(signal, now_s=now_s)
            self._tell_signal(signal, phases)
            if now_s >= until_s:
                break
            self._clock.sleep(min(0.25, until_s - now_s))
        return signal

    def _idle(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._turned_s = self._clock.monotonic_s()
            self._clock.sleep(0.25)

    def _tell_signal(self, signal: SignalState, phases: tuple[Phase, ...]) -> None:
        for phase in phases:
            if phase is Phase.START:
                self._signal_alarm_id = self._new_id()
                self._evidence = replace(self._evidence, state="signal_lost")
            decision = Decision(
                alarm_id=self._signal_alarm_id,
                kind=AlarmKind.CAMERA_FAULT,
                phase=phase,
                level=Level.YELLOW,
                zone="",
                score=1.0,
                reason="signal_lost" if phase is Phase.START else "signal_back",
                started_at_ms=signal.started_ms,
                captured_at_ms=self._clock.wall_ms(),
                pts_s=0.0,
                code=VideoFault.SIGNAL_LOST.value,
            )
            self._sink.alarm(draft(decision, self._camera.camera_id))

    def _went_down(self, error: SourceError) -> None:
        self._evidence = replace(self._evidence, state="signal_lost")
        if not self._told_down:
            self._told_down = True
            logger.warning("camera %s: %s; trying again until it works", self._camera.camera_id, error)

    def _came_back(self) -> None:
        if self._told_down:
            self._told_down = False
            logger.info("camera %s: pictures come again", self._camera.camera_id)
