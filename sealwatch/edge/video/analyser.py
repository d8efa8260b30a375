"""One camera's chain from a picture to decisions: gate, attention, detector, tracks, rules; live and in replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sealwatch.contract.codes import VideoFault
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Frame
from sealwatch.edge.video import attention, tracks
from sealwatch.edge.video.attention import AttentionSettings, AttentionState
from sealwatch.edge.video.change_map import ChangeMap, Surroundings
from sealwatch.edge.video.decisions import Decider, Decision, random_id
from sealwatch.edge.video.faults import FaultWatch
from sealwatch.edge.video.finds import Find, search
from sealwatch.edge.video.gate import GateResult, MotionGate
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.held import HeldWatch
from sealwatch.edge.video.liveness import LoopWatch
from sealwatch.edge.video.places import Places
from sealwatch.edge.video.ports import Demand, ObjectDetector, StageTimes
from sealwatch.edge.video.tracks import Track, TrackState
from sealwatch.edge.video.views import View
from sealwatch.edge.video.zones import Zone

REST_AFTER_S: Final = 5.0  # without motion, people or doubts about the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything that was seen and decided in one picture."""

    gate: GateResult
    crops: tuple[attention.Interest, ...]
    tracks: tuple[Track, ...]
    decisions: tuple[Decision, ...]


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
        self._detector = detector
        self._times = times if times is not None else StageTimes()
        self._demand = demand if demand is not None else Demand()
        self._gate = MotionGate()
        self._awake_s = float("-inf")
        self._faults = FaultWatch(view)
        self._loops = None if camera.repeat else LoopWatch()  # a file that is meant to repeat itself is no fraud
        self._held = HeldWatch()
        self.change_map = ChangeMap(surroundings)
        self._attention, self._rules = AttentionState(), AttentionSettings()
        self._tracks = TrackState()
        self._decider = Decider(new_id)
        self._places = Places(camera, self._decider)

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
    def zones(self) -> tuple[Zone, ...]:
        """The zones under watch."""
        return self._places.zones

    @property
    def active_zones(self) -> tuple[str, ...]:
        """Names of the zones and regions where an alarm stands."""
        return self._places.active

    def redraw(self, camera: CameraSettings, frame: Frame) -> list[Decision]:
        """Watch other zones, lines and regions from now on; the alarms that end because their place is gone or altered.

        Background, reference picture, tracks and what is not altered go on, so that nobody can blind a camera by
        saving its zones again and again.
        """
        self._awake_s = frame.monotonic_s
        return self._places.redraw(camera, frame)

    def renew_surroundings(self, frame: Frame) -> list[Decision]:
        """Learn the surroundings anew, as a person has asked for; the end of the alarm about them, where one stands."""
        ended = self.change_map.renew()
        return [self._decider.scene(ended, frame)] if ended else []

    def look(self, frame: Frame) -> Look:
        """Judge one picture."""
        with self._times.stage("faults"):
            decisions = self._look_at_picture(frame)
        with self._times.stage("gate"):
            gate = self._gate.look(frame.grey, frame.monotonic_s)
        height_px, width_px = frame.grey.shape[:2]
        self._attention, crops = attention.plan(
            self._attention,
            self._rules,
            gate,
            self._tracks.tracks,
            size_px=(width_px, height_px),
            settled=self._places.settled,
            counting=self._places.counts,
            now_s=frame.monotonic_s,
        )
        finds = self._search(frame, crops)
        with self._times.stage("decide"):
            steady = self._faults.verdict.steady
            self._tracks = tracks.follow(
                self._tracks,
                finds,
                [interest.crop for interest in crops],
                gate if steady else replace(gate, moving=False),  # a turned camera moves nobody
                now_s=frame.monotonic_s,
                now_ms=frame.captured_at_ms,
            )
            decisions += self._places.machines(frame) if steady else []  # ... and makes every machine run
            decisions += self._look_around(frame, gate)
            decisions += self._places.people(self._tracks.tracks, frame, looked=bool(crops))
        self._rest(gate, frame.monotonic_s)
        return Look(gate=gate, crops=crops, tracks=self._tracks.tracks, decisions=tuple(decisions))

    def _look_at_picture(self, frame: Frame) -> list[Decision]:
        """Whether the picture can be trusted."""
        now_s, now_ms = frame.monotonic_s, frame.captured_at_ms
        faults = self._faults.look(frame.grey, now_s=now_s, now_ms=now_ms)
        known = self._faults.certain_of_view
        doubts = [self._held.look(frame.grey, in_place=known, now_s=now_s, now_ms=now_ms)]
        if self._loops is not None:
            doubts.append(self._loops.look(frame.grey, fresh=self._faults.fresh, now_s=now_s, now_ms=now_ms))
        told = [self._decider.doubt(doubt, frame) for doubt in doubts if doubt is not None]
        return [*(self._decider.fault(change, frame) for change in faults), *told]

    def _search(self, frame: Frame, crops: Sequence[attention.Interest]) -> list[Find]:
        if not crops:
            return []
        with self._times.stage("colour"):
            image = frame.colour()
        with self._times.stage("detect"):
            return search(self._detector, image, [interest.crop for interest in crops])

    def _look_around(self, frame: Frame, gate: GateResult) -> list[Decision]:
        quiet = (
            not gate.moving
            and self._faults.verdict.steady
            and not self._faults.standing
            and not any(t.alive for t in self._tracks.tracks)
        )
        change = self.change_map.look(frame.grey, quiet=quiet, now_s=frame.monotonic_s, now_ms=frame.captured_at_ms)
        return [self._decider.scene(change, frame)] if change else []

    def _rest(self, gate: GateResult, now_s: float) -> None:
        """Ask for key frames only, once nothing has happened for a while."""
        calm = (
            gate.reason == "still"
            and not self._places.has_machines
            and self._faults.calm
            and not any(t.alive for t in self._tracks.tracks)
        )
        if not calm:
            self._awake_s = now_s
        self._demand.idle = now_s - self._awake_s >= REST_AFTER_S


def boxes_of(look: Look, now_s: float) -> list[tuple[Box, str, float]]:
    """What is worth drawing: tracks that live and were seen lately, as (box, label, score)."""
    return [(t.box, t.label, t.scores[-1]) for t in look.tracks if t.alive and now_s - t.seen_s < 1.0]
