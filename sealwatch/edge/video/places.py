"""The places of a camera under watch: zones with their rules, lines with their totals, regions with machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sealwatch.contract.codes import AlarmKind, Phase
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Frame
from sealwatch.edge.video import lines, presence
from sealwatch.edge.video.decisions import REDRAWN, Decider, Decision
from sealwatch.edge.video.equipment import EquipmentChange, EquipmentWatch
from sealwatch.edge.video.lines import Line, LineState
from sealwatch.edge.video.presence import Presence, PresenceRule, PresenceState
from sealwatch.edge.video.tracks import Track
from sealwatch.edge.video.zones import Zone, zones_of


@dataclass(slots=True)
class _Watch:
    """One rule in one zone, with its state."""

    zone: Zone
    rule: PresenceRule
    state: PresenceState = presence.CLEAR


@dataclass(slots=True)
class _Counter:
    """One line with its running totals."""

    line: Line
    state: LineState = field(default_factory=LineState)


class Places:
    """Applies the rules of every place to what was seen; `redraw` takes other places in a running watch."""

    def __init__(self, camera: CameraSettings, decider: Decider) -> None:
        self._decider = decider
        self.zones = zones_of(camera.zones)
        self._watches = [_Watch(zone, rule) for zone in self.zones for rule in _rules_of(camera, zone)]
        self._counters = [_Counter(line) for line in lines.lines_of(camera.lines)]
        self._machines = [EquipmentWatch(region) for region in camera.equipment]

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the zones and regions where an alarm stands."""
        zones = {watch.zone.name for watch in self._watches if watch.state.phase == "active"}
        return tuple(sorted(zones | {watch.name for watch in self._machines if watch.running}))

    @property
    def has_machines(self) -> bool:
        """Whether there is a region that only full decoding can judge."""
        return bool(self._machines)

    @property
    def counts(self) -> bool:
        """Whether there is a line to be crossed."""
        return bool(self._counters)

    @property
    def settled(self) -> bool:
        """Whether nothing is gained by looking often: every zone's alarm stands, and there is no line to be crossed."""
        if self._counters:
            return False  # who crosses a line must be seen on both sides of it
        persons = [watch for watch in self._watches if watch.rule.kind is AlarmKind.PERSON]
        return all(watch.state.phase == "active" for watch in persons)

    def machines(self, frame: Frame) -> list[Decision]:
        """What one picture says about the regions with machines."""
        decisions = []
        for watch in self._machines:
            change = watch.look(frame.grey, now_s=frame.monotonic_s, now_ms=frame.captured_at_ms)
            if change is not None:
                decisions.append(self._decider.equipment(watch.name, change, frame))
        return decisions

    def people(self, tracks: Sequence[Track], frame: Frame, *, looked: bool) -> list[Decision]:
        """What the tracks mean in the zones and on the lines; `looked` when the detector had a look at this picture."""
        decisions = [d for watch in self._watches for d in self._judge(watch, tracks, frame, looked=looked)]
        return decisions + [d for counter in self._counters for d in self._count(counter, tracks, frame)]

    def redraw(self, camera: CameraSettings, frame: Frame) -> list[Decision]:
        """Watch other zones, lines and regions from now on; the alarms that end because their place is gone or altered.

        What is not altered goes on.
        """
        ended = self._redraw_zones(camera, frame)
        lines_before = {counter.line: counter for counter in self._counters}
        self._counters = [lines_before.get(line) or _Counter(line) for line in lines.lines_of(camera.lines)]
        return ended + self._redraw_machines(camera, frame)

    def _redraw_zones(self, camera: CameraSettings, frame: Frame) -> list[Decision]:
        before = {(watch.zone, watch.rule): watch for watch in self._watches}
        self.zones = zones_of(camera.zones)
        wanted = [(zone, rule) for zone in self.zones for rule in _rules_of(camera, zone)]
        self._watches = [before.pop(key) if key in before else _Watch(*key) for key in wanted]
        ended = []
        for watch in before.values():
            end = presence.ended(watch.state, REDRAWN, now_s=frame.monotonic_s, now_ms=frame.captured_at_ms)
            if end is not None:
                ended.append(self._decider.presence(watch.rule, watch.zone.name, end, frame))
        return ended

    def _redraw_machines(self, camera: CameraSettings, frame: Frame) -> list[Decision]:
        before = {watch.name: watch for watch in self._machines}
        kept = {r.name for r in camera.equipment if r.name in before and before[r.name].settings == r}
        ended = []
        for name, watch in before.items():
            if name not in kept and watch.running:
                change = EquipmentChange(Phase.END, 0.0, 0.0, watch.since_ms)
                ended.append(self._decider.equipment(name, change, frame, reason=REDRAWN))
        self._machines = [before[r.name] if r.name in kept else EquipmentWatch(r) for r in camera.equipment]
        return ended

    def _judge(self, watch: _Watch, tracks: Sequence[Track], frame: Frame, *, looked: bool) -> list[Decision]:
        now_s = frame.monotonic_s
        inside = [
            Presence(
                track_id=track.track_id,
                score=track.scores[-1],
                fresh=track.seen_s == now_s,
                alive=track.alive,
                proven_s=now_s - track.born_s if track.hits >= 3 else 0.0,
            )
            for track in tracks
            if track.kind is watch.rule.kind and watch.zone.contains(track.box.foot)
        ]
        watch.state, transitions = presence.step(
            watch.state, watch.rule, inside, looked=looked, now_s=now_s, now_ms=frame.captured_at_ms
        )
        return [self._decider.presence(watch.rule, watch.zone.name, transition, frame) for transition in transitions]

    def _count(self, counter: _Counter, tracks: Sequence[Track], frame: Frame) -> list[Decision]:
        steps = [
            lines.Step(track.track_id, track.box.foot, track.box.height, track.alive, track.scores[-1])
            for track in tracks
            if track.kind is AlarmKind.PERSON and track.seen_s == frame.monotonic_s
        ]
        counter.state, crossings = lines.step(counter.state, counter.line, steps, now_s=frame.monotonic_s)
        scores = {track.track_id: track.score for track in tracks}
        return [self._decider.crossing(counter.line.name, c, scores[c.track_id], frame) for c in crossings]


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
