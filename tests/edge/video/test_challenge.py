"""A living picture answers the lamp, one that is fed does not, and where the lamp cannot be seen nothing is said."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract.codes import Phase
from sealwatch.edge.ports import Image
from sealwatch.edge.video import challenge
from sealwatch.edge.video.challenge import Verdict
from sealwatch.edge.video.challenger import Challenger, FileLights, KnownLights, MemoryLights
from sealwatch.edge.video.liveness import Doubt
from tests.edge.video import clips
from tests.edge.video.lamp_place import FPS, Place, TwinLamp, still, watch
from tests.support import shared_data_or_skip

WALL = cv2.resize(clips.wall(), (160, 120))


class Bench:
    """A camera at a place, with a challenger whose verdicts are kept."""

    def __init__(
        self,
        scene: Callable[[float], Image] | None = None,
        lights: KnownLights | None = None,
        seed: int = 1,
        dark: bool = True,
        **place: float,
    ) -> None:
        self.clock = ManualClock()
        self.lamp = TwinLamp(self.clock)
        self.place = Place(self.clock, self.lamp, scene or still(WALL), **place)  # type: ignore[arg-type]  # numbers by name
        self.verdicts: list[Verdict] = []
        self.lights = lights if lights is not None else MemoryLights()
        self.challenger = Challenger(
            self.lamp,
            self.lights,
            self.clock,
            every_s=600,
            chance=random.Random(seed),
            told=self.verdicts.append,
            dark=lambda _: dark,
            at_once=True,
        )
        watch(self.challenger, self.clock, self.place.picture, 10 / FPS)  # exposure settles

    def until_verdicts(self, count: int, sent: Callable[[], Image] | None = None) -> list[Doubt]:
        told: list[Doubt] = []
        for _ in range(400):
            if len(self.verdicts) >= count:
                return told
            told += watch(self.challenger, self.clock, sent or self.place.picture, 20.0)
        raise AssertionError(f"only {len(self.verdicts)} challenges in {400 * 20} s")

    @property
    def reasons(self) -> list[str]:
        return [one.reason for one in self.verdicts]


def loop_of(bench: Bench, seconds: float = 12.0) -> Callable[[], Image]:
    """What was recorded before, again and again: the sensor's own noise, the place's own light, no lamp."""
    recorded = []
    for _ in range(int(seconds * FPS)):
        recorded.append(bench.place.picture())
        bench.clock.advance(1 / FPS)
    shown = iter(range(10**9))
    return lambda: recorded[next(shown) % len(recorded)]


@pytest.mark.parametrize("delay_s", [0.1, 0.7, 2.0])
@pytest.mark.parametrize("exposure_s", [0.0, 0.8, 3.0])
def test_a_living_picture_teaches_its_light_and_answers_ever_after(delay_s: float, exposure_s: float) -> None:
    bench = Bench(delay_s=delay_s, exposure_s=exposure_s)
    assert bench.until_verdicts(4) == []
    assert bench.reasons == ["lamp_answers"] * 4
    assert [one.learnt is not None for one in bench.verdicts] == [True, False, False, False]
    (known,) = bench.lights.load()
    assert known.delay_s == pytest.approx(delay_s, abs=0.35)
    assert bench.verdicts[-1].response == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize("fed", ["loop", "frozen", "photo"])
def test_a_fed_picture_of_the_same_light_fails_twice_and_is_told_and_ends_when_it_answers_again(fed: str) -> None:
    bench = Bench()
    bench.until_verdicts(1)
    frozen = bench.place.picture()
    rng = np.random.default_rng(9)

    def photo() -> Image:  # another camera's noise over a still of the place
        return np.clip(frozen + rng.normal(0, 3, frozen.shape), 0, 255).astype(np.uint8)

    sent = {"loop": loop_of(bench), "frozen": lambda: frozen, "photo": photo}[fed]
    told: list[Doubt] = []
    while not told and len(bench.verdicts) < 8:  # by chance one may be unclear
        told = bench.until_verdicts(len(bench.verdicts) + 1, sent)
    (start,) = told
    assert bench.reasons.count("challenge_failed") == 2
    assert "lamp_answers" not in bench.reasons[1:]
    assert (start.phase, start.reason) == (Phase.START, "challenge_failed")
    assert abs(start.numbers["response"]) < 0.2
    assert bench.until_verdicts(len(bench.verdicts) + 2, sent) == []  # told once
    (end,) = bench.until_verdicts(len(bench.verdicts) + 1)
    assert (end.phase, end.reason) == (Phase.END, "challenge_answered")


def test_a_lamp_that_daylight_drowns_says_nothing_however_often_it_is_tried() -> None:
    bench = Bench(strength=0.004)
    assert bench.until_verdicts(6) == []
    assert set(bench.reasons) == {"lamp_not_visible"}
    assert bench.lights.load() == []


@pytest.mark.parametrize("flood", [3.0, 20.0, 300.0])
@pytest.mark.parametrize("exposure_s", [0.0, 1.0])
def test_what_was_learnt_in_the_dark_accuses_nobody_under_other_lamps(flood: float, exposure_s: float) -> None:
    bench = Bench(exposure_s=exposure_s)
    bench.until_verdicts(1)
    bench.place.flood = flood
    assert bench.until_verdicts(4) == []
    assert "challenge_failed" not in bench.reasons


def test_by_day_no_lamp_is_lit_at_all() -> None:
    bench = Bench(dark=False)
    assert watch(bench.challenger, bench.clock, bench.place.picture, 7200.0) == []
    assert (bench.lamp.lit_s, bench.verdicts) == ([], [])


def test_a_lamp_grown_dim_by_dust_is_unclear_and_no_accusation() -> None:
    bench = Bench()
    bench.until_verdicts(1)
    bench.place.strength *= 0.4
    assert bench.until_verdicts(4) == []
    assert "challenge_failed" not in bench.reasons


def test_light_that_changes_by_itself_is_not_learnt_as_a_lamp() -> None:
    rng = random.Random(4)
    base = still(WALL)(0.0)

    def flicker(_at_s: float) -> Image:  # passing headlights, clouds
        shown: Image = np.clip(base * rng.uniform(0.85, 1.15), 0, 255).astype(np.uint8)
        return shown

    for seed in range(12):
        bench = Bench(scene=flicker, strength=0.0, seed=seed)
        bench.until_verdicts(1)
        assert bench.lights.load() == []


def test_pictures_too_rare_to_judge_by_say_nothing() -> None:
    bench = Bench()
    code = challenge.draw(random.Random(1))
    at_s, switchings = 10.0, []
    for flash in code:
        at_s += flash.off_s
        switchings += [challenge.Switching(at_s, True), challenge.Switching(at_s + flash.on_s, False)]
        at_s += flash.on_s
    samples = [challenge.sample(bench.place.picture(), 2.0 * n) for n in range(30)]
    assert challenge.judge(switchings, samples, []).reason == "unclear"
    assert challenge.judge([], [], []).reason == "unclear"


def test_a_lamp_in_use_or_refused_is_left_alone_and_tried_later() -> None:
    bench = Bench()
    bench.lamp.busy = True
    assert watch(bench.challenger, bench.clock, bench.place.picture, 60.0) == []
    bench.lamp.busy, bench.lamp.refuses = False, True
    watch(bench.challenger, bench.clock, bench.place.picture, 60.0)
    assert (bench.verdicts, bench.challenger.wants_all) == ([], False)
    bench.lamp.refuses = False
    bench.until_verdicts(1)
    assert bench.reasons == ["lamp_answers"]


def test_codes_and_moments_differ_from_time_to_time() -> None:
    chance = random.SystemRandom()
    codes = {challenge.draw(chance) for _ in range(20)}
    assert len(codes) == 20
    bench = Bench()
    bench.until_verdicts(4)
    begins = [begin_s for begin_s, _ in bench.lamp.lit_s][:: challenge.FLASHES]
    assert np.diff(begins).std() > 60


def test_what_was_learnt_outlives_the_program_and_a_damaged_file_is_learnt_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(lights=FileLights(tmp_path / "views", "gate"))
    bench.until_verdicts(1)
    known = FileLights(tmp_path / "views", "gate").load()
    assert len(known) == 1
    again = Bench(lights=FileLights(tmp_path / "views", "gate"), seed=2)
    again.until_verdicts(1)
    assert again.verdicts[0].learnt is None
    assert again.challenger.numbers()["challenge_lights"] == 1
    (tmp_path / "views" / "lamp-gate.json").write_bytes(b"[{")
    assert FileLights(tmp_path / "views", "gate").load() == []
    assert "learnt anew" in caplog.text


def recorded(name: str) -> Callable[[float], Image]:
    """A real recording, a picture each time it is asked, for ever."""
    capture = cv2.VideoCapture(str(shared_data_or_skip() / "video" / name))
    pictures: list[Image] = []
    while len(pictures) < 300:
        found, picture = capture.read()
        if not found:
            break
        pictures.append(cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (160, 120)))
    shown = iter(range(10**9))
    return lambda _at_s: pictures[next(shown) // 2 % len(pictures)]


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "name", ["bgslibrary/video.avi", "intel/car-detection.mp4", "caviar_front/OneLeaveShop1front.mpg"]
)
def test_with_people_and_cars_about_nobody_living_is_accused_and_a_loop_is_never_believed(name: str) -> None:
    for seed in range(3):
        bench = Bench(scene=recorded(name), seed=seed, strength=0.6)
        assert bench.until_verdicts(4) == []
        assert "challenge_failed" not in bench.reasons
        if bench.lights.load():
            bench.until_verdicts(7, loop_of(bench, 30.0))
            assert "lamp_answers" not in bench.reasons[4:]
