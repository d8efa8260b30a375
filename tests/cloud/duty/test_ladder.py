"""The ladder of an incident: whoever is on duty when it opens, and no change later. On both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sealwatch.base import settings
from sealwatch.cloud.config import CloudSettings
from sealwatch.cloud.db.duty_tables import PersonAbsence
from sealwatch.cloud.duty import store
from sealwatch.cloud.duty.ladder import DutyLadder
from sealwatch.cloud.duty.roster import DAY_MS
from sealwatch.cloud.paging import ladder as ladders
from sealwatch.cloud.refused import NotAllowed
from tests.cloud.world import World

FILE = """
data_dir = "data"
mqtt.url = "mqtt://127.0.0.1:1883"
webhook.secret = "env:SECRET"
smtp = { host = "mail.example", sender = "seal@county.example" }
ladder_repeat_s = 300.0
people = [
  { person_id = "wang", name = "王", level = 4, webhook_url = "to:wang", email = "to:wang" },
  { person_id = "li", name = "李", level = 3, webhook_url = "to:li", email = "to:li" },
  { person_id = "zhao", name = "赵", level = 2, webhook_url = "to:zhao", email = "to:zhao" },
]
[[ladder]]
after_s = 0.0
roster = "duty"
channel = "webhook"
[[ladder]]
after_s = 60.0
person_id = "zhao"
channel = "email"
"""
SETTINGS = settings.parse(CloudSettings, FILE, name="cloud.toml")


@pytest.fixture
def world(build_world: Callable[..., World]) -> World:
    """Wang and Li take turns of a day, Wang first; Zhao comes after a minute."""
    made = build_world(ladder=DutyLadder(SETTINGS))
    with made.database.write() as session:
        for person in SETTINGS.people:
            fields = ("name", "level", "webhook_url", "email")
            store.put_person(session, person.person_id, {name: getattr(person, name) for name in fields})
        store.put_roster(
            session,
            "duty",
            name="值班",
            people=("wang", "li"),
            holiday_people=(),
            begins_ms=made.start_ms,
            turn_ms=DAY_MS,
            author="desk",
            now_ms=made.start_ms,
        )
    return made


def sent(world: World) -> list[str]:
    return [f"{address.removeprefix('to:')}@{at:g}" for at, address in world.pages_sent()]


def absent(world: World, person_id: str, substitute_id: str = "") -> PersonAbsence:
    now_ms = world.clock.wall_ms()
    with world.database.write() as session:
        return store.add_absence(
            session,
            person_id=person_id,
            from_ms=now_ms,
            to_ms=now_ms + DAY_MS,
            substitute_id=substitute_id,
            reason="出差",
            author="desk",
            now_ms=now_ms,
        )


def test_whose_turn_it_is_is_asked_and_tomorrow_the_other(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(1)
    assert sent(world) == ["wang@0"]
    world.close_incident()
    world.clock.advance(DAY_MS / 1000)
    world.push(world.alarm("person", alarm_id="person-2"))
    world.pager.turn()
    assert sent(world)[-1] == "li@86401"


def test_an_absent_person_is_replaced_and_the_incident_says_for_whom(world: World) -> None:
    absent(world, "wang", "zhao")
    world.push(world.alarm("person"))
    world.until(61)
    assert sent(world) == ["zhao@0", "zhao@60"]
    first = ladders.from_json(world.incident().ladder).steps[0]
    assert (first.person_id, first.duty, first.instead_of) == ("zhao", "substitute", "wang")


def test_a_handover_in_the_middle_of_a_ladder_does_not_change_who_is_asked(world: World) -> None:
    world.clock.advance(DAY_MS / 1000 - 100)
    world.push(world.alarm("person"))
    world.until(86400 - 100 + 361)
    assert sent(world) == ["wang@86300", "zhao@86360", "wang@86660"]


def test_an_absence_entered_later_changes_no_running_page_but_the_next_incident(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(10)
    absent(world, "wang", "zhao")
    world.until(361)
    assert sent(world) == ["wang@0", "zhao@60", "wang@360"]
    world.close_incident()
    world.push(world.alarm("person", alarm_id="person-2"))
    world.until(362)
    assert sent(world)[-1] == "zhao@361"


def test_a_swap_and_its_cancelling(world: World) -> None:
    now_ms = world.clock.wall_ms()
    with world.database.write() as session:
        swap = store.add_swap(
            session,
            "duty",
            person_id="li",
            from_ms=now_ms,
            to_ms=now_ms + 3_600_000,
            reason="换班",
            author="person:wang",
            now_ms=now_ms,
        )
    world.push(world.alarm("person"))
    world.until(1)
    world.close_incident()
    with world.database.write() as session:
        store.cancel_swap(session, swap.id, now_ms=now_ms)
        with pytest.raises(NotAllowed, match="not_there"):
            store.cancel_swap(session, swap.id, now_ms=now_ms)
    world.push(world.alarm("person", alarm_id="person-2"))
    world.until(2)
    assert sent(world) == ["li@0", "wang@1"]


def test_a_roster_that_names_nobody_leaves_its_step_out_and_the_others_are_asked(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.clock.jump_wall(-2 * DAY_MS / 1000)  # before it begins
    world.push(world.alarm("person"))
    (step,) = ladders.from_json(world.incident().ladder).steps
    assert step.person_id == "zhao"
    assert "the roster duty names nobody now" in caplog.text


def test_nobody_swaps_with_a_stranger_or_for_yesterday(world: World) -> None:
    now_ms = world.clock.wall_ms()
    hour: dict[str, Any] = {
        "from_ms": now_ms,
        "to_ms": now_ms + 3_600_000,
        "reason": "换班",
        "author": "desk",
        "now_ms": now_ms,
    }
    with world.database.write() as session:
        for roster_id, changes, name in (
            ("none", {"person_id": "li"}, "unknown_roster"),
            ("duty", {"person_id": "stranger"}, "unknown_person"),
            ("duty", {"person_id": "li", "to_ms": now_ms - 1}, "bad_window"),
        ):
            with pytest.raises(NotAllowed, match=name):
                store.add_swap(session, roster_id, **(hour | changes))
        with pytest.raises(NotAllowed, match="bad_window"):
            store.add_absence(session, person_id="li", substitute_id="li", **hour)
