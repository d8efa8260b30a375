"""Where the detector looks."""

from __future__ import annotations

from sealwatch.edge.video import attention
from sealwatch.edge.video.attention import AttentionSettings, AttentionState, Interest
from sealwatch.edge.video.gate import GateResult
from sealwatch.edge.video.geometry import Box, contains

AWAKE = AttentionState(looked_s=9.0, swept_s=9.0, sweeps=9)
SMALL = Box(0.70, 0.70, 0.72, 0.75)


def looks(*, counting: bool, size_px: tuple[int, int] = (1280, 720), region: Box = SMALL) -> tuple[Interest, ...]:
    gate = GateResult(moving=True, reason="moved", motion_ratio=0.01, regions=(region,))
    _, chosen = attention.plan(
        AWAKE, AttentionSettings(), gate, (), size_px=size_px, settled=False, counting=counting, now_s=10.0
    )
    return chosen


def test_what_moves_far_away_is_searched_in_a_square_crop_around_it() -> None:
    (only,) = looks(counting=False)
    assert only.reason == "moved"
    assert contains(only.crop, SMALL.centre)
    assert (round(1280 * only.crop.width), round(720 * only.crop.height)) == (240, 240)


def test_where_people_are_counted_it_is_searched_in_two_sizes_inside_the_picture() -> None:
    near, wide = looks(counting=True, region=Box(0.97, 0.95, 0.99, 1.0))
    assert (round(1280 * near.crop.width), round(720 * near.crop.height)) == (300, 300)
    assert (round(1280 * wide.crop.width), round(720 * wide.crop.height)) == (420, 420)
    assert max(near.crop.x2, near.crop.y2, wide.crop.x2, wide.crop.y2) <= 1.0


def test_a_picture_that_is_searched_whole_is_searched_once() -> None:
    (only,) = looks(counting=True, size_px=(240, 180))
    assert only.crop == Box(0.0, 0.0, 1.0, 1.0)
