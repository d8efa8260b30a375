"""Which alarms announced work explains, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sealwatch.cloud.permits.cover import KINDS, Seen, Work, judge
from sealwatch.contract.codes import AlarmKind


def at_ms(text: str) -> int:
    """A moment in China's time."""
    return round((datetime.fromisoformat(text).replace(tzinfo=UTC) - timedelta(hours=8)).timestamp() * 1000)


WORK = Work(
    permit_id="p-1",
    from_ms=at_ms("2026-03-02T08:00"),
    to_ms=at_ms("2026-03-06T18:00"),
    from_hour=8,
    to_hour=18,
    max_power_w=10_000,
    max_people=3,
    equipment=frozenset({"pump"}),
)
NIGHT = replace(WORK, permit_id="p-night", from_hour=22, to_hour=6)
HOIST = replace(WORK, permit_id="p-hoist", equipment=frozenset({"hoist", "vehicle"}))
NOON = at_ms("2026-03-03T12:00")


def seen(kind: str, reason: str = "seen", **numbers: float) -> Seen:
    return Seen(kind=kind, reason=reason, numbers=numbers)


@pytest.mark.parametrize(
    ("what", "works", "reason"),
    [
        (seen("person", count=3), [WORK], "inside_permit"),
        (seen("person", count=4), [WORK], "more_people"),
        (seen("person"), [WORK], "inside_permit"),
        (seen("person", "more_people_than_permitted", count=2), [WORK], "more_people"),
        (seen("person", count=4), [WORK, replace(WORK, max_people=5)], "inside_permit"),
        (seen("count", count=1), [WORK], "inside_permit"),
        (seen("power_step", after_w=10_900, step_w=10_900), [WORK], "inside_permit"),
        (seen("power_step", after_w=11_100, step_w=4_000), [WORK], "more_power"),
        (seen("power_step", step_w=30_000, after_w=1), [WORK], "more_power"),
        (seen("hoist_like_cycle", pulse_w=3000), [WORK], "equipment_not_named"),
        (seen("hoist_like_cycle", pulse_w=3000), [HOIST], "inside_permit"),
        (seen("hoist_like_cycle", pulse_w=30_000), [HOIST], "more_power"),
        (seen("equipment"), [WORK], "equipment_not_named"),
        (seen("equipment"), [HOIST], "inside_permit"),
        (seen("vehicle"), [WORK], "equipment_not_named"),
        (seen("vehicle"), [HOIST], "inside_permit"),
        (seen("person"), [], "no_permit"),
        (seen("camera_fault"), [HOIST], "not_explained_by_work"),
        (seen("power_anomaly", "above_permit"), [HOIST], "not_explained_by_work"),
        (seen("scene_change"), [HOIST], "not_explained_by_work"),
        (seen("input"), [HOIST], "not_explained_by_work"),
        (seen("disarmed"), [HOIST], "not_explained_by_work"),
        (seen("a_kind_of_tomorrow"), [HOIST], "not_explained_by_work"),
    ],
)
def test_what_a_permit_explains(what: Seen, works: list[Work], reason: str) -> None:
    assert judge(works, what, NOON).reason == reason


@pytest.mark.parametrize(
    ("work", "moment", "inside"),
    [
        (WORK, "2026-03-02T07:59", False),
        (WORK, "2026-03-02T08:00", True),
        (WORK, "2026-03-03T17:59", True),
        (WORK, "2026-03-03T18:00", False),
        (WORK, "2026-03-04T02:00", False),
        (WORK, "2026-03-06T18:00", False),
        (WORK, "2026-03-07T12:00", False),
        (NIGHT, "2026-03-03T21:59", False),
        (NIGHT, "2026-03-03T22:00", True),
        (NIGHT, "2026-03-04T05:59", True),
        (NIGHT, "2026-03-04T06:00", False),
        (NIGHT, "2026-03-02T05:00", False),  # before its first day
        (replace(WORK, from_hour=0, to_hour=24), "2026-03-04T23:59", True),
        (replace(WORK, from_hour=22, to_hour=0), "2026-03-04T00:00", False),
    ],
)
def test_window_and_hours_of_the_day_in_chinas_time(work: Work, moment: str, inside: bool) -> None:
    assert judge([work], seen("person"), at_ms(moment)).covered is inside


def test_the_permit_that_explains_it_is_named() -> None:
    assert judge([WORK, HOIST], seen("vehicle"), NOON).permit_id == "p-hoist"


def test_faults_and_tampering_are_never_explained() -> None:
    faults = {AlarmKind.CAMERA_FAULT, AlarmKind.LIVENESS, AlarmKind.SCENE_CHANGE, AlarmKind.INPUT, AlarmKind.NODE_FAULT}
    assert not faults & set(KINDS)
