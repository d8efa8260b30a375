"""More people in the picture than the permit names: an alarm of its own, beside that of the people.

The number is the largest that any one zone shows at a time: the same people seen by two cameras are not counted twice.
Nothing is told where no permit covers the moment (then the people themselves are the alarm) or it names no number.

Reasons: ``more_people_than_permitted`` (start, update when they become more), ``people_within_permit`` (end).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.contract.messages import Permit
from sealwatch.edge.declared import DeclaredNow
from sealwatch.edge.ports import AlarmDraft, Sink

SUFFIX: Final = "-over"
_CHINA_OFFSET_MS: Final = 8 * 3_600_000
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class OverState:
    """People by the alarm that counts them; the alarm that stands, since when, and how many it told."""

    counts: Mapping[str, int] = field(default_factory=dict)
    alarm_id: str = ""
    since_ms: int = 0
    told: int = 0


def covers(permit: Permit, at_ms: int) -> bool:
    """Whether a permit covers a moment: its window, and its hours of the day (UTC+8), which may wrap midnight."""
    hour = (at_ms + _CHINA_OFFSET_MS) // _HOUR_MS % 24
    if permit.from_hour <= permit.to_hour:
        inside = permit.from_hour <= hour < permit.to_hour
    else:
        inside = hour >= permit.from_hour or hour < permit.to_hour
    return inside and permit.from_ms <= at_ms < permit.to_ms


def limit_at(permits: Sequence[Permit], at_ms: int) -> int | None:
    """How many people are allowed: the largest number of the permits that cover the moment; None where none says."""
    numbers = [permit.max_people for permit in permits if covers(permit, at_ms)]
    known = [number for number in numbers if number is not None]
    return max(known) if known and len(known) == len(numbers) else None


def step(state: OverState, draft: AlarmDraft, limit: int | None) -> tuple[OverState, Phase | None]:
    """One alarm of people; the phase that the alarm about their number enters, if any."""
    counts = {one: count for one, count in state.counts.items() if one != draft.alarm_id}
    if draft.phase is not Phase.END:
        counts[draft.alarm_id] = round(draft.numbers.get("count", 1.0))
    state = replace(state, counts=counts)
    most = max(counts.values(), default=0)
    over = limit is not None and most > limit
    if over and not state.alarm_id:
        began = replace(state, alarm_id=draft.alarm_id + SUFFIX, since_ms=draft.captured_at_ms, told=most)
        return began, Phase.START
    if over and most > state.told:
        return replace(state, told=most), Phase.UPDATE
    if state.alarm_id and not over:
        return state, Phase.END
    return state, None


class PeopleSink:
    """Passes everything on, and adds the alarm about the number of people."""

    def __init__(self, inner: Sink, declared: Callable[[], DeclaredNow]) -> None:
        self._inner, self._declared = inner, declared
        self._state = OverState()
        self._lock = threading.Lock()

    def alarm(self, draft: AlarmDraft) -> None:
        """Store it, and what it means for the number of people."""
        self._inner.alarm(draft)
        if draft.kind != AlarmKind.PERSON:
            return
        with self._lock:
            limit = limit_at(self._declared().permits, draft.captured_at_ms)
            self._state, phase = step(self._state, draft, limit)
            if phase is None:
                return
            told = _draft(self._state, phase, draft, limit)
            if phase is Phase.END:
                self._state = OverState(self._state.counts)
        self._inner.alarm(told)

    def samples(self, source_id: str, at_ms: Sequence[int], values: Mapping[str, Sequence[Any]]) -> None:
        self._inner.samples(source_id, at_ms, values)


def _draft(state: OverState, phase: Phase, cause: AlarmDraft, limit: int | None) -> AlarmDraft:
    count = max(state.counts.values(), default=0)
    words = {"place": cause.source_id, "count": count, "limit": limit or 0}
    key = "people.within" if phase is Phase.END else "people.over"
    return AlarmDraft(
        alarm_id=state.alarm_id,
        kind=AlarmKind.PERSON,
        phase=phase,
        level=Level.ORANGE,
        source_id=cause.source_id,
        started_at_ms=state.since_ms,
        captured_at_ms=cause.captured_at_ms,
        score=cause.score,
        reason="people_within_permit" if phase is Phase.END else "more_people_than_permitted",
        sentence_zh=text.say(Language.ZH, key, **words),
        sentence_en=text.say(Language.EN, key, **words),
        zone=cause.zone,
        numbers={"count": float(count), "limit": float(limit or 0)},
        snapshot_jpeg=None if phase is Phase.END else cause.snapshot_jpeg,
    )
