"""Silence in situations, in words (see `script`), on both databases. Site s1 is declared cut off.

Wang is paged at once, Li after a minute.
"""

from __future__ import annotations

from typing import Final

import pytest

from sealwatch.contract.messages import PartHealth
from tests.cloud.paging.script import play
from tests.cloud.world import World

SITUATIONS: Final = {
    "a link that drops for four minutes is nobody's business": """
        0 node online
        10 node offline
        250 node online
        600
        pages
        aside""",
    "a quarter of an hour is a note": """
        0 node online
        10 node offline
        900 node online
        920
        pages
        state""",
    "twenty minutes at a dead site wake somebody, and an hour says it louder": """
        0 node online
        10 node offline
        1200
        pages
        1230
        pages wang@1215
        verdict node_silent
        level yellow
        1231 wang goes
        3600
        state acknowledged
        3640
        pages wang@1215 wang@3615
        level orange
        state notified""",
    "heard again: the alarm ends, a person still closes": """
        0 node online
        10 node offline
        1300 wang goes
        1400 node online
        1420
        history alarm_ended
        state acknowledged
        pages wang@1220 li@1280""",
    "gone twice is told twice": """
        0 node online
        10 node offline
        1250 wang goes
        1260 node online
        1300 desk closes 0
        1400 node offline
        2650
        pages wang@1215 wang@2600
        state closed notified""",
    "a silenced node wakes nobody until the silence ends": """
        0 silence node_silent 3000
        1 node online
        10 node offline
        2990
        pages
        3030
        pages wang@3005
        verdict node_silent""",
    "a person at the site of a silent node is a page of its own": """
        0 node online
        10 node offline
        1230 wang goes
        1240 alarm person
        1241
        pages wang@1210 wang@1240
        level orange""",
}


@pytest.mark.parametrize("script", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_situation(world: World, script: str) -> None:
    play(world, script)


def test_a_short_silence_is_on_record_without_an_incident(world: World) -> None:
    play(world, "0 node online\n 10 node offline\n 600 node online\n 620")
    (alarm,) = world.alarms()
    assert (alarm.kind, alarm.phase, alarm.set_aside, alarm.incident_id) == ("node_silent", "end", "note", None)
    assert alarm.sentence_zh.startswith("一号井")


def test_while_the_broker_is_away_nobody_is_called_silent(world: World) -> None:
    world.say()
    connected = [True]
    world.watcher._connected = lambda: connected[0]
    world.watcher.turn()
    connected[0] = False
    world.clock.advance(7200)
    assert world.watcher.turn() == 0
    connected[0] = True
    assert world.watcher.turn() == 0  # it has had no chance to speak
    world.clock.advance(600)
    world.say()
    world.clock.advance(120)
    world.watcher.turn()
    assert world.alarms() == []


def test_a_camera_that_proves_nothing_though_its_node_lives(world: World) -> None:
    stale = PartHealth(
        part_id="cam-1", kind="camera", ok=False, reason="stuck", evidence_at_ms=world.clock.wall_ms() - 1_000_000
    )
    world.say(parts=[stale])
    world.watcher.turn()
    world.pager.turn()
    assert world.incident().verdict == "source_silent"
    assert [address for _, address in world.pages_sent()] == ["to:wang"]
    world.say()
    world.watcher.turn()
    assert world.alarms()[0].phase == "end"


def test_a_fault_that_the_node_tells_of_is_not_told_twice(world: World) -> None:
    world.push(world.alarm("camera_fault"))
    stale = PartHealth(
        part_id="cam-1", kind="camera", ok=False, reason="stuck", evidence_at_ms=world.clock.wall_ms() - 1_000_000
    )
    world.say(parts=[stale])
    world.watcher.turn()
    assert [alarm.kind for alarm in world.alarms()] == ["camera_fault"]
