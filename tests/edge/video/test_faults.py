"""Camera faults 0001-0006, 0008, 0009: each is raised soon after it is complete and never on an undisturbed picture."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from sealwatch.contract.codes import Phase, VideoFault
from sealwatch.edge.ports import Image
from sealwatch.edge.video import condition
from sealwatch.edge.video.condition import Shift
from sealwatch.edge.video.faults import FaultChange, FaultWatch
from sealwatch.simulator import vision

Maker = Callable[[int], Image]
FPS = 5


def scene(width: int = 640, height: int = 360, seed: int = 3) -> Image:
    """A yard with structure at every scale: blocks, edges, texture."""
    rng = np.random.default_rng(seed)
    canvas = np.full((height * 2, width * 2), 120, np.uint8)
    for _ in range(160):
        x, y = int(rng.integers(0, 2 * width)), int(rng.integers(0, 2 * height))
        w, h = int(rng.integers(20, 220)), int(rng.integers(20, 180))
        cv2.rectangle(canvas, (x, y), (x + w, y + h), int(rng.integers(40, 210)), -1)
    texture = rng.normal(0, 12, canvas.shape)
    return np.clip(canvas + texture, 0, 255).astype(np.uint8)


YARD = scene()
RNG = np.random.default_rng(17)


def view(dx: int = 0, dy: int = 0) -> Image:
    """What the camera sees when it looks `dx`, `dy` pixels beside its place."""
    return YARD[180 + dy : 540 + dy, 320 + dx : 960 + dx]


def noisy(picture: Image, sigma: float = 2.0) -> Image:
    return np.clip(picture + RNG.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


def play(*parts: tuple[float, Maker]) -> list[tuple[float, FaultChange]]:
    """Seconds of pictures after each other; what is told, with its time."""
    watch, told, index = FaultWatch(), [], 0
    for seconds, make in parts:
        for step in range(int(seconds * FPS)):
            now_s = index / FPS
            told += [(now_s, change) for change in watch.look(make(step), now_s=now_s, now_ms=round(now_s * 1000))]
            index += 1
    return told


def good(_step: int) -> Image:
    return noisy(view())


def covered(_step: int) -> Image:
    blob = cv2.GaussianBlur(scene(seed=9)[:360, :640], (0, 0), 40)
    return noisy(blob)


def blurred(_step: int) -> Image:
    return noisy(cv2.GaussianBlur(view(), (0, 0), 4.5), 1.0)


def black(_step: int) -> Image:
    return noisy(np.full((360, 640), 4, np.uint8))


def white(_step: int) -> Image:
    return noisy(np.full((360, 640), 253, np.uint8))


def turned(_step: int) -> Image:
    return noisy(view(dx=90, dy=20))


def shaking(step: int) -> Image:
    return noisy(view(dx=int(9 * (-1) ** step), dy=int(6 * np.sin(step * 2.1))))


def larger(_step: int) -> Image:
    return noisy(cv2.resize(view(), (1280, 720)))


FROZEN = noisy(view())


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (covered, VideoFault.COVERED),
        (turned, VideoFault.MOVED),
        (black, VideoFault.DARK),
        (white, VideoFault.OVEREXPOSED),
        (blurred, VideoFault.BLURRED),
        (lambda _step: FROZEN, VideoFault.FROZEN),
        (shaking, VideoFault.SHAKING),
        (larger, VideoFault.RESOLUTION),
    ],
)
def test_each_fault_is_raised_within_five_seconds_and_ends_when_the_picture_is_good_again(
    make: Maker, fault: VideoFault
) -> None:
    told = play((8, good), (8, make), (10, good))
    mine = [(t_s, c) for t_s, c in told if c.fault is fault]
    assert [c.phase for _, c in mine] == [Phase.START, Phase.END]
    assert 8.0 <= mine[0][0] <= 13.0
    assert 7_800 <= mine[0][1].since_ms <= 11_000
    assert mine[1][0] >= 16.0
    assert {c.fault for _, c in told} == {fault}


def test_an_undisturbed_picture_raises_nothing() -> None:
    assert play((40, good)) == []


def test_somebody_large_before_the_camera_is_no_cover() -> None:
    def passing(step: int) -> Image:
        picture = view().copy()
        x = 20 * step - 250
        cv2.rectangle(picture, (max(0, x), 40), (max(0, x + 250), 359), 60, -1)
        return noisy(picture)

    assert play((4, good), (9, passing), (4, good)) == []


def test_evening_light_that_fades_slowly_is_no_fault_until_it_is_dark() -> None:
    def fading(step: int) -> Image:
        return noisy((view().astype(np.float32) * (1.0 - 0.7 * step / 300)).astype(np.uint8))

    assert play((4, good), (60, fading)) == []


def test_a_camera_that_is_turned_very_slowly_is_still_found_moved() -> None:
    told = play((5, good), (160, lambda step: noisy(view(dx=step // 20))))
    assert [c.fault for _, c in told] == [VideoFault.MOVED]
    assert told[0][1].reason == "view_displaced"


def test_a_stream_that_by_nature_repeats_pictures_is_not_frozen() -> None:
    """Some cameras send an unchanged picture until the next key frame, every three seconds."""

    def lazy(step: int) -> Image:
        rng = np.random.default_rng(step // 15)
        return np.clip(view() + rng.normal(0, 2, (360, 640)), 0, 255).astype(np.uint8)

    assert play((60, lazy)) == []


def test_a_wall_without_structure_says_so_instead_of_guessing() -> None:
    watch = FaultWatch()
    for index in range(50):
        plain = noisy(np.full((360, 640), 128, np.uint8), 1.0)
        assert watch.look(plain, now_s=index / FPS, now_ms=0) == []
    assert watch.standing == ()


def with_spider(at_x: float) -> Image:
    """Something large, bright and out of focus before the lens."""
    layer = np.zeros((360, 640), np.uint8)
    cv2.line(layer, (320, 0), (int(at_x), 150), 130, 5, cv2.LINE_AA)
    cv2.ellipse(layer, (int(at_x), 150), (26, 36), 0, 0, 360, 220, -1)
    dim = view().astype(np.float32) * 0.3 + 12 + cv2.GaussianBlur(layer, (0, 0), 5)
    spoilt: Image = np.clip(dim, 0, 255).astype(np.uint8)
    return spoilt


def test_a_camera_moves_all_quarters_of_its_picture_and_a_spider_does_not() -> None:
    reference = condition.measure(noisy(view()))
    moved = condition.measure(noisy(view(dx=8, dy=4)))
    assert condition.quarters_agree(reference, moved, condition.shift(reference, moved))
    before, after = (condition.measure(noisy(with_spider(x), 6.0)) for x in (250.0, 262.0))
    assert not condition.quarters_agree(before, after, Shift(12 / 640, 0.0, 1.0))


def test_a_spider_that_swings_before_the_lens_is_no_shaking() -> None:
    night = lambda _step: np.clip(noisy(view()) * 0.3 + 12, 0, 255).astype(np.uint8)  # noqa: E731
    told = play((4, night), (20, lambda step: noisy(with_spider(320 + 80 * np.sin(step * 0.34)), 6.0)))
    assert [change.fault for _, change in told if change.fault is VideoFault.SHAKING] == []


@pytest.mark.parametrize("name", ["rain", "snow"])
def test_drops_that_fill_the_picture_of_a_bare_scene_are_no_camera_that_was_moved(name: str) -> None:
    bare = np.repeat((view().astype(np.float32) * 0.2 + 90).astype(np.uint8)[:, :, None], 3, axis=2)
    weather, rng, watch = vision.disturbances()[name], np.random.default_rng(3), FaultWatch()
    told, reasons = [], set()
    for index in range(30 * 5):
        second = index / 5
        grey: Image = cv2.cvtColor(weather(bare, second, rng), cv2.COLOR_BGR2GRAY)
        told += watch.look(grey, now_s=second, now_ms=index * 200)
        reasons.add(watch.verdict.reason)
    assert told == []
    assert "view_restless" in reasons


def test_a_view_whose_place_was_not_measured_is_no_jump_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare scene that stands displaced: looks in which little is recognised measure it, others say only that the view
    is alike. That is one place, and no shaking. Likeness and shift are those of such a recording."""
    bare = np.full((360, 640), 120, np.uint8)
    for index in range(11):
        x, y = 85 + 80 * (index % 6), 70 + 120 * (index // 6)
        bare[y : y + 40, x : x + 40 : 8] = 220
    assert condition.measure(bare).structured < 14, "small displacements of it are not measured"
    looks = 0

    def likeness(_reference: object, _now: object) -> float:
        return 0.25 if looks % 2 else 0.375

    monkeypatch.setattr(condition, "likeness", likeness)
    monkeypatch.setattr(condition, "shift", lambda *_: Shift(0.0168, 0.0005, 0.75))
    monkeypatch.setattr(condition, "quarters_agree", lambda *_: True)
    watch = FaultWatch()
    told = []
    for looks in range(60):
        now_s = looks / FPS
        told += [c.fault for c in watch.look(noisy(bare), now_s=now_s, now_ms=round(now_s * 1000))]
    assert watch.verdict.numbers["displacement"] > 0.016, "it was measured"
    assert VideoFault.SHAKING not in told
