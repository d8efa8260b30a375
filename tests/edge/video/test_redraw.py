"""Zones, lines and regions drawn anew while the camera is watched: nothing else starts over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from sealwatch.base.clock import Clock, ManualClock
from sealwatch.contract.codes import AlarmKind, Phase
from sealwatch.edge.config import CameraSettings, LineSettings, RegionSettings, ZoneSettings
from sealwatch.edge.ports import Frame, FrameSource, MemorySink
from sealwatch.edge.video.analyser import Analyser
from sealwatch.edge.video.decisions import Decider, Decision
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.places import Places
from sealwatch.edge.video.ports import Demand, StageTimes
from sealwatch.edge.video.tracks import Track
from sealwatch.edge.video.watcher import CameraWatcher
from tests.edge.video import clips
from tests.edge.video.test_equipment import drum

FPS = 5
LEFT = ZoneSettings(name="left", polygon=[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)])
ALL = ZoneSettings(name="all", polygon=[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
FAR = ZoneSettings(name="left", polygon=[(0.9, 0.0), (1.0, 0.0), (1.0, 1.0)])


def camera(**drawn: Any) -> CameraSettings:
    return CameraSettings(camera_id="cam", source="x", **drawn)


def frame(number: int, *, inside: bool, rng: np.random.Generator) -> Frame:
    picture = clips.wall()
    if inside:
        picture = clips.with_figure(picture, 0.15 + 0.02 * (number % 8))
    picture = clips.noisy(picture, rng)
    at_s = number / FPS
    return Frame(
        grey=picture[:, :, 1].copy(),
        colour=lambda: picture,
        pts_s=at_s,
        captured_at_ms=round(at_s * 1000),
        monotonic_s=at_s,
    )


def walker(track_id: int, step: int, at_s: float) -> Track:
    """Somebody who walks from the left to the right in six steps."""
    box = Box(0.15 + 0.12 * step, 0.3, 0.25 + 0.12 * step, 0.7)
    return Track(
        track_id=track_id,
        kind=AlarmKind.PERSON,
        label="person",
        box=box,
        born_box=box,
        born_s=at_s,
        born_ms=0,
        seen_s=at_s,
        looked_s=at_s,
        scores=(0.8,),
        alive=True,
    )


class Run:
    """Pictures through an analyser: quiet for 4 s, then somebody on the left for good."""

    def __init__(self, settings: CameraSettings) -> None:
        self.analyser = Analyser(settings, clips.detector())
        self.number, self._rng = 0, np.random.default_rng(5)

    def go(self, seconds: float) -> list[Decision]:
        told: list[Decision] = []
        for _ in range(int(seconds * FPS)):
            told += self.analyser.look(self._next()).decisions
        return told

    def redraw(self, settings: CameraSettings) -> list[Decision]:
        return self.analyser.redraw(settings, self._next())

    def _next(self) -> Frame:
        self.number += 1
        return frame(self.number, inside=self.number > 4 * FPS, rng=self._rng)


def test_an_alarm_in_a_zone_that_is_not_altered_goes_on() -> None:
    run = Run(camera(zones=[LEFT]))
    (start,) = run.go(9)
    assert (start.kind, start.zone) == (AlarmKind.PERSON, "left")
    assert run.redraw(camera(zones=[LEFT, FAR.__class__(name="far", polygon=FAR.polygon)])) == []
    assert run.go(4) == []
    assert run.analyser.active_zones == ("left",)


def test_an_alarm_whose_zone_is_altered_ends_by_name_and_who_is_in_the_new_one_is_told_without_learning_anew() -> None:
    run = Run(camera(zones=[LEFT]))
    (start,) = run.go(9)
    (end,) = run.redraw(camera(zones=[ALL]))
    assert (end.alarm_id, end.phase, end.reason, end.zone) == (start.alarm_id, Phase.END, "zones_redrawn", "left")
    (again,) = run.go(2.4)  # the on-delay and not the seconds that a new background would need
    assert (again.phase, again.zone) == (Phase.START, "all")
    assert again.alarm_id != start.alarm_id


def test_a_zone_drawn_elsewhere_under_the_same_name_is_another_one() -> None:
    run = Run(camera(zones=[LEFT]))
    run.go(9)
    assert [d.reason for d in run.redraw(camera(zones=[FAR]))] == ["zones_redrawn"]
    assert run.go(4) == []


def test_counting_goes_on_with_its_totals_where_the_line_is_the_same() -> None:
    line = LineSettings(name="door", points=[(0.5, 0.0), (0.5, 1.0)], inside=(0.9, 0.5))
    other = LineSettings(name="b", points=line.points, inside=(0.1, 0.5))
    places = Places(camera(lines=[line]), Decider())
    picture = clips.wall()

    def walk(track_id: int, begin_s: int) -> list[Decision]:
        told: list[Decision] = []
        for at_s in range(begin_s, begin_s + 6):
            told += places.people([walker(track_id, at_s - begin_s, at_s)], clips.frame_of(picture, at_s), looked=True)
        return [d for d in told if d.kind is AlarmKind.COUNT]

    assert [(d.zone, d.direction, d.numbers["in_total"]) for d in walk(1, 0)] == [("door", "in", 1.0)]
    places.redraw(camera(zones=[LEFT], lines=[line, other]), clips.frame_of(picture, 6))
    told = [(d.zone, d.direction, d.numbers["in_total"], d.numbers["out_total"]) for d in walk(2, 10)]
    assert told == [("door", "in", 2.0, 0.0), ("b", "out", 0.0, 1.0)]


def test_equipment_that_runs_ends_when_its_region_is_taken_away_and_stays_where_it_is_the_same() -> None:
    region = RegionSettings(name="drum", polygon=[(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)])
    analyser = Analyser(camera(equipment=[region]), clips.detector())

    def picture(number: int) -> Frame:
        grey = drum(50 * max(number / FPS - 8, 0))
        at_s = number / FPS
        return Frame(
            grey=grey,
            colour=lambda: np.repeat(grey[:, :, None], 3, axis=2),
            pts_s=at_s,
            captured_at_ms=round(at_s * 1000),
            monotonic_s=at_s,
        )

    told = [d for n in range(15 * FPS) for d in analyser.look(picture(n)).decisions if d.kind is AlarmKind.EQUIPMENT]
    assert [d.phase for d in told] == [Phase.START]
    assert analyser.redraw(camera(equipment=[region], zones=[FAR]), picture(15 * FPS)) == []
    assert "drum" in analyser.active_zones
    (end,) = analyser.redraw(camera(zones=[FAR]), picture(15 * FPS + 1))
    assert (end.alarm_id, end.phase, end.reason) == (told[0].alarm_id, Phase.END, "zones_redrawn")


def test_a_watcher_takes_the_new_zones_with_its_next_picture_and_tells_the_sink() -> None:
    sink, clock, stop = MemorySink(), ManualClock(), threading.Event()
    rng = np.random.default_rng(5)

    class Camera:
        def __init__(self, watcher: list[CameraWatcher]) -> None:
            self._watcher = watcher

        def frames(self, _stop: threading.Event) -> Iterator[Frame]:
            for number in range(16 * FPS):
                if number == 9 * FPS:
                    self._watcher[0].redraw(camera(zones=[ALL]))
                yield frame(number, inside=number > 4 * FPS, rng=rng)
            stop.set()

    made: list[CameraWatcher] = []

    def connect(_camera: CameraSettings, _clock: Clock, _times: StageTimes, _demand: Demand) -> FrameSource:
        return Camera(made)

    made.append(CameraWatcher(camera(zones=[LEFT]), clips.detector(), sink, clock, connect=connect))
    made[0].run(stop)
    assert [(a.phase, a.zone, a.reason) for a in sink.alarms] == [
        (Phase.START, "left", "seen_long_enough"),
        (Phase.END, "left", "zones_redrawn"),
        (Phase.START, "all", "seen_long_enough"),
    ]
    assert "修改" in sink.alarms[1].sentence_zh
