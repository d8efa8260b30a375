"""Who is on duty, case by case: turns, swaps, holidays, absences and who stands in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.duty.roster import (
    DAY_MS,
    Absence,
    Calendar,
    Duty,
    Roster,
    Swap,
    day_of,
    stand_in,
    who_is_on_duty,
)


def at(text: str) -> int:
    """A moment in China's time."""
    return round((datetime.fromisoformat(text).replace(tzinfo=UTC) - timedelta(hours=8)).timestamp() * 1000)


WEEK = Roster(roster_id="day", people=("wang", "li", "zhao"), begins_ms=at("2026-09-28T08:00"), turn_ms=DAY_MS)
SHIFTS = replace(WEEK, turn_ms=DAY_MS // 2)
NATIONAL = Calendar(holidays=frozenset({"2026-10-01", "2026-10-02"}))
NONE = Calendar()


@pytest.mark.parametrize(
    ("moment", "person"),
    [
        ("2026-09-28T08:00", "wang"),
        ("2026-09-29T07:59", "wang"),
        ("2026-09-29T08:00", "li"),
        ("2026-09-30T12:00", "zhao"),
        ("2026-10-01T08:00", "wang"),
        ("2027-09-28T09:00", "zhao"),  # 365 turns later
    ],
)
def test_turns_of_a_day_from_eight_to_eight(moment: str, person: str) -> None:
    assert who_is_on_duty(WEEK, NONE, at(moment)) == Duty(person, "rotation")


@pytest.mark.parametrize(
    ("moment", "person"),
    [
        ("2026-09-28T12:00", "wang"),
        ("2026-09-28T22:00", "li"),
        ("2026-09-29T07:00", "li"),
        ("2026-09-29T12:00", "zhao"),
    ],
)
def test_day_and_night_shifts(moment: str, person: str) -> None:
    assert who_is_on_duty(SHIFTS, NONE, at(moment)).person_id == person


def test_before_it_begins_and_without_people_nobody_is() -> None:
    assert who_is_on_duty(WEEK, NONE, at("2026-09-27T12:00")) == Duty(None, "nobody")
    assert who_is_on_duty(replace(WEEK, people=()), NONE, at("2026-09-29T12:00")) == Duty(None, "nobody")


def test_holiday_people_do_the_days_off_a_day_each_and_only_those() -> None:
    roster = replace(WEEK, holiday_people=("sun", "zhou"))
    first, second = (who_is_on_duty(roster, NATIONAL, at(f"2026-10-0{day}T12:00")) for day in (1, 2))
    assert {first.person_id, second.person_id} == {"sun", "zhou"}
    assert first.reason == second.reason == "holiday"
    assert who_is_on_duty(roster, NATIONAL, at("2026-10-03T12:00")).reason == "rotation"
    assert who_is_on_duty(WEEK, NATIONAL, at("2026-10-01T12:00")).reason == "rotation"
    assert who_is_on_duty(roster, NATIONAL, at("2026-10-01T00:00")).reason == "holiday"  # midnight in China
    assert who_is_on_duty(roster, NATIONAL, at("2026-09-30T23:59")).reason == "rotation"


def swap(person: str, start: str, end: str, order: int = 1) -> Swap:
    return Swap(person_id=person, from_ms=at(start), to_ms=at(end), order=order)


def test_a_swap_holds_for_its_stretch_and_the_later_one_is_stronger() -> None:
    one = swap("li", "2026-09-28T12:00", "2026-09-28T20:00")
    two = swap("zhao", "2026-09-28T18:00", "2026-09-28T22:00", order=2)
    roster = replace(WEEK, swaps=(one, two))
    found = [who_is_on_duty(roster, NONE, at(f"2026-09-28T{hour}:00")).person_id for hour in (11, 12, 18, 20, 22)]
    assert found == ["wang", "li", "zhao", "zhao", "wang"]


def test_a_swap_is_stronger_than_a_holiday_and_works_for_an_empty_roster() -> None:
    roster = replace(WEEK, holiday_people=("sun",), swaps=(swap("li", "2026-10-01T00:00", "2026-10-02T00:00"),))
    assert who_is_on_duty(roster, NATIONAL, at("2026-10-01T12:00")) == Duty("li", "swap")
    assert who_is_on_duty(replace(roster, people=()), NONE, at("2026-10-01T12:00")).person_id == "li"


def away(person: str, substitute: str = "", start: str = "2026-09-01T00:00", end: str = "2026-12-01T00:00") -> Absence:
    return Absence(person_id=person, from_ms=at(start), to_ms=at(end), substitute_id=substitute)


@pytest.mark.parametrize(
    ("absences", "duty"),
    [
        ([away("wang", "chen")], Duty("chen", "substitute", "wang")),
        ([away("wang", "chen"), away("chen", "he")], Duty("he", "substitute", "wang")),
        ([away("wang")], Duty("li", "next_in_turn", "wang")),
        ([away("wang"), away("li")], Duty("zhao", "next_in_turn", "wang")),
        ([away("wang", "chen"), away("chen")], Duty("li", "next_in_turn", "wang")),
        ([away("wang", "chen"), away("chen", "wang")], Duty("li", "next_in_turn", "wang")),
        ([away("wang"), away("li"), away("zhao")], Duty("wang", "absent")),
        ([away("li", "chen")], Duty("wang", "rotation")),
        ([away("wang", "chen", end="2026-09-28T12:00")], Duty("wang", "rotation")),
        ([away("wang", "chen", start="2026-09-28T12:01")], Duty("wang", "rotation")),
        ([away("wang", "old"), away("wang", "new", start="2026-09-28T00:00")], Duty("new", "substitute", "wang")),
    ],
)
def test_who_stands_in_for_whom(absences: list[Absence], duty: Duty) -> None:
    assert who_is_on_duty(WEEK, Calendar(absences=tuple(absences)), at("2026-09-28T12:00")) == duty


def test_who_swapped_in_may_be_away_as_well() -> None:
    roster = replace(WEEK, swaps=(swap("li", "2026-09-28T08:00", "2026-09-29T08:00"),))
    calendar = Calendar(absences=(away("li", "chen"),))
    assert who_is_on_duty(roster, calendar, at("2026-09-28T12:00")) == Duty("chen", "substitute", "li")


def test_a_person_named_without_a_roster_has_a_substitute_too_and_is_asked_where_there_is_none() -> None:
    moment = at("2026-09-28T12:00")
    assert stand_in("wang", NONE, moment) == Duty("wang", "rotation")
    assert stand_in("wang", Calendar(absences=(away("wang", "chen"),)), moment) == Duty("chen", "substitute", "wang")
    assert stand_in("wang", Calendar(absences=(away("wang"),)), moment) == Duty("wang", "absent")


@given(st.integers(0, 4_000_000_000_000))
def test_somebody_is_asked_whoever_is_away(at_ms: int) -> None:
    calendar = Calendar(absences=tuple(replace(away(name), from_ms=0, to_ms=2**53) for name in WEEK.people))
    assert who_is_on_duty(replace(WEEK, begins_ms=0), calendar, at_ms).person_id in WEEK.people


def test_days_are_chinas() -> None:
    assert day_of(at("2026-10-01T00:00")) == "2026-10-01"
    assert day_of(at("2026-10-01T00:00") - 1) == "2026-09-30"
