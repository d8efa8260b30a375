"""What an installer must have seen before leaving the site, judged from fresh evidence: pure, each line with a reason.

A line is `good` by evidence alone, never by a tick. `waiting` is what only time or somebody else can bring, `none` is
what this node does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.contract.messages import PartHealth

State = Literal["good", "wrong", "waiting", "none"]

_METER_LARGEST_W: Final = 1_000_000.0  # the largest idle mine has transformers below this
NIGHT_FROM_HOUR: Final = 20
NIGHT_TO_HOUR: Final = 5
_CLOCK_WAITS: Final = {"source_away", "kernel_says_nothing"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestones:
    """What has happened once and stays true, as epoch milliseconds by id."""

    night_ms: Mapping[str, int] = field(default_factory=dict)
    inputs_ms: Mapping[str, int] = field(default_factory=dict)
    outputs_ms: Mapping[str, int] = field(default_factory=dict)
    alarm_ms: int | None = None
    alarm_source: str = ""
    delivered_ms: int | None = None
    answered_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFacts:
    """One camera of the configuration, with how many zones, lines and regions are drawn on it."""

    camera_id: str
    zones: int
    lines: int
    equipment: int
    challenged: bool = False  # by a lamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the checklist is judged from; `health` is what the agent's parts say now."""

    cameras: Sequence[CameraFacts]
    meters: Sequence[str]
    health: Sequence[PartHealth]
    records: bool
    milestones: Milestones = Milestones()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line. `item` is what is checked, `subject` which of several, `reason` the named finding."""

    item: str
    subject: str = ""
    state: State
    reason: str
    values: Mapping[str, str] = field(default_factory=dict)

    def sentence(self, language: Language) -> str:
        """What was found and, where it is not good, what to do."""
        key = f"installer.check.{self.item}.{self.reason}"
        if key not in text.catalogue():
            key = f"installer.check.{self.item}.{'good' if self.state == 'good' else 'other'}"
        return text.say(language, key, **{"reason": self.reason, **self.values})


def judge(facts: Facts) -> list[Line]:
    """The checklist in the order in which an installer works."""
    parts = {part.part_id: part for part in facts.health}
    lines = [_picture(camera, parts.get(camera.camera_id)) for camera in facts.cameras] or [_nothing("picture")]
    lines += [_zones(camera) for camera in facts.cameras]
    lines += [_night(camera, facts.milestones) for camera in facts.cameras]
    lines += [_sun(camera, parts.get(camera.camera_id)) for camera in facts.cameras]
    lines += [_lamp(camera, parts.get(camera.camera_id)) for camera in facts.cameras if camera.challenged]
    lines += [_meter(meter, parts.get(meter)) for meter in facts.meters] or [_nothing("meter")]
    lines += _inputs([part for part in facts.health if part.kind == "input"], facts.milestones)
    lines += _outputs([part for part in facts.health if part.kind == "output"], facts.milestones)
    lines += [_plain("uplink", parts.get("uplink")), _clock(parts.get("clock"))]
    lines += list(_storage(facts))
    lines.append(_first_alarm(facts.milestones))
    return lines


def _nothing(item: str) -> Line:
    return Line(item=item, state="none", reason="none")


def _picture(camera: CameraFacts, part: PartHealth | None) -> Line:
    if part is None:
        return Line(item="picture", subject=camera.camera_id, state="wrong", reason="not_running")
    return Line(item="picture", subject=camera.camera_id, state="good" if part.ok else "wrong", reason=part.reason)


def _zones(camera: CameraFacts) -> Line:
    values = {"zones": str(camera.zones), "lines": str(camera.lines), "equipment": str(camera.equipment)}
    if not camera.zones:
        return Line(item="zones", subject=camera.camera_id, state="wrong", reason="whole", values=values)
    return Line(item="zones", subject=camera.camera_id, state="good", reason="drawn", values=values)


def _night(camera: CameraFacts, milestones: Milestones) -> Line:
    at_ms = milestones.night_ms.get(camera.camera_id)
    if at_ms is None:
        return Line(item="night", subject=camera.camera_id, state="waiting", reason="not_yet")
    return Line(item="night", subject=camera.camera_id, state="good", reason="seen", values={"at_ms": str(at_ms)})


_SUN: Final[Mapping[float, tuple[State, str]]] = {
    1.0: ("good", "follows"),
    0.0: ("none", "exempt"),
    -1.0: ("waiting", "learning"),
}


def _sun(camera: CameraFacts, part: PartHealth | None) -> Line:
    """Whether a picture of another time of day would be told."""
    follows = None if part is None else part.numbers.get("follows_sun")
    if follows is None:
        return Line(item="sun", subject=camera.camera_id, state="none", reason="no_position")
    state, reason = _SUN.get(follows, ("waiting", "learning"))
    return Line(item="sun", subject=camera.camera_id, state=state, reason=reason)


def _lamp(camera: CameraFacts, part: PartHealth | None) -> Line:
    """Whether the camera's lamp was ever seen in its picture."""
    numbers = {} if part is None else part.numbers
    if not numbers.get("challenge_lights"):
        return Line(item="lamp", subject=camera.camera_id, state="waiting", reason="not_seen")
    return Line(item="lamp", subject=camera.camera_id, state="good", reason="seen")


