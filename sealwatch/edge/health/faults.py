"""Faults of the node itself that last become alarms, and end when they are cured: a decision without I/O.

A camera without a signal or a meter that is silent is the business of its own watcher. What is judged here is what no
watcher can tell any more: a part that keeps failing, a disk that does not take what must be stored, and a machine that
will not last (`health.machine`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.health import machine
from sealwatch.edge.ports import AlarmDraft

ON_DELAY_S: Final = 120.0
OFF_DELAY_S: Final = 30.0
_ALARMING: Final = {"part_failing", "restart_budget_spent", "hangs"}
_ALARMING_KINDS: Final = {"outbox", machine.KIND}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault under watch. `alarm_id` is empty until it has lasted long enough."""

    reason: str
    since_s: float
    since_ms: int
    alarm_id: str = ""
    gone_since_s: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FaultState:
    """Faults by part."""

    faults: Mapping[str, Fault] = field(default_factory=dict)


def step(
    state: FaultState, parts: Sequence[PartHealth], now_s: float, now_ms: int, *, boot_id: str
) -> tuple[FaultState, list[AlarmDraft]]:
    """Take in the health of every part; the alarms that begin or end."""
    faults: dict[str, Fault] = {}
    drafts: list[AlarmDraft] = []
    for part in parts:
        before = state.faults.get(part.part_id)
        if _alarming(part):
            after = _lasts(before or Fault(part.reason, now_s, now_ms), part, now_s, boot_id)
            if after.alarm_id and not (before and before.alarm_id):
                drafts.append(_draft(part.part_id, after, Phase.START, now_s, now_ms))
            faults[part.part_id] = after
        elif before is not None and before.alarm_id:
            after = replace(before, gone_since_s=now_s if before.gone_since_s is None else before.gone_since_s)
            if now_s - (after.gone_since_s or now_s) >= OFF_DELAY_S:
                drafts.append(_draft(part.part_id, after, Phase.END, now_s, now_ms))
            else:
                faults[part.part_id] = after
    return FaultState(faults), drafts


def _lasts(fault: Fault, part: PartHealth, now_s: float, boot_id: str) -> Fault:
    alarm_id = fault.alarm_id
    if not alarm_id and now_s - fault.since_s >= ON_DELAY_S:
        alarm_id = hashlib.sha256(f"{boot_id}|{part.part_id}|{fault.since_ms}".encode()).hexdigest()[:32]
    return replace(fault, reason=part.reason, alarm_id=alarm_id, gone_since_s=None, numbers=part.numbers)


def _alarming(part: PartHealth) -> bool:
    return not part.ok and (part.reason in _ALARMING or part.kind in _ALARMING_KINDS)


def _draft(part_id: str, fault: Fault, phase: Phase, now_s: float, now_ms: int) -> AlarmDraft:
    lasted_s = now_s - fault.since_s

    def sentence(language: Language) -> str:
        if phase is Phase.END:
            return text.say(language, "edge.fault_over", part=part_id, minutes=round(lasted_s / 60))
        key = f"edge.fault_{fault.reason}"
        key = key if key in text.catalogue() else "edge.fault_other"
        return text.say(language, key, **{**fault.numbers, "part": part_id, "reason": fault.reason})

    return AlarmDraft(
        alarm_id=fault.alarm_id,
        kind=AlarmKind.NODE_FAULT,
        phase=phase,
        level=Level.YELLOW,
        source_id=part_id,
        started_at_ms=fault.since_ms,
        captured_at_ms=now_ms,
        score=1.0,
        reason=fault.reason if phase is not Phase.END else "cured",
        sentence_zh=sentence(Language.ZH),
        sentence_en=sentence(Language.EN),
        numbers={**fault.numbers, "lasted_s": round(lasted_s, 1)},
    )
