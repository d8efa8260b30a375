"""What a camera has decided, one transition at a time, and the identity of the alarms that stand."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sealwatch.contract.codes import AlarmKind, Level, Phase, VideoFault
from sealwatch.edge.ports import Frame
from sealwatch.edge.video.change_map import SceneChange
from sealwatch.edge.video.equipment import EquipmentChange
from sealwatch.edge.video.faults import FaultChange
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.lines import Crossing
from sealwatch.edge.video.liveness import Doubt
from sealwatch.edge.video.presence import PresenceRule, Transition

REDRAWN: Final = "zones_redrawn"  # why an alarm ends whose place is no longer watched as it was
_LEVELS: Final = {AlarmKind.PERSON: Level.ORANGE, AlarmKind.VEHICLE: Level.YELLOW, AlarmKind.ANIMAL: Level.BLUE}
_DELIBERATE: Final = {VideoFault.COVERED, VideoFault.MOVED, VideoFault.FROZEN}  # what somebody does to a camera


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


class Decider:
    """Turns the changes that one camera's pure parts report into decisions.

    A start gets a new id, which its updates and its end keep: whatever has the same kind, zone and code is one alarm.
    """

    def __init__(self, new_id: Callable[[], str] = random_id) -> None:
        self._new_id = new_id
        self._ids: dict[tuple[str, ...], str] = {}

    def fault(self, change: FaultChange, frame: Frame) -> Decision:
        """Of a camera fault."""
        return self._decision(
            frame,
            AlarmKind.CAMERA_FAULT,
            change.phase,
            level=Level.ORANGE if change.fault in _DELIBERATE else Level.YELLOW,
            reason=change.reason,
            started_at_ms=change.since_ms,
            numbers=change.numbers,
            code=change.fault.value,
        )

    def equipment(self, name: str, change: EquipmentChange, frame: Frame, *, reason: str = "") -> Decision:
        """Of the machine in the region `name`."""
        starts = change.phase is Phase.START
        return self._decision(
            frame,
            AlarmKind.EQUIPMENT,
            change.phase,
            level=Level.ORANGE,
            zone=name,
            score=min(1.0, change.share) if starts else 1.0,
            reason=reason or ("region_runs" if starts else "region_still"),
            started_at_ms=change.since_ms,
            numbers={"share_running": change.share, "period_s": change.period_s},
        )

    def scene(self, change: SceneChange, frame: Frame) -> Decision:
        """Of the surroundings."""
        return self._decision(
            frame,
            AlarmKind.SCENE_CHANGE,
            change.phase,
            level=Level.BLUE if change.reason == "surroundings_new" else Level.YELLOW,
            reason=change.reason,
            started_at_ms=change.since_ms,
            numbers={"change_score": change.score, "regions": float(len(change.regions))},
            marks=change.regions,
        )

    def doubt(self, doubt: Doubt, frame: Frame) -> Decision:
        """Of a picture that may not be what is before the camera."""
        return self._decision(
            frame,
            AlarmKind.LIVENESS,
            doubt.phase,
            about=doubt.about,
            level=Level.ORANGE,
            reason=doubt.reason,
            started_at_ms=doubt.since_ms,
            numbers=doubt.numbers,
        )

    def presence(self, rule: PresenceRule, zone: str, transition: Transition, frame: Frame) -> Decision:
        """Of somebody, or something alive or driving, in a zone."""
        return self._decision(
            frame,
            rule.kind,
            transition.phase,
            level=Level.RED if transition.loitering else _LEVELS[rule.kind],
            zone=zone,
            score=round(transition.score, 3),
            reason=transition.reason,
            started_at_ms=transition.started_ms,
            numbers={
                "present_s": round(transition.present_s, 2),
                "count": float(transition.count),
                "strong_looks": float(transition.looks),
                "on_delay_s": rule.on_delay_s,
                "alarm_score": rule.alarm_score,
                **({"stay_s": round(transition.stay_s, 2)} if transition.phase is not Phase.END else {}),
                "dwell_s": rule.dwell_s,
                **({"loiter_s": rule.loiter_s} if rule.loiter_s else {}),
            },
        )

    def crossing(self, line: str, crossing: Crossing, score: float, frame: Frame) -> Decision:
        """Of a person who crossed a line."""
        return self._decision(
            frame,
            AlarmKind.COUNT,
            Phase.START,
            level=Level.YELLOW,
            zone=line,
            score=round(min(1.0, score), 3),
            reason="crossed_in" if crossing.inward else "crossed_out",
            started_at_ms=frame.captured_at_ms,
            numbers={"in_total": float(crossing.into), "out_total": float(crossing.out)},
            direction="in" if crossing.inward else "out",
            momentary=True,
        )

    def _decision(
        self,
        frame: Frame,
        kind: AlarmKind,
        phase: Phase,
        *,
        zone: str = "",
        score: float = 1.0,
        code: str = "",
        about: str = "",
        **rest: Any,
    ) -> Decision:
        key = (kind.value, zone, code or about)
        if phase is Phase.START:
            self._ids[key] = self._new_id()
        return Decision(
            alarm_id=self._ids[key],
            kind=kind,
            phase=phase,
            zone=zone,
            score=score,
            code=code,
            captured_at_ms=frame.captured_at_ms,
            pts_s=frame.pts_s,
            **rest,
        )
