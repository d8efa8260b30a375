"""What explains an alarm, so that it is logged and wakes nobody: announced work, a maintenance silence, or an outage
of the whole area, which is one incident for all of it.

A permit judges an alarm by the time at which its node saw it, however late it comes (by the time of its arrival where
the node's clock can't be believed). A silence holds for what arrives while it lasts: it can't outlive its end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import AlarmRecord
from sealwatch.cloud.incidents import area, outage
from sealwatch.cloud.incidents.outage import Areas
from sealwatch.cloud.permits import cover
from sealwatch.cloud.permits import store as permits
from sealwatch.cloud.permits.cover import Seen, Work
from sealwatch.cloud.silences import store as silences
from sealwatch.cloud.silences.store import Quiet
from sealwatch.contract.codes import ClockQuality
from sealwatch.contract.messages import Alarm

PERMIT: Final = "permit"
SILENCE: Final = "silence"
NOTE: Final = "note"  # the service's own word of something too short to wake anybody
PACKING_UP_S: Final = 600
"""How long after a permit's end they may take to leave. A new alarm after the end has no such grace."""


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
    quiets: Mapping[str, Sequence[Quiet]]
    areas: Callable[[], Areas]  # read when the first trouble wants it

    def judge(self, alarm: Alarm, *, now_ms: int) -> Aside | None:
        """What explains this word of an alarm; None: nothing does."""
        site_id = alarm.origin.site_id
        seen = Seen(kind=alarm.kind, reason=alarm.reason, numbers=alarm.numbers)
        return (
            self._by_permit(site_id, seen, seen_at_ms(alarm, now_ms))
            or self._by_silence(site_id, alarm.kind, alarm.source_id, now_ms)
            or self._by_area(site_id, alarm, now_ms)
        )

    def still(self, row: AlarmRecord, *, now_ms: int) -> Aside | None:
        """What explains at this moment an alarm that was set aside and stands."""
        seen = Seen(kind=row.kind, reason=row.reason, numbers=row.numbers)
        return (
            self._by_permit(row.site_id, seen, now_ms)
            or self._by_permit(row.site_id, seen, now_ms - PACKING_UP_S * 1000)
            or self._by_silence(row.site_id, row.kind, row.source_id, now_ms)
            or self._gathering(row, now_ms)
        )

    def _by_permit(self, site_id: str, seen: Seen, at_ms: int) -> Aside | None:
        verdict = cover.judge(self.works.get(site_id, ()), seen, at_ms)
        return Aside(by=PERMIT, ref=verdict.permit_id, reason=verdict.reason) if verdict.covered else None

    def _by_silence(self, site_id: str, kind: str, source_id: str, now_ms: int) -> Aside | None:
        for quiet in self.quiets.get(site_id, ()):
            if quiet.covers(kind, source_id, now_ms):
                return Aside(by=SILENCE, ref=quiet.silence_id, reason="silenced")
        return None

    def _by_area(self, site_id: str, alarm: Alarm, now_ms: int) -> Aside | None:
        if not area.is_trouble(alarm.kind, alarm.reason):
            return None
        incident_id = self.areas().outage(site_id, alarm.started_at_ms)
        if incident_id is not None:
            return Aside(by=outage.AREA, ref=incident_id, reason="area_outage")
        if self.areas().gathers(site_id):
            return Aside(by=outage.GATHERING, ref=str(now_ms), reason="gathering")
        return None

    @staticmethod
    def _gathering(row: AlarmRecord, now_ms: int) -> Aside | None:
        """It came at `set_aside_ref` and waits for others of its area."""
        if row.set_aside != outage.GATHERING or now_ms - int(row.set_aside_ref) >= area.GATHER_S * 1000:
            return None
        return Aside(by=outage.GATHERING, ref=row.set_aside_ref, reason="gathering")


def seen_at_ms(alarm: Alarm, now_ms: int) -> int:
    """When the node saw it, as far as its clock can be believed, and never later than now."""
    if alarm.origin.clock_quality is ClockQuality.UNSYNCHRONISED:
        return now_ms
    return min(alarm.origin.captured_at_ms, now_ms)


def load(session: Session, site_ids: Collection[str]) -> Explanations:
    """What may explain alarms of these sites, however old."""
    return Explanations(
        works=permits.works(session, site_ids, since_ms=0),
        quiets=silences.quiets(session, site_ids),
        areas=functools.cache(functools.partial(outage.load, session)),
    )
