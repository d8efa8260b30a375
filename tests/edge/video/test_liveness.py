"""A recording played as live is exposed; a living or a merely still picture is not."""

from __future__ import annotations

import numpy as np

from sealwatch.contract.codes import Phase
from sealwatch.edge.ports import Image
from sealwatch.edge.video.liveness import Doubt, LoopWatch

RNG = np.random.default_rng(3)


def living(count: int) -> list[Image]:
    return [RNG.integers(90, 120, (72, 96), dtype=np.uint8) for _ in range(count)]


def watch(pictures: list[Image], fps: float = 5.0) -> list[tuple[float, Doubt]]:
    loops = LoopWatch()
    told = [
        (n / fps, loops.look(p, fresh=True, now_s=n / fps, now_ms=round(n * 1000 / fps)))
        for n, p in enumerate(pictures)
    ]
    return [(t_s, change) for t_s, change in told if change is not None]


def test_a_loop_is_told_within_seconds_of_its_second_round_with_its_length_and_ends_with_it() -> None:
    recorded = living(60)
    (start_s, start), (end_s, end) = watch(living(40) + recorded * 3 + living(80))
    assert (start.phase, end.phase) == (Phase.START, Phase.END)
    assert 20.0 <= start_s <= 22.0
    assert start.numbers["period_s"] == 12.0
    assert 44.0 <= end_s <= 56.0


def test_a_living_picture_a_still_one_and_one_that_flickers_are_no_loops() -> None:
    assert watch(living(400)) == []
    assert watch(living(1) * 400) == []
    assert watch(living(2) * 200) == []


def test_pictures_that_are_told_to_stand_still_prove_nothing() -> None:
    loops, recorded = LoopWatch(), living(60)
    for n, picture in enumerate(recorded * 3):
        assert loops.look(picture, fresh=False, now_s=n / 5, now_ms=n * 200) is None


def test_memory_does_not_grow_without_end() -> None:
    loops = LoopWatch()
    for n in range(9500):
        loops.look(RNG.integers(0, 255, (8, 8), dtype=np.uint8), fresh=True, now_s=n / 5, now_ms=0)
    assert len(loops._order) <= 9000
    assert sum(len(times) for times in loops._times.values()) <= 9000
