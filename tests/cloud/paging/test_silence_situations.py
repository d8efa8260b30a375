"""Maintenance silences in situations, in words (see `script`), on both databases. Wang at once, Li after a minute."""

from __future__ import annotations

from typing import Final

import pytest

from tests.cloud.paging.script import play
from tests.cloud.world import World

SITUATIONS: Final = {
    "a silenced fault that ends in time wakes nobody": """
        0 silence camera_fault 600
        10 alarm camera_fault yellow
        300 over camera_fault
        2000
        pages
        state
        aside camera_fault-1""",
    "what still stands at the end of a silence is paged": """
        0 silence camera_fault 600
        10 alarm camera_fault yellow
        599
        pages
        615
        pages wang@614
        verdict camera_fault
        aside""",
    "a kind that is not silenced is paged": """
        0 silence camera_fault 600
        10 alarm person
        11
        pages wang@10""",
    "red wakes people through any silence": """
        0 silence hoist_like_cycle person 600
        10 alarm hoist_like_cycle
        11
        pages wang@10
        level red""",
    "what becomes red together is not silent either": """
        0 silence power_step camera_fault person 6000
        10 alarm person
        20 alarm hoist_like_cycle
        21
        pages wang@20
        level red
        aside person-1""",
    "ended by somebody before its time": """
        0 silence camera_fault 6000
        10 alarm camera_fault yellow
        300 silence ends
        315
        pages wang@300
        state notified""",
    "a silence that ends while no service runs ends at the next start": """
        0 silence camera_fault 600
        10 alarm camera_fault yellow
        20 dark 3600
        pages
        3621
        pages wang@3620
        state notified""",
    "a wall clock set back does not lengthen a silence": """
        0 silence camera_fault 600
        10 alarm camera_fault yellow
        60 clock back 3600
        -2925
        state notified
        verdict camera_fault""",
    "a wall clock set back while no service runs ends it": """
        0 silence camera_fault 6000
        100 alarm camera_fault yellow
        200
        201 clock back 3600
        -3399 restart
        -3398
        state notified""",
    "a wall clock set forward ends it early rather than late": """
        0 silence camera_fault 3600
        10 alarm camera_fault yellow
        60 clock forward 4000
        4075
        state notified""",
    "a restart in the middle of a silence changes nothing": """
        0 silence camera_fault 600
        10 alarm camera_fault yellow
        300 restart
        595
        pages
        616
        pages wang@610""",
    "an ended silence does not hold for the next alarm, whatever the clock says": """
        0 silence camera_fault 600
        300 clock back 3600
        -2900 alarm camera_fault yellow
        -2899
        state notified""",
    "after its end it is an alarm like any other": """
        0 silence camera_fault 600
        601 alarm camera_fault yellow
        602
        pages wang@601""",
    "a shelf is not lengthened by a clock set back either": """
        0 alarm person
        30 desk shelves 600
        60 clock back 3600
        -2905
        state notified
        history shelf_ended""",
}


@pytest.mark.parametrize("script", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_situation(world: World, script: str) -> None:
    play(world, script)
