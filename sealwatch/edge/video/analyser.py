"""One camera's chain from a picture to decisions: gate, attention, detector, tracks, rules; live and in replay."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sealwatch.contract.codes import AlarmKind, Level, Phase, VideoFault
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Frame
from sealwatch.edge.video import attention, lines, presence, tracks
from sealwatch.edge.video.attention import AttentionSettings, AttentionState
from sealwatch.edge.video.change_map import ChangeMap, SceneChange, Surroundings
from sealwatch.edge.video.equipment import EquipmentChange, EquipmentWatch
from sealwatch.edge.video.faults import FaultChange, FaultWatch
from sealwatch.edge.video.finds import Find, search
from sealwatch.edge.video.gate import GateResult, MotionGate
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.lines import Crossing, Line, LineState
from sealwatch.edge.video.liveness import LoopChange, LoopWatch
from sealwatch.edge.video.ports import Demand, ObjectDetector, StageTimes
from sealwatch.edge.video.presence import Presence, PresenceRule, PresenceState, Transition
from sealwatch.edge.video.tracks import Track, TrackState
from sealwatch.edge.video.views import View
from sealwatch.edge.video.zones import Zone, zones_of

_LEVELS = {AlarmKind.PERSON: Level.ORANGE, AlarmKind.VEHICLE: Level.YELLOW, AlarmKind.ANIMAL: Level.BLUE}
_DELIBERATE = {VideoFault.COVERED, VideoFault.MOVED, VideoFault.FROZEN}  # what somebody does to a camera


REDRAWN = "zones_redrawn"  # why an alarm ends whose place is no longer watched as it was
REST_AFTER_S = 5.0  # without motion, people or doubts about the picture


def random_id() -> str:
    """A new alarm id."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One transition of one alarm, with what is needed to tell it and to draw it."""

    alarm_id: str
    kind: AlarmKind
    phase: Phase
    level: Level
    zone: str
    score: float
    reason: str
    started_at_ms: int
    captured_at_ms: int
    pts_s: float
    numbers: Mapping[str, float] = field(default_factory=dict)
    code: str = ""  # of a camera fault
    direction: str = ""  # of a count: ``in`` or ``out``
    momentary: bool = False  # over as soon as it happened: the end follows at once
    marks: tuple[Box, ...] = ()  # regions to draw in its picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything that was seen and decided in one picture."""

    gate: GateResult
    crops: tuple[attention.Interest, ...]
    tracks: tuple[Track, ...]
    decisions: tuple[Decision, ...]


@dataclass(slots=True)
class _Watch:
    """One rule in one zone, with its state and the alarm that stands."""

    zone: Zone
    rule: PresenceRule
    state: PresenceState = presence.CLEAR
    alarm_id: str = ""


@dataclass(slots=True)
class _Counter:
    """One line with its running totals."""

    line: Line
    state: LineState = field(default_factory=LineState)