def _meter(meter_id: str, part: PartHealth | None) -> Line:
    if part is None:
        return Line(item="meter", subject=meter_id, state="wrong", reason="not_running")
    power_w = part.numbers.get("active_power_w")
    values = {"kilowatts": f"{(power_w or 0.0) / 1000:.2f}"}
    if not part.ok or power_w is None:
        return Line(item="meter", subject=meter_id, state="wrong", reason=part.reason, values=values)
    if power_w < 0:
        return Line(item="meter", subject=meter_id, state="wrong", reason="negative", values=values)
    if power_w > _METER_LARGEST_W:
        return Line(item="meter", subject=meter_id, state="wrong", reason="too_large", values=values)
    return Line(item="meter", subject=meter_id, state="good", reason="plausible", values=values)


def _inputs(parts: Iterable[PartHealth], milestones: Milestones) -> list[Line]:
    lines = []
    for part in parts:
        tested = part.part_id in milestones.inputs_ms
        reason = "tested" if tested and part.ok else "not_tested" if part.ok else "failing"
        state: State = "good" if reason == "tested" else "wrong"
        lines.append(Line(item="contact", subject=part.part_id, state=state, reason=reason))
    return lines or [_nothing("contact")]


def _outputs(parts: Iterable[PartHealth], milestones: Milestones) -> list[Line]:
    lines = []
    for part in parts:
        tested = part.part_id in milestones.outputs_ms
        reason = "tested" if tested and part.ok else "not_tested" if part.ok else "failing"
        state: State = "good" if reason == "tested" else "wrong"
        lines.append(Line(item="siren", subject=part.part_id, state=state, reason=reason))
    return lines or [_nothing("siren")]


def _plain(item: str, part: PartHealth | None) -> Line:
    if part is None:
        return Line(item=item, state="wrong", reason="not_running")
    return Line(item=item, state="good" if part.ok else "wrong", reason=part.reason)


def _clock(part: PartHealth | None) -> Line:
    line = _plain("clock", part)
    if line.reason in _CLOCK_WAITS:
        return Line(item="clock", state="waiting", reason=line.reason)
    return line


def _storage(facts: Facts) -> Iterable[Line]:
    if not facts.cameras:
        return
    if not facts.records:
        yield Line(item="storage", state="wrong", reason="not_configured")
        return
    for part in facts.health:
        if part.kind != "recorder":
            continue
        reach = part.numbers.get("reach_days")
        target = f"{part.numbers.get('target_days', 0.0):.0f}"
        values = {"days": "" if reach is None else f"{reach:.0f}", "target": target}
        if part.ok and reach is None:
            yield Line(item="storage", subject=part.part_id, state="waiting", reason="measuring", values=values)
        else:
            state: State = "good" if part.ok else "wrong"
            yield Line(item="storage", subject=part.part_id, state=state, reason=part.reason, values=values)


def _first_alarm(milestones: Milestones) -> Line:
    values = {"source": milestones.alarm_source}
    if milestones.alarm_ms is None:
        return Line(item="alarm", state="wrong", reason="none_yet")
    if milestones.delivered_ms is None:
        return Line(item="alarm", state="wrong", reason="not_delivered", values=values)
    if milestones.answered_ms is None:
        return Line(item="alarm", state="waiting", reason="delivered", values=values)
    return Line(item="alarm", state="good", reason="answered", values=values)
