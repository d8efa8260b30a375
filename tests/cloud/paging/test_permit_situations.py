"""Announced work in situations, in words (see `script`), on both databases. Wang at once, Li after a minute."""

from __future__ import annotations

from typing import Final

import pytest

from tests.cloud.paging.script import play
from tests.cloud.world import World

SITUATIONS: Final = {
    "two announced people are logged and wake nobody": """
        0 permit until 3600
        10 alarm person count 2
        900 over person count 2
        2000
        pages
        state
        aside person-1""",
    "three where two are announced is an alarm": """
        0 permit until 3600
        10 alarm person count 3
        11
        pages wang@10
        state notified""",
    "two at first, then three": """
        0 permit until 3600
        10 alarm person count 2
        100 more person count 3
        101
        pages wang@100
        state notified
        aside""",
    "before the permit was entered it is an alarm, and stays one": """
        0 alarm person count 2
        10 permit until 3600
        61
        pages wang@0 li@60
        state notified""",
    "still there ten minutes after the end": """
        0 permit until 3600
        10 alarm person count 2
        4190
        pages
        4206
        pages wang@4205
        verdict permit_overstay
        level orange
        aside""",
    "gone within the ten minutes": """
        0 permit until 3600
        10 alarm person count 2
        4100 over person count 2
        6000
        pages
        aside person-1""",
    "ended early: they have ten minutes": """
        0 permit until 7200
        10 alarm person count 2
        600 permit ends
        1195
        pages
        1215
        pages wang@1210
        verdict permit_overstay""",
    "whoever comes after the end has no grace": """
        0 permit until 3600
        3601 alarm person
        3602
        pages wang@3601
        verdict person_present""",
    "another word after the end needs no waiting": """
        0 permit until 3600
        10 alarm person count 2
        3700 more person count 2
        3701
        pages wang@3700
        state notified""",
    "a hoist that nobody announced beside announced people is red": """
        0 permit until 3600
        10 alarm person count 2
        20 alarm hoist_like_cycle
        21
        pages wang@20
        level red
        aside person-1""",
    "an announced hoist with announced people is logged": """
        0 permit until 3600 hoist
        10 alarm person count 2
        20 alarm hoist_like_cycle pulse_w 3000
        2000
        pages
        aside person-1 hoist_like_cycle-1""",
    "more power than announced": """
        0 permit until 3600
        10 alarm power_step after_w 4000
        20 more power_step after_w 9000
        21
        pages wang@20
        state notified""",
    "a fault beside announced people is only a fault": """
        0 permit until 3600
        10 alarm person count 2
        20 alarm camera_fault blue
        500
        pages
        level blue
        aside person-1""",
    "a camera is covered while announced power runs": """
        0 permit until 3600
        10 alarm power_step after_w 4000
        20 alarm camera_fault blue
        21
        pages wang@20
        level orange
        verdict power_without_picture""",
    "a permit that ends while no service runs is noticed at the next start": """
        0 permit until 600
        10 alarm person count 2
        20 dark 7200
        7221
        pages wang@7220
        verdict permit_overstay""",
}


@pytest.mark.parametrize("script", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_situation(world: World, script: str) -> None:
    play(world, script)