class Analyser:
    """Holds the states of the pure parts and calls them in order. `look` takes pictures in the order of their time."""

    def __init__(
        self,
        camera: CameraSettings,
        detector: ObjectDetector,
        *,
        times: StageTimes | None = None,
        new_id: Callable[[], str] = random_id,
        demand: Demand | None = None,
        view: View | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._detector, self._new_id = detector, new_id
        self._times = times if times is not None else StageTimes()
        self._demand = demand if demand is not None else Demand()
        self._gate = MotionGate()
        self._awake_s = float("-inf")
        self._faults = FaultWatch(view)
        self._fault_alarm_ids: dict[VideoFault, str] = {}
        self._loops = None if camera.repeat else LoopWatch()  # a file that is meant to repeat itself is no fraud
        self._loop_alarm_id = ""
        self.change_map = ChangeMap(surroundings)
        self._scene_alarm_id = ""
        self._equipment = [EquipmentWatch(region) for region in camera.equipment]
        self._equipment_alarm_ids: dict[str, str] = {}
        self._attention, self._rules = AttentionState(), AttentionSettings()
        self._tracks = TrackState()
        self.zones = zones_of(camera.zones)
        self._counters = [_Counter(line) for line in lines.lines_of(camera.lines)]
        self._watches = [_Watch(zone, rule) for zone in self.zones for rule in _rules_of(camera, zone)]

    @property
    def view(self) -> View | None:
        """The reference that camera faults are judged by, as it may be kept."""
        return self._faults.view

    @property
    def view_revision(self) -> int:
        """Rises when the reference gains a picture; 0 while there is none."""
        return self._faults.revision

    @property
    def standing_faults(self) -> tuple[VideoFault, ...]:
        """The camera faults whose alarms stand."""
        return self._faults.standing

    @property
    def active_zones(self) -> tuple[str, ...]:
        """Names of the zones and regions where an alarm stands."""
        zones = {watch.zone.name for watch in self._watches if watch.state.phase == "active"}
        return tuple(sorted(zones | {watch.name for watch in self._equipment if watch.running}))

    def redraw(self, camera: CameraSettings, frame: Frame) -> list[Decision]:
        """Watch other zones, lines and regions from now on; the alarms that end because their place is gone or altered.

        Background, reference picture, tracks and what is not altered go on, so that nobody can blind a camera by
        saving its zones again and again.
        """
        ended = list(self._take_watches(camera, frame))
        lines_before = {counter.line: counter for counter in self._counters}
        self._counters = [lines_before.get(line) or _Counter(line) for line in lines.lines_of(camera.lines)]
        regions_before = {watch.settings.name: watch for watch in self._equipment}
        kept = {r.name for r in camera.equipment if r.name in regions_before and regions_before[r.name].settings == r}
        for name, watch in regions_before.items():
            if name not in kept and watch.running:
                change = EquipmentChange(Phase.END, 0.0, 0.0, watch.since_ms)
                ended.append(replace(self._equipment_decision(name, change, frame), reason=REDRAWN))
        self._equipment = [regions_before[r.name] if r.name in kept else EquipmentWatch(r) for r in camera.equipment]
        self._awake_s = frame.monotonic_s
        return ended

    def _take_watches(self, camera: CameraSettings, frame: Frame) -> Iterator[Decision]:
        before = {(watch.zone, watch.rule): watch for watch in self._watches}
        self.zones = zones_of(camera.zones)
        wanted = [(zone, rule) for zone in self.zones for rule in _rules_of(camera, zone)]
        self._watches = [before.pop(key) if key in before else _Watch(*key) for key in wanted]
        for watch in before.values():
            end = presence.ended(watch.state, REDRAWN, now_s=frame.monotonic_s, now_ms=frame.captured_at_ms)
            if end is not None:
                yield self._decision(watch, end, frame)

    def look(self, frame: Frame) -> Look:
        """Judge one picture."""
        with self._times.stage("faults"):
            changes = self._faults.look(frame.grey, now_s=frame.monotonic_s, now_ms=frame.captured_at_ms)
            loop = self._loops and self._loops.look(frame.grey, now_s=frame.monotonic_s, now_ms=frame.captured_at_ms)
        with self._times.stage("gate"):
            gate = self._gate.look(frame.grey, frame.monotonic_s)
        height_px, width_px = frame.grey.shape[:2]
        self._attention, crops = attention.plan(
            self._attention,
            self._rules,
            gate,
            self._tracks.tracks,
            size_px=(width_px, height_px),
            settled=self._settled(),
            now_s=frame.monotonic_s,
        )
        finds = self._search(frame, crops)
        with self._times.stage("decide"):
            self._tracks = tracks.follow(
                self._tracks,
                finds,
                [interest.crop for interest in crops],
                gate if self._faults.verdict.steady else replace(gate, moving=False),  # a turned camera moves nobody
                now_s=frame.monotonic_s,
                now_ms=frame.captured_at_ms,
            )
            decisions = [self._fault_decision(change, frame) for change in changes]
            decisions += self._look_at_equipment(frame)
            decisions += [self._loop_decision(loop, frame)] if loop else []
            decisions += self._look_around(frame, gate)
            decisions += [d for watch in self._watches for d in self._judge(watch, frame, looked=bool(crops))]
            decisions += [d for counter in self._counters for d in self._count(counter, frame)]
        self._rest(gate, frame.monotonic_s)
        return Look(gate=gate, crops=crops, tracks=self._tracks.tracks, decisions=tuple(decisions))

    def _rest(self, gate: GateResult, now_s: float) -> None:
        """Ask for key frames only, once nothing has happened for a while."""
        calm = (
            gate.reason == "still"
            and not self._equipment
            and self._faults.calm
            and not any(t.alive for t in self._tracks.tracks)
        )
        if not calm:
            self._awake_s = now_s
        self._demand.idle = now_s - self._awake_s >= REST_AFTER_S

    def _search(self, frame: Frame, crops: Sequence[attention.Interest]) -> list[Find]:
        if not crops:
            return []
        with self._times.stage("colour"):
            image = frame.colour()
        with self._times.stage("detect"):
            return search(self._detector, image, [interest.crop for interest in crops])

    def _fault_decision(self, change: FaultChange, frame: Frame) -> Decision:
        if change.phase is Phase.START:
            self._fault_alarm_ids[change.fault] = self._new_id()
        return Decision(
            alarm_id=self._fault_alarm_ids[change.fault],
            kind=AlarmKind.CAMERA_FAULT,
            phase=change.phase,
            level=Level.ORANGE if change.fault in _DELIBERATE else Level.YELLOW,
            zone="",
            score=1.0,
            reason=change.reason,
            started_at_ms=change.since_ms,
            captured_at_ms=frame.captured_at_ms,
            pts_s=frame.pts_s,
            numbers=change.numbers,
            code=change.fault.value,
        )

    def _look_at_equipment(self, frame: Frame) -> list[Decision]:
        if not self._faults.verdict.steady:
            return []  # a shaking or turned camera makes everything run
        decisions = []
        for watch in self._equipment:
            change = watch.look(frame.grey, now_s=frame.monotonic_s, now_ms=frame.captured_at_ms)
            if change is not None:
                decisions.append(self._equipment_decision(watch.name, change, frame))
        return decisions

    def _equipment_decision(self, name: str, change: EquipmentChange, frame: Frame) -> Decision:
        if change.phase is Phase.START:
            self._equipment_alarm_ids[name] = self._new_id()
        return Decision(
            alarm_id=self._equipment_alarm_ids[name],
            kind=AlarmKind.EQUIPMENT,
            phase=change.phase,
            level=Level.ORANGE,
            zone=name,
            score=min(1.0, change.share) if change.phase is Phase.START else 1.0,
            reason="region_runs" if change.phase is Phase.START else "region_still",
            started_at_ms=change.since_ms,
            captured_at_ms=frame.captured_at_ms,
            pts_s=frame.pts_s,
            numbers={"share_running": change.share, "period_s": change.period_s},
        )

    def renew_surroundings(self, frame: Frame) -> list[Decision]:
        """Learn the surroundings anew, as a person has asked for; the end of the alarm about them, where one stands."""
        ended = self.change_map.renew()
        return [self._scene_decision(ended, frame)] if ended else []

    def _look_around(self, frame: Frame, gate: GateResult) -> list[Decision]:
        quiet = (
            not gate.moving
            and self._faults.verdict.steady
            and not self._faults.standing
            and not any(t.alive for t in self._tracks.tracks)
        )
        change = self.change_map.look(frame.grey, quiet=quiet, now_s=frame.monotonic_s, now_ms=frame.captured_at_ms)
        return [self._scene_decision(change, frame)] if change else []

    def _scene_decision(self, change: SceneChange, frame: Frame) -> Decision:
        if change.phase is Phase.START:
            self._scene_alarm_id = self._new_id()
        return Decision(
            alarm_id=self._scene_alarm_id,
            kind=AlarmKind.SCENE_CHANGE,
            phase=change.phase,
            level=Level.BLUE if change.reason == "surroundings_new" else Level.YELLOW,
            zone="",
            score=1.0,
            reason=change.reason,
            started_at_ms=change.since_ms,
            captured_at_ms=frame.captured_at_ms,
            pts_s=frame.pts_s,
            numbers={"change_score": change.score, "regions": float(len(change.regions))},
            marks=change.regions,
        )

    def _loop_decision(self, change: LoopChange, frame: Frame) -> Decision:
        if change.phase is Phase.START:
            self._loop_alarm_id = self._new_id()
        return Decision(
            alarm_id=self._loop_alarm_id,
            kind=AlarmKind.LIVENESS,
            phase=change.phase,
            level=Level.ORANGE,
            zone="",
            score=1.0,
            reason="sequence_repeats" if change.phase is Phase.START else "sequence_new_again",
            started_at_ms=change.since_ms,
            captured_at_ms=frame.captured_at_ms,
            pts_s=frame.pts_s,
            numbers={"period_s": change.period_s},
        )

    def _settled(self) -> bool:
        if self._counters:
            return False  # who crosses a line must be seen on both sides of it
        persons = [watch for watch in self._watches if watch.rule.kind is AlarmKind.PERSON]
        return all(watch.state.phase == "active" for watch in persons)

    def _judge(self, watch: _Watch, frame: Frame, *, looked: bool) -> list[Decision]:
        now_s = frame.monotonic_s
        inside = [
            Presence(
                track_id=track.track_id,
                score=track.scores[-1],
                fresh=track.seen_s == now_s,
                alive=track.alive,
                proven_s=now_s - track.born_s if track.hits >= 3 else 0.0,
            )
            for track in self._tracks.tracks
            if track.kind is watch.rule.kind and watch.zone.contains(track.box.foot)
        ]
        watch.state, transitions = presence.step(
            watch.state, watch.rule, inside, looked=looked, now_s=now_s, now_ms=frame.captured_at_ms
        )
        return [self._decision(watch, transition, frame) for transition in transitions]

    def _count(self, counter: _Counter, frame: Frame) -> list[Decision]:
        steps = [
            lines.Step(track.track_id, track.box.foot, track.box.height)
            for track in self._tracks.tracks
            if track.kind is AlarmKind.PERSON and track.alive and track.seen_s == frame.monotonic_s
        ]
        counter.state, crossings = lines.step(counter.state, counter.line, steps, now_s=frame.monotonic_s)
        return [self._crossing(counter.line, crossing, frame) for crossing in crossings]

    def _crossing(self, line: Line, crossing: Crossing, frame: Frame) -> Decision:
        track = next(t for t in self._tracks.tracks if t.track_id == crossing.track_id)
        return Decision(
            alarm_id=self._new_id(),
            kind=AlarmKind.COUNT,
            phase=Phase.START,
            level=Level.YELLOW,
            zone=line.name,
            score=round(min(1.0, track.score), 3),
            reason="crossed_in" if crossing.inward else "crossed_out",
            started_at_ms=frame.captured_at_ms,
            captured_at_ms=frame.captured_at_ms,
            pts_s=frame.pts_s,
            numbers={"in_total": float(crossing.into), "out_total": float(crossing.out)},
            direction="in" if crossing.inward else "out",
            momentary=True,
        )

    def _decision(self, watch: _Watch, transition: Transition, frame: Frame) -> Decision:
        if transition.phase is Phase.START:
            watch.alarm_id = self._new_id()
        return Decision(
            alarm_id=watch.alarm_id,
            kind=watch.rule.kind,
            phase=transition.phase,
            level=Level.RED if transition.loitering else _LEVELS[watch.rule.kind],
            zone=watch.zone.name,
            score=round(transition.score, 3),
            reason=transition.reason,
            started_at_ms=transition.started_ms,
            captured_at_ms=transition.decided_ms,
            pts_s=frame.pts_s,
            numbers={
                "present_s": round(transition.present_s, 2),
                "count": float(transition.count),
                "strong_looks": float(transition.looks),
                "on_delay_s": watch.rule.on_delay_s,
                "alarm_score": watch.rule.alarm_score,
                **({"stay_s": round(transition.stay_s, 2)} if transition.phase is not Phase.END else {}),
                "dwell_s": watch.rule.dwell_s,
                **({"loiter_s": watch.rule.loiter_s} if watch.rule.loiter_s else {}),
            },
        )


def boxes_of(look: Look, now_s: float) -> list[tuple[Box, str, float]]:
    """What is worth drawing: tracks that live and were seen lately, as (box, label, score)."""
    return [(t.box, t.label, t.scores[-1]) for t in look.tracks if t.alive and now_s - t.seen_s < 1.0]


def _rules_of(camera: CameraSettings, zone: Zone) -> list[PresenceRule]:
    on_delay_s, dwell_s = camera.person_on_delay_s, zone.dwell_s or 0.0
    if zone.dwell_s is not None:
        on_delay_s = min(on_delay_s, zone.dwell_s)
    return [
        PresenceRule(
            kind=kind,
            on_delay_s=on_delay_s,
            off_delay_s=camera.person_off_delay_s,
            dwell_s=dwell_s,
            loiter_s=zone.loiter_s if kind is AlarmKind.PERSON else None,
        )
        for kind in (AlarmKind.PERSON, AlarmKind.VEHICLE, AlarmKind.ANIMAL)
    ]
