"""The life of an incident in situations, in words (see `script`), on both databases.

Wang is paged at once by webhook, Li after a minute by e-mail, and five minutes later the ladder begins again.
"""

from __future__ import annotations

from typing import Final

import pytest

from sealwatch.cloud.incidents import steps
from sealwatch.contract.codes import Closure
from tests.cloud.paging.script import play
from tests.cloud.world import World

SITUATIONS: Final = {
    "somebody is sent before anybody answered: that stops the ladder": """
        0 alarm person
        20 li sent
        500
        pages wang@0
        state dispatched""",
    "who checks in on site without having answered has answered": """
        0 alarm person
        30 wang arrives
        500
        pages wang@0
        state on_site""",
    "the whole way with two people": """
        0 alarm person
        10 wang goes
        20 wang sent
        600 wang arrives
        700 wang verifies
        800 wang closes 4
        state handled
        900 li closes 4
        state closed
        pages wang@0""",
    "the same person twice closes nothing of orange": """
        0 alarm person
        10 wang goes
        20 wang closes 0
        30 wang closes 0
        state handled""",
    "a second person who says something else is a first one for the next": """
        0 alarm person
        20 wang closes 0
        30 li closes 1
        state handled
        40 wang closes 1
        state closed""",
    "a second person who disagrees sends the work on": """
        0 alarm person
        20 wang closes 0
        30 li disagrees
        state acknowledged
        history closing_refused""",
    "who closed it can't disagree with it": """
        0 alarm person
        20 wang closes 0
        30 wang disagrees
        state handled""",
    "yellow is closed by one person": """
        0 alarm vehicle yellow
        20 wang closes 3
        state closed""",
    "the desk confirms what a person said": """
        0 alarm person
        20 wang closes 0
        30 desk closes 0
        state closed""",
    "a closing that waits for its second person pages nobody": """
        0 alarm person
        20 wang closes 0
        3600
        pages wang@0
        state handled""",
    "it gets red while the closing waits: page again": """
        0 alarm person
        20 wang closes 0
        100 alarm hoist_like_cycle
        101
        pages wang@0 wang@100
        state notified
        level red""",
    "it gets red while somebody is on the way: page again": """
        0 alarm person
        10 wang sent
        100 alarm hoist_like_cycle
        101
        pages wang@0 wang@100
        state notified""",
    "it gets red while somebody is there: that one sees it": """
        0 alarm person
        10 wang arrives
        100 alarm hoist_like_cycle
        500
        pages wang@0
        state on_site
        level red""",
    "on site and forgotten: a new alarm five hours later pages": """
        0 alarm person
        10 wang arrives
        18100 alarm person again
        18101
        pages wang@0 wang@18100""",
    "each step renews the time for which a person answers": """
        0 alarm person
        10 wang goes
        14000 wang arrives
        18000 alarm person again
        18001
        pages wang@0
        state on_site""",
    "handled and forgotten: a new alarm five hours later pages": """
        0 alarm person
        10 wang closes 0
        18100 alarm person again
        18101
        pages wang@0 wang@18100
        state notified""",
    "verifying comes after answering": """
        0 alarm person
        10 wang verifies
        11
        state notified""",
    "shelved stops the ladder until its end, then pages": """
        0 alarm person
        30 desk shelves 600
        100
        pages wang@0
        state shelved
        631
        pages wang@0 wang@630
        state notified
        history shelf_ended""",
    "nothing is shelved for longer than a week": """
        0 alarm person
        30 desk shelves 700000
        31
        state notified""",
    "nothing is shelved until a time that has passed": """
        0 alarm person
        30 desk shelves -5
        31
        state notified""",
    "a shelf that ends while no service runs ends at the next start": """
        0 alarm person
        30 desk shelves 600
        40 dark 3600
        pages wang@0 wang@3640
        state notified""",
    "a restart in the middle of a shelf changes nothing": """
        0 alarm person
        30 desk shelves 600
        300 restart
        629
        pages wang@0
        631
        pages wang@0 wang@630""",
    "it gets worse on the shelf: page at once": """
        0 alarm vehicle yellow
        30 desk shelves 6000
        100 alarm hoist_like_cycle
        101
        pages wang@0 wang@100
        state notified""",
    "more of the same on the shelf pages nobody": """
        0 alarm person
        30 desk shelves 6000
        100 alarm person again
        200
        pages wang@0
        state shelved""",
    "taken off the shelf by who goes": """
        0 alarm person
        30 desk shelves 600
        100 li goes
        1000
        pages wang@0
        state acknowledged""",
    "closed on the shelf stays closed": """
        0 alarm person
        30 desk shelves 600
        100 desk closes 2
        1000
        pages wang@0
        state closed""",
    "shelved a second time after its end": """
        0 alarm person
        30 desk shelves 100
        150 desk shelves 100
        240
        pages wang@0 wang@130
        251
        pages wang@0 wang@130 wang@250""",
    "a wall clock set forward ends a shelf early rather than late": """
        0 alarm person
        30 desk shelves 3600
        60 clock forward 4000
        4070
        state notified""",
    "reopened is paged and says so": """
        0 alarm person
        10 desk closes 0
        100 desk reopens
        101
        pages wang@0 wang@100
        state notified""",
    "reopened while the robot is down goes to the next": """
        0 alarm person
        10 desk closes 0
        20 webhook refuses
        100 desk reopens
        101
        pages wang@0 wang@100 li@100
        state notified""",
    "a restart while somebody is on the way pages nobody": """
        0 alarm person
        10 wang sent
        20 restart
        1000
        pages wang@0
        state dispatched""",
    "a restart while somebody is on site pages nobody": """
        0 alarm person
        10 wang arrives
        20 restart
        1000
        pages wang@0
        state on_site""",
    "a restart after the findings pages nobody": """
        0 alarm person
        10 wang goes
        15 wang verifies
        20 restart
        1000
        pages wang@0
        state verified""",
    "a restart while a second person is wanted pages nobody": """
        0 alarm person
        10 wang closes 0
        20 restart
        1000
        pages wang@0
        state handled""",
    "a restart after reopening goes on with the ladder": """
        0 alarm person
        10 desk closes 0
        100 desk reopens
        120 restart
        161
        pages wang@0 wang@100 li@160""",
    "who can't come is not on the way": """
        0 alarm person
        10 wang can't
        11
        pages wang@0 li@10
        state notified""",
    "everybody says that they can't: nobody is asked twice in one walk, the desk is told, and it begins again": """
        0 alarm person
        10 wang can't
        20 li can't
        309
        pages wang@0 li@10
        history nobody_left
        state notified
        311
        pages wang@0 li@10 wang@310""",
    "who said beforehand that they can't is left out when it is their turn": """
        0 alarm person
        10 li can't
        20 wang can't
        300
        pages wang@0
        history nobody_left""",
    "can't in the second walk goes to the next of that walk": """
        0 alarm person
        300
        361
        pages wang@0 li@60 wang@360
        370 wang can't
        371
        pages wang@0 li@60 wang@360 li@370""",
    "can't said twice moves nobody twice": """
        0 alarm person
        10 wang can't
        11 wang can't
        200
        pages wang@0 li@10""",
    "can't after a restart between two walks": """
        0 alarm person
        10 wang can't
        15 restart
        20 li can't
        300
        pages wang@0 li@10
        history nobody_left""",
    "a wall clock set back does not lengthen who answers for it": """
        0 alarm person
        10 wang goes
        100 clock back 3600
        state acknowledged""",
}


