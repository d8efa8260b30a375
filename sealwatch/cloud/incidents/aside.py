"""What explains an alarm, so that it is logged and wakes nobody: for now, announced work.

An alarm is judged by the time at which its node saw it, however late it comes; by the time of its arrival where the
node's clock can't be believed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from sealwatch.cloud.permits import cover, store
from sealwatch.cloud.permits.cover import Seen, Work
from sealwatch.contract.codes import ClockQuality
from sealwatch.contract.messages import Alarm

PERMIT: Final = "permit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """By what an alarm is set aside (`by`, and `ref` names it), and the named reason."""

    by: str
    ref: str
    reason: str


@dataclass(frozen=True, slots=True)
class Explanations:
    """Everything that may explain an alarm of some sites."""

    works: Mapping[str, Sequence[Work]]

    def judge(self, alarm: Alarm, *, now_ms: int) -> Aside | None:
        """What explains this word of an alarm; None: nothing does."""
        verdict = cover.judge(
            self.works.get(alarm.origin.site_id, ()),
            Seen(kind=alarm.kind, reason=alarm.reason, numbers=alarm.numbers),
            seen_at_ms(alarm, now_ms),
        )
        return Aside(by=PERMIT, ref=verdict.permit_id, reason=verdict.reason) if verdict.covered else None


def seen_at_ms(alarm: Alarm, now_ms: int) -> int:
    """When the node saw it, as far as its clock can be believed, and never later than now."""
    if alarm.origin.clock_quality is ClockQuality.UNSYNCHRONISED:
        return now_ms
    return min(alarm.origin.captured_at_ms, now_ms)


def load(session: Session, site_ids: Collection[str]) -> Explanations:
    """What may explain alarms of these sites, however old."""
    return Explanations(store.works(session, site_ids, since_ms=0))
