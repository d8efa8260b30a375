"""What people are told about missing footage, and the sink through which recorders see alarms pass by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sealwatch.base import text
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.edge.ports import AlarmDraft, Sink
from sealwatch.edge.recorder.series import PowerSeries


def gap_draft(
    camera_id: str,
    gap_id: str,
    phase: Phase,
    *,
    from_ms: int,
    now_ms: int,
    reason: str,
    missing_s: float | None,
) -> AlarmDraft:
    """The alarm about footage that is missing (start), or was (end, with `missing_s`)."""

    def sentence(language: text.Language) -> str:
        return text.say(
            language,
            f"recorder.gap.{phase.value}",
            camera=camera_id,
            why=text.say(language, f"recorder.reason.{reason}"),
            missing_s=f"{missing_s or 0:.0f}",
        )

    return AlarmDraft(
        alarm_id=gap_id,
        kind=AlarmKind.NODE_FAULT,
        phase=phase,
        level=Level.YELLOW,
        source_id=camera_id,
        started_at_ms=from_ms,
        captured_at_ms=now_ms,
        score=1.0,
        reason=f"footage_{reason}",
        sentence_zh=sentence(text.Language.ZH),
        sentence_en=sentence(text.Language.EN),
        numbers={} if missing_s is None else {"missing_s": missing_s},
    )


class Observer(Protocol):
    """Somebody who wants to know about alarms."""

    def observe(self, draft: AlarmDraft) -> None: ...


class RecordingSink:
    """A `Sink` before another: lets recorders see alarms and the series see measurements, and passes both on."""

    def __init__(self, inner: Sink, recorders: Sequence[Observer], power: PowerSeries) -> None:
        self._inner, self._recorders, self._power = inner, recorders, power

    def alarm(self, draft: AlarmDraft) -> None:
        self._inner.alarm(draft)  # first of all durable, then everything else
        for recorder in self._recorders:
            recorder.observe(draft)

    def samples(self, source_id: str, at_ms: Sequence[int], values: Mapping[str, Sequence[float | None]]) -> None:
        self._inner.samples(source_id, at_ms, values)
        self._power.samples(source_id, at_ms, values)