@pytest.mark.parametrize("script", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_situation(world: World, script: str) -> None:
    play(world, script)


def test_steps_that_are_refused_say_why(world: World) -> None:
    world.push(world.alarm("person"))
    incident_id, now_ms = world.incident().incident_id, world.clock.wall_ms()
    with world.database.write() as session:
        no_note = steps.verify(session, incident_id=incident_id, actor="person:wang", note=" ", now_ms=now_ms)
        no_reason = steps.shelve(
            session, incident_id=incident_id, actor="desk", until_ms=now_ms + 1000, reason="", now_ms=now_ms
        )
        nothing = steps.arrive(session, incident_id="none", actor="person:wang", now_ms=now_ms)
    assert [outcome.name for outcome in (no_note, no_reason, nothing)] == ["no_reason", "no_reason", "unknown_incident"]
    assert world.incident().state == "detected"


def test_each_step_is_in_the_history_with_name_time_place_and_attachments(world: World) -> None:
    world.push(world.alarm("person"))
    incident_id = world.incident().incident_id
    with world.database.write() as session:
        steps.arrive(
            session,
            incident_id=incident_id,
            actor="person:li",
            latitude_deg=42.1,
            longitude_deg=124.9,
            attachments=("ab" * 32,),
            now_ms=world.clock.wall_ms() + 5,
        )
    (arrived,) = world.events("arrived")
    assert (arrived.actor, arrived.from_state, arrived.to_state) == ("person:li", "detected", "on_site")
    assert arrived.at_ms == world.start_ms + 5
    assert arrived.detail == {"latitude_deg": 42.1, "longitude_deg": 124.9, "attachments": ["ab" * 32]}


def test_what_the_first_person_said_is_no_closure_until_it_is_confirmed(world: World) -> None:
    play(world, "0 alarm person\n 10 wang closes 1")
    incident = world.incident()
    assert (incident.closure, incident.handled_as, incident.handled_by) == (None, 1, "person:wang")
    play(world, "20 li closes 1")
    assert world.incident().closure == Closure.SUSPECTED_ILLEGAL_PRODUCTION
    assert world.events("closed")[0].detail["confirms"] == "person:wang"
