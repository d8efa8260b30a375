"""A day's picture at night and a night's at noon are told after an hour; lamps, weather and rooms are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.video import daylight, doubting
from sealwatch.edge.video.decisions import Decider
from sealwatch.edge.video.drafts import draft
from sealwatch.edge.video.sun_watch import FileMemory, Memory, RamMemory, SunWatch
from tests.edge.video.sky import HERE, MIDNIGHT_MS, Site, frame, live
from tests.support import shared_data_or_skip


def begin(memory: Memory | None = None) -> tuple[SunWatch, ManualClock]:
    clock = ManualClock(wall_ms=MIDNIGHT_MS)
    return SunWatch(HERE, memory or RamMemory(), clock), clock


@pytest.mark.parametrize(("starts_h", "shown"), [(22.5, "day"), (11.0, "night")])
def test_a_recording_of_twelve_hours_ago_is_told_within_ninety_minutes_and_ends_with_it(
    starts_h: float, shown: str
) -> None:
    watch, clock = begin()
    site = Site()
    assert live(watch, clock, site, 5 + starts_h / 24) == []
    assert watch.numbers() == {"follows_sun": 1.0}
    begins_ms = clock.wall_ms()
    (start,) = live(watch, clock, site, 1.5 / 24, shift_h=12)
    assert (start.phase, start.reason) == (Phase.START, "contradicts_time_of_day")
    assert start.since_ms == begins_ms
    assert (start.numbers["sun_height_deg"] < -8) == (shown == "day")
    nearer, farther = ("to_day", "to_night") if shown == "day" else ("to_night", "to_day")
    assert start.numbers[nearer] < start.numbers[farther]
    (end,) = live(watch, clock, site, 3 / 24)
    assert (end.phase, end.reason) == (Phase.END, "agrees_with_time_of_day")


def test_a_fortnight_of_weather_accuses_nobody() -> None:
    watch, clock = begin()
    assert live(watch, clock, Site(), 16) == []
    assert watch.numbers()["follows_sun"] == 1.0


@pytest.mark.parametrize("infrared", [True, False])
def test_a_yard_that_is_floodlit_from_the_sixth_night_on_is_not_daylight(infrared: bool) -> None:
    watch, clock = begin()
    site = Site(infrared=infrared, floodlit=tuple(range(6, 12)))
    assert live(watch, clock, site, 14) == []
    assert watch.numbers()["follows_sun"] == 1.0


def test_a_room_lit_by_lamps_is_exempt_and_says_so() -> None:
    watch, clock = begin()
    site = Site(indoors=True)
    assert live(watch, clock, site, 6) == []
    assert watch.numbers()["follows_sun"] == 0.0
    assert live(watch, clock, site, 2, shift_h=12) == []


def test_in_the_first_days_nobody_is_accused_and_a_recording_from_the_start_makes_the_view_exempt() -> None:
    watch, clock = begin()
    site = Site()
    assert live(watch, clock, site, 1) == []
    assert watch.numbers()["follows_sun"] == -1.0
    scene = cv2.resize(site.picture(MIDNIGHT_MS + 12 * 3_600_000), (96, 72))
    fed, clock = begin()
    for _ in range(144 * 6):
        assert fed.look(frame(scene, clock), quiet=True, trusted=True) is None
        clock.advance(600)
    assert fed.numbers()["follows_sun"] == 0.0


def test_days_of_recordings_are_not_learnt_as_nights() -> None:
    watch, clock = begin()
    site = Site()
    live(watch, clock, site, 5.9)
    told = live(watch, clock, site, 6, shift_h=12)
    assert [doubt.phase for doubt in told][:1] == [Phase.START]
    assert watch.numbers()["follows_sun"] == 1.0


def test_a_covered_camera_is_neither_learnt_nor_judged() -> None:
    memory = RamMemory()
    watch, clock = begin(memory)
    dark = np.zeros((72, 96, 3), np.uint8)
    for _ in range(144 * 5):
        assert watch.look(frame(dark, clock), quiet=True, trusted=False) is None
        clock.advance(600)
    assert len(watch._learnt.day.rows) == len(watch._learnt.night.rows) == 0


def test_what_was_learnt_outlives_the_program_and_does_not_grow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch, clock = begin(FileMemory(tmp_path / "views", "gate"))
    live(watch, clock, Site(), 8)
    file = tmp_path / "views" / "sun-gate.npz"
    assert file.stat().st_size < 120_000
    learnt = FileMemory(tmp_path / "views", "gate").load()
    assert learnt.state == "follows"
    assert len(learnt.day.rows) == daylight.MOST_KEPT
    again = SunWatch(HERE, FileMemory(tmp_path / "views", "gate"), clock)
    assert again.numbers()["follows_sun"] == 1.0
    file.write_bytes(file.read_bytes()[:1000])
    assert FileMemory(tmp_path / "views", "gate").load().state == "learning"
    assert "learnt anew" in caplog.text


def test_it_is_watched_where_the_place_is_known_and_told_in_words() -> None:
    clock = ManualClock(wall_ms=MIDNIGHT_MS)
    camera = CameraSettings(camera_id="gate", source="x")
    assert doubting.suspicions(camera, None, {}, clock, None) == []
    (watch,) = doubting.suspicions(camera, HERE, {}, clock, None)
    assert isinstance(watch, SunWatch)
    site = Site()
    live(watch, clock, site, 5 + 22.5 / 24)
    (doubt,) = live(watch, clock, site, 1.5 / 24, shift_h=12)
    decision = Decider(lambda: "a1").doubt(doubt, frame(site.picture(clock.wall_ms()), clock))
    alarm = draft(decision, "gate")
    assert (alarm.kind, alarm.level, alarm.reason) == (AlarmKind.LIVENESS, Level.ORANGE, "contradicts_time_of_day")
    assert "与时间不符" in alarm.sentence_zh
    assert "contradicted the time of day" in alarm.sentence_en


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["trail_youngsoul/bicycle.mp4", "bgslibrary/video.avi", "intel/car-detection.mp4"])
def test_over_recorded_places_too(name: str) -> None:
    capture = cv2.VideoCapture(str(shared_data_or_skip() / "video" / name))
    _, picture = capture.read()
    watch, clock = begin()
    site = Site(scene=cv2.resize(picture, (96, 72)), floodlit=(5, 7))
    assert live(watch, clock, site, 9 + 22.5 / 24) == []
    assert watch.numbers()["follows_sun"] == 1.0
    assert [doubt.phase for doubt in live(watch, clock, site, 2 / 24, shift_h=12)] == [Phase.START]
