"""The gate: silent at the start and over noise and light, awake to somebody walking."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from sealwatch.edge.ports import Image
from sealwatch.edge.video.gate import GateResult, MotionGate
from sealwatch.simulator import vision
from tests.edge.video import clips


def grey(picture: Image) -> Image:
    converted: Image = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return converted


def watch(pictures: list[Image], fps: float = 5.0) -> list[GateResult]:
    gate = MotionGate()
    return [gate.look(grey(picture), index / fps) for index, picture in enumerate(pictures)]


@pytest.mark.parametrize("sigma", [1.0, 6.0, 14.0])
def test_sensor_noise_never_moves_from_the_first_picture_on(sigma: float) -> None:
    rng, base = np.random.default_rng(5), clips.wall()
    results = watch([clips.noisy(base, rng, sigma) for _ in range(150)])
    assert not any(r.moving for r in results)
    assert {r.reason for r in results} <= {"calibrating", "still", "not_confirmed"}


def test_somebody_who_walks_in_moves_and_the_region_covers_them() -> None:
    results = watch(clips.visit(seconds=10, fps=5, enters_s=4, leaves_s=8))
    first = next(index for index, r in enumerate(results) if r.moving)
    assert 4.0 <= first / 5 <= 4.6
    during = results[30]
    x = 0.1 + 0.8 * (30 / 5 - 4) / 4
    assert any(box.x1 <= x <= box.x2 and box.y2 > 0.8 for box in during.regions)


def test_a_dark_picture_with_strong_noise_still_shows_the_walker() -> None:
    rng = np.random.default_rng(7)
    pictures = [
        np.clip(p.astype(np.float32) * 0.2 + rng.normal(0, 4, p.shape[:2])[:, :, None], 0, 255).astype(np.uint8)
        for p in clips.visit(seconds=12, fps=5, enters_s=6, leaves_s=10)
    ]
    results = watch(pictures)
    assert not any(r.moving for r in results[:30])
    assert sum(r.moving for r in results[31:50]) > 12


def test_the_light_going_up_and_down_is_no_motion() -> None:
    rng, base = np.random.default_rng(8), clips.wall()
    results = []
    gate = MotionGate()
    for index in range(150):
        gain = 1.0 + 0.35 * np.sin(index / 12)
        lit = np.clip(base.astype(np.float32) * gain, 0, 255).astype(np.uint8)
        results.append(gate.look(grey(clips.noisy(lit, rng)), index / 5))
    assert sum(r.moving for r in results) <= 2


def test_somebody_who_comes_in_the_very_moment_the_lamp_goes_on_is_seen() -> None:
    rng, base = np.random.default_rng(9), clips.wall()
    gate = MotionGate()
    seen = 0
    for index in range(60):
        lamp = index >= 30
        picture = clips.with_figure(base, 0.2 + 0.02 * (index - 30)) if lamp else base
        lit = np.clip(picture.astype(np.float32) * (1.5 if lamp else 0.7), 0, 255).astype(np.uint8)
        result = gate.look(grey(clips.noisy(lit, rng)), index / 5)
        seen += result.moving if lamp else 0
    assert seen >= 20


@pytest.mark.parametrize("weather", ["rain", "snow"])
def test_what_falls_moves_nothing_and_who_walks_through_it_does(weather: str) -> None:
    falls = vision.disturbances()[weather]
    # Drops and flakes are as large as they are in a picture 640 wide.
    visit = [cv2.resize(p, None, fx=2, fy=2) for p in clips.visit(seconds=30, fps=5, enters_s=22, leaves_s=26)]
    shown = vision.disturb(((n / 5, picture) for n, picture in enumerate(visit)), falls)
    results = watch([picture for _, picture in shown])
    assert sum(r.moving for r in results[25:110]) < 0.1 * 85
    assert sum(r.moving for r in results[110:130]) >= 12


def test_a_place_that_moves_again_and_again_is_heard_less() -> None:
    rng, base = np.random.default_rng(3), clips.wall()
    height, width = base.shape[:2]
    pictures = []
    for index in range(60 * 5):
        picture = base.copy()
        sway = int(0.02 * width * np.sin(index * 0.9) + rng.normal(0, 2))
        picture[: height // 4, width // 2 + sway : width // 2 + sway + width // 12] = 150
        pictures.append(clips.noisy(picture, rng))
    moving = [r.moving for r in watch(pictures)]
    assert sum(moving[-100:]) <= sum(moving[5:105]) / 2


def test_a_switch_of_the_whole_scene_is_named_and_learnt_anew() -> None:
    rng = np.random.default_rng(10)
    pictures = [clips.noisy(clips.wall(1), rng) for _ in range(30)] + [
        clips.noisy(255 - clips.wall(77), rng) for _ in range(40)
    ]
    results = watch(pictures)
    assert results[30].reason == "scene_switched"
    assert not any(r.moving for r in results[32:])


def test_a_thing_that_is_left_behind_becomes_background() -> None:
    rng, base = np.random.default_rng(11), clips.wall()
    left = clips.with_figure(base, 0.5)
    results = watch([clips.noisy(base if n < 20 else left, rng) for n in range(250)])
    assert any(r.moving for r in results[20:30])
    assert not any(r.moving for r in results[180:])


def test_a_picture_that_repeats_itself_exactly_is_told_apart_from_a_living_one() -> None:
    rng, base = np.random.default_rng(12), clips.wall()
    same = clips.noisy(base, rng)
    assert not any(r.changed for r in watch([same] * 10)[1:])
    assert all(r.changed for r in watch([clips.noisy(base, rng) for _ in range(10)]))


def test_a_change_of_resolution_starts_over_instead_of_failing() -> None:
    rng, base = np.random.default_rng(13), clips.wall()
    gate = MotionGate()
    for index in range(20):
        gate.look(grey(clips.noisy(base, rng)), index / 5)
    larger = cv2.resize(grey(base), (640, 480))
    assert gate.look(larger, 4.2).reason == "calibrating"


def test_the_gate_is_cheap_enough_for_a_small_board() -> None:
    rng = np.random.default_rng(14)
    pictures = [rng.integers(90, 110, (576, 768), dtype=np.uint8) for _ in range(20)]
    gate = MotionGate()
    gate.look(pictures[0], 0.0)
    before_s = time.thread_time()
    for index in range(200):
        gate.look(pictures[index % 20], 0.2 + index / 5)
    assert (time.thread_time() - before_s) / 200 < 0.003  # several times the usual figure: machines differ
