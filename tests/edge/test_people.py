"""People against the permit's number, and what counts as work in the picture."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.contract.codes import DeclaredStatus, Level, Phase
from sealwatch.contract.messages import Permit
from sealwatch.edge.activity import NotingSink, WorkLog, is_work
from sealwatch.edge.declared import DeclaredNow
from sealwatch.edge.people import PeopleSink, covers, limit_at
from sealwatch.edge.ports import AlarmDraft, MemorySink

HOUR_MS = 3_600_000
NOON_MS = 1_700_000_000_000 // (24 * HOUR_MS) * 24 * HOUR_MS + 4 * HOUR_MS  # of UTC+8


def permit(people: int | None = 2, *, hours: tuple[int, int] = (8, 18)) -> Permit:
    return Permit(
        permit_id="p1",
        from_ms=NOON_MS - 100 * HOUR_MS,
        to_ms=NOON_MS + 100 * HOUR_MS,
        from_hour=hours[0],
        to_hour=hours[1],
        max_people=people,
        purpose="repair",
    )


def seen(phase: Phase, count: int, *, alarm_id: str = "a1", at_ms: int = NOON_MS, kind: str = "person") -> AlarmDraft:
    return AlarmDraft(
        alarm_id=alarm_id,
        kind=kind,
        phase=phase,
        level=Level.ORANGE,
        source_id="cam",
        started_at_ms=at_ms - 1000,
        captured_at_ms=at_ms,
        score=0.9,
        reason="r",
        sentence_zh="",
        sentence_en="",
        numbers={"count": float(count)},
    )


class Scene:
    """A sink under a permit; `over` is what was told about the number of people."""

    def __init__(self, *permits: Permit) -> None:
        self.memory = MemorySink()
        self.now = DeclaredNow(DeclaredStatus.POWER_CUT, permits, 1)
        self.sink = PeopleSink(self.memory, lambda: self.now)

    @property
    def over(self) -> list[tuple[Phase, float]]:
        return [(d.phase, d.numbers["count"]) for d in self.memory.alarms if "permit" in d.reason]


@pytest.mark.parametrize(
    ("hours", "hour", "inside"),
    [((8, 18), 8, True), ((8, 18), 18, False), ((22, 6), 23, True), ((22, 6), 5, True), ((22, 6), 6, False)],
)
def test_a_permit_covers_its_hours_of_the_day_also_over_midnight(
    hours: tuple[int, int], hour: int, inside: bool
) -> None:
    assert covers(permit(hours=hours), NOON_MS + (hour - 12) * HOUR_MS) is inside


def test_one_more_than_allowed_is_told_and_ends_when_they_leave() -> None:
    scene = Scene(permit(2))
    for phase, count in ((Phase.START, 2), (Phase.UPDATE, 3), (Phase.UPDATE, 3), (Phase.UPDATE, 4), (Phase.UPDATE, 1)):
        scene.sink.alarm(seen(phase, count))
    assert scene.over == [(Phase.START, 3), (Phase.UPDATE, 4), (Phase.END, 1)]
    start, update, end = (d for d in scene.memory.alarms if "permit" in d.reason)
    assert start.alarm_id == update.alarm_id == end.alarm_id != "a1"
    assert "只允许 2 人" in start.sentence_zh


def test_two_cameras_that_see_the_same_two_people_count_two() -> None:
    scene = Scene(permit(2))
    scene.sink.alarm(seen(Phase.START, 2, alarm_id="a1"))
    scene.sink.alarm(seen(Phase.START, 2, alarm_id="a2"))
    assert scene.over == []


def test_it_ends_with_the_permit_and_begins_anew_with_its_own_number() -> None:
    scene = Scene(permit(1))
    scene.sink.alarm(seen(Phase.START, 2))
    scene.now = DeclaredNow(DeclaredStatus.POWER_CUT, (), 2)
    scene.sink.alarm(seen(Phase.UPDATE, 2))
    assert [phase for phase, _ in scene.over] == [Phase.START, Phase.END]


def test_without_a_number_or_outside_its_hours_nothing_is_told() -> None:
    assert limit_at([permit(None), permit(2)], NOON_MS) is None
    assert limit_at([permit(2), permit(5)], NOON_MS) == 5
    scene = Scene(permit(1, hours=(0, 6)))
    scene.sink.alarm(seen(Phase.START, 9))
    assert scene.over == []


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(list(Phase)), st.integers(0, 5)), max_size=30))
def test_starts_and_ends_alternate_whatever_comes(steps: list[tuple[str, Phase, int]]) -> None:
    scene = Scene(permit(2))
    for alarm_id, phase, count in steps:
        scene.sink.alarm(seen(phase, count, alarm_id=alarm_id))
    phases = [phase for phase, _ in scene.over if phase is not Phase.UPDATE]
    assert all(one is not other for one, other in itertools.pairwise(phases))
    assert phases[:1] in ([], [Phase.START])
    assert len([d for d in scene.memory.alarms if d.reason == "r"]) == len(steps)


@pytest.mark.parametrize(
    ("kind", "count", "work"),
    [("person", 1, False), ("person", 2, True), ("equipment", 0, True), ("vehicle", 0, True), ("animal", 3, False)],
)
def test_a_single_person_on_a_round_is_no_work(kind: str, count: int, work: bool) -> None:
    assert is_work(seen(Phase.START, count, kind=kind)) is work


def test_the_log_knows_when_there_was_work() -> None:
    log = WorkLog()
    sink = NotingSink(MemorySink(), log)
    sink.alarm(seen(Phase.START, 1))
    assert not log.between(NOON_MS, NOON_MS + 60_000)
    sink.alarm(seen(Phase.UPDATE, 2, at_ms=NOON_MS + 120_000))
    assert log.between(NOON_MS + 120_000, NOON_MS + 180_000)
    sink.alarm(seen(Phase.END, 0, at_ms=NOON_MS + 300_000))
    assert log.between(NOON_MS + 240_000, NOON_MS + 300_000)
    assert not log.between(NOON_MS + 300_000, NOON_MS + 360_000)
