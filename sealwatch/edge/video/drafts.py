"""From a decision to an alarm draft: the sentences people read and the picture that goes with it."""

from __future__ import annotations

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.contract.codes import AlarmKind
from sealwatch.edge.ports import AlarmDraft
from sealwatch.edge.video.decisions import REDRAWN, Decision


def draft(decision: Decision, camera_id: str, snapshot_jpeg: bytes | None = None) -> AlarmDraft:
    """The draft of `decision` as seen by `camera_id`."""
    numbers = dict(decision.numbers)
    if decision.code:
        numbers["code"] = float(decision.code)
    return AlarmDraft(
        alarm_id=decision.alarm_id,
        kind=decision.kind.value,
        phase=decision.phase,
        level=decision.level,
        source_id=camera_id,
        started_at_ms=decision.started_at_ms,
        captured_at_ms=decision.captured_at_ms,
        score=decision.score,
        reason=decision.reason,
        sentence_zh=_sentence(decision, camera_id, Language.ZH),
        sentence_en=_sentence(decision, camera_id, Language.EN),
        zone=decision.zone,
        numbers=numbers,
        snapshot_jpeg=snapshot_jpeg,
    )


def _sentence(decision: Decision, camera_id: str, language: Language) -> str:
    place = camera_id
    if decision.zone:
        place = text.say(language, "video.place", camera=camera_id, zone=decision.zone)
    values = {
        "place": place,
        "score": f"{decision.score:.0%}",
        "present_s": f"{decision.numbers.get('present_s', 0.0):.1f}",
        "stay_s": f"{decision.numbers.get('stay_s', 0.0):.0f}",
        "count": f"{decision.numbers.get('count', 0.0):.0f}",
        "period_s": f"{decision.numbers.get('period_s', 0.0):.1f}",
        "in_total": f"{decision.numbers.get('in_total', 0.0):.0f}",
        "out_total": f"{decision.numbers.get('out_total', 0.0):.0f}",
        "regions": f"{decision.numbers.get('regions', 0.0):.0f}",
        "changed": f"{decision.numbers.get('change_score', 0.0):.1%}",
        "turn_deg": f"{decision.numbers.get('turn_deg', 0.0):.1f}",
        "size_ratio": f"{decision.numbers.get('size_ratio', 1.0):.2f}",
        "sun": f"{decision.numbers.get('sun_height_deg', 0.0):.0f}",
        "response": f"{decision.numbers.get('response', 0.0):.0%}",
        "kind": text.say(language, f"video.thing.{decision.kind.value}"),
        "fault": text.say(language, f"video.fault.{decision.code}") if decision.code else "",
    }
    if decision.reason == REDRAWN:
        return text.say(language, "video.redrawn", **values)
    if decision.direction:
        return text.say(language, f"video.crossed_{decision.direction}", **values)
    if decision.kind is AlarmKind.EQUIPMENT:
        return text.say(language, f"video.equipment.{decision.phase.value}", **values)
    if decision.kind is AlarmKind.SCENE_CHANGE:
        return text.say(language, f"video.scene.{decision.reason}", **values)
    if decision.kind is AlarmKind.LIVENESS:
        return text.say(language, f"video.liveness.{decision.reason}", **values)
    if decision.reason == "loitering":
        return text.say(language, "video.presence.loitering", **values)
    group = "fault_alarm" if decision.code else "presence"
    return text.say(language, f"video.{group}.{decision.phase.value}", **values)
