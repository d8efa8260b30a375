"""A drum that turns runs, one that stands does not, and light or noise do not turn it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from sealwatch.contract.codes import Phase
from sealwatch.edge.config import ZoneSettings
from sealwatch.edge.ports import Image
from sealwatch.edge.video.equipment import EquipmentChange, EquipmentWatch, period_s

REGION = ZoneSettings(name="drum", polygon=[(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)])
RNG = np.random.default_rng(2)
FPS = 5


def drum(angle_deg: float, gain: float = 1.0) -> Image:
    """A drum with eight spokes in the middle of the picture."""
    picture = np.full((240, 320), 90, np.uint8)
    for spoke in range(8):
        turn = np.radians(angle_deg + 45 * spoke)
        end = (int(160 + 70 * np.cos(turn)), int(120 + 55 * np.sin(turn)))
        cv2.line(picture, (160, 120), end, 210 if spoke == 0 else 150, 9)
    return np.clip(picture * gain + RNG.normal(0, 2.0, picture.shape), 0, 255).astype(np.uint8)


def watch(picture_at: Callable[[float], Image], seconds: float) -> list[tuple[float, EquipmentChange]]:
    equipment, told = EquipmentWatch(REGION), []
    for n in range(int(seconds * FPS)):
        now_s = n / FPS
        change = equipment.look(picture_at(now_s), now_s=now_s, now_ms=round(now_s * 1000))
        if change is not None:
            told.append((now_s, change))
    return told


def test_a_drum_that_turns_and_stops_is_told_with_both_times() -> None:
    told = watch(lambda t: drum(50 * min(max(t - 10, 0), 15)), 40)
    assert [change.phase for _, change in told] == [Phase.START, Phase.END]
    assert 12.0 <= told[0][0] <= 13.0
    assert 9_800 <= told[0][1].since_ms <= 10_600
    assert 28.5 <= told[1][0] <= 30.5


def test_a_standing_drum_in_noise_and_changing_light_is_not_running() -> None:
    assert watch(lambda t: drum(0, 1.0 + 0.3 * np.sin(t)), 60) == []


def test_a_period_is_found_where_there_is_one() -> None:
    assert period_s([(n / 5, 10 * np.sin(2 * np.pi * n / 5 / 3.0)) for n in range(100)]) == pytest.approx(3.0, abs=0.2)
    assert period_s([(n / 5, float(RNG.normal(0, 5))) for n in range(100)]) == 0.0
    assert period_s([(n / 5, 7.0) for n in range(100)]) == 0.0
