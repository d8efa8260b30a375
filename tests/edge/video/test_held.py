"""A photo of the view held before the lens wanders; a camera in the wind, snow, or a camera that was moved does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from sealwatch.contract.codes import AlarmKind, Phase
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Image
from sealwatch.edge.video.analyser import Analyser
from sealwatch.edge.video.decisions import Decision
from sealwatch.edge.video.drafts import draft
from sealwatch.edge.video.held import HeldWatch, Similarity, is_held
from sealwatch.edge.video.liveness import Doubt
from sealwatch.edge.video.ports import ScriptedDetector
from sealwatch.simulator import vision
from tests.edge.video.clips import frame_of

HEIGHT, WIDTH = 240, 320
FPS = 2.0
Story = Callable[[Image, float, np.random.Generator], Image]


def yard() -> Image:
    """A scene with corners to recognise, the same each time."""
    rng = np.random.default_rng(4)
    picture: Image = np.full((HEIGHT, WIDTH), 90, np.uint8)
    for _ in range(90):
        x, y = int(rng.integers(0, WIDTH - 30)), int(rng.integers(0, HEIGHT - 30))
        wide, high = (int(side) for side in rng.integers(8, 40, 2))
        cv2.rectangle(picture, (x, y), (x + wide, y + high), int(rng.integers(30, 220)), -1)
    return picture


def moved(picture: Image, *, size: float, turn_deg: float, x: float, y: float) -> Image:
    move = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn_deg, size)
    move[:, 2] += (x * WIDTH, y * WIDTH)
    elsewhere: Image = cv2.warpAffine(picture, move, (WIDTH, HEIGHT), borderValue=50)
    return elsewhere


def by_hand(size: float) -> Story:
    def held(picture: Image, second: float, rng: np.random.Generator) -> Image:
        sway = {"x": 0.015 * np.sin(second * 1.1), "y": 0.012 * np.cos(second * 0.8)}
        return moved(picture, size=size, turn_deg=0.4 + 1.1 * np.sin(second * 0.7), **sway)

    return held


def turned_aside(picture: Image, _second: float, _rng: np.random.Generator) -> Image:
    return moved(picture, size=1.0, turn_deg=3.0, x=0.08, y=0.02)


def colourless(disturbance: vision.Disturbance) -> Story:
    def story(picture: Image, second: float, rng: np.random.Generator) -> Image:
        shown = disturbance(np.repeat(picture[:, :, None], 3, axis=2), second, rng)
        grey: Image = cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY)
        return grey

    return story


def watch(story: Story, *, from_s: float = 10.0, until_s: float = 40.0) -> list[tuple[float, Doubt]]:
    """What is told while the story is shown between the two seconds, and the yard before and after."""
    rng, held, told = np.random.default_rng(7), HeldWatch(), []
    for index in range(int(60 * FPS)):
        second = index / FPS
        there = from_s <= second < until_s
        shown = story(yard(), second, rng) if there else yard()
        noisy: Image = np.clip(shown + rng.normal(0, 2, shown.shape), 0, 255).astype(np.uint8)
        change = held.look(noisy, in_place=not there, now_s=second, now_ms=round(second * 1000))
        if change is not None:
            told.append((second, change))
    return told


@pytest.mark.parametrize("size", [0.8, 1.0, 1.1])
def test_a_held_photo_is_told_within_ten_seconds_with_its_size_and_over_when_it_is_taken_away(size: float) -> None:
    (start_s, start), (end_s, end) = watch(by_hand(size))
    assert (start.phase, end.phase) == (Phase.START, Phase.END)
    assert 17.0 <= start_s <= 20.0
    assert start.numbers["size_ratio"] == pytest.approx(size, abs=0.02)
    assert 45.0 <= end_s <= 58.0


@pytest.mark.parametrize(
    "story", [turned_aside, *(colourless(d) for name, d in vision.disturbances().items() if name != "night_noise")]
)
def test_a_camera_turned_aside_and_weather_are_no_photo(story: Story) -> None:
    assert watch(story) == []


def test_each_measure_alone_is_needed_and_a_few_stray_estimates_decide_nothing() -> None:
    wandering = [Similarity(n * 0.9, 1.06, 0.0, 0.01 * (n % 3), 0.0) for n in range(10)]
    assert is_held(wandering)
    assert not is_held(wandering[:7])
    assert not is_held([replace(one, size=1.0) for one in wandering])
    assert not is_held([replace(one, x=0.0) for one in wandering])
    still = [Similarity(n * 0.9, 1.0, 0.0, 0.0, 0.0) for n in range(10)]
    assert not is_held([*still[:7], *(replace(one, size=0.5, turn=1.0, x=0.3) for one in still[7:])])


def test_the_whole_chain_tells_a_held_photo_as_a_picture_that_may_not_be_live() -> None:
    rng = np.random.default_rng(7)
    analyser = Analyser(CameraSettings(camera_id="shaft-1", source="x"), ScriptedDetector(lambda _picture: []))
    decisions: list[Decision] = []
    for index in range(40 * 5):
        second = index / 5
        shown = by_hand(1.06)(yard(), second, rng) if second >= 10.0 else yard()
        noisy: Image = np.clip(shown + rng.normal(0, 2, shown.shape), 0, 255).astype(np.uint8)
        decisions += analyser.look(frame_of(cv2.cvtColor(noisy, cv2.COLOR_GRAY2BGR), second)).decisions
    (start,) = [decision for decision in decisions if decision.kind is AlarmKind.LIVENESS]
    assert start.reason == "view_wanders"
    assert 17.0 <= start.pts_s <= 21.0
    assert "shaft-1：镜头前像有人手持照片或屏幕" in draft(start, "shaft-1").sentence_zh
    assert "1.06 times as large" in draft(start, "shaft-1").sentence_en
    assert not any(decision.kind is AlarmKind.PERSON for decision in decisions)
