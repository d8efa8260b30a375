"""Disturbances: each changes the picture, keeps its shape, and is the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from sealwatch.simulator import vision


def pictures(count: int = 12) -> list[tuple[float, vision.Image]]:
    rng = np.random.default_rng(4)
    base = rng.integers(40, 200, (90, 160, 3), dtype=np.uint8)
    return [(n / 5, base) for n in range(count)]


@pytest.mark.parametrize("name", sorted(vision.disturbances()))
def test_each_disturbance_changes_pictures_repeatably_and_keeps_their_shape(name: str) -> None:
    def play() -> list[vision.Image]:
        return [p for _, p in vision.disturb(pictures(80), vision.disturbances()[name], seed=3)]

    first, second = play(), play()
    assert all(p.shape == (90, 160, 3) and p.dtype == np.uint8 for p in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(p, q) for p, (_, q) in zip(first, pictures(80), strict=True))


def test_a_quiet_stretch_is_played_to_and_fro_and_never_the_same_twice() -> None:
    shown = list(vision.to_and_fro([p for _, p in pictures(5)], seconds=10, fps=5))
    assert len(shown) == 50
    assert len({p.tobytes() for _, p in shown}) == 50


@pytest.mark.parametrize("name", vision.SIGHTLESS)
def test_sightless_pictures_follow_ten_good_seconds(name: str) -> None:
    shown = list(vision.sightless(name, [p for _, p in pictures(5)], seconds=16, fps=5))
    assert len(shown) == 80
    assert shown[-1][0] == pytest.approx(15.8)
