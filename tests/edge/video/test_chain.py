"""The whole chain on synthetic clips: replay and the camera part, with a scripted detector and a manual clock."""

from __future__ import annotations

import argparse
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from sealwatch.base.clock import Clock, ManualClock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.edge import cli_replay
from sealwatch.edge.cli_replay import replay
from sealwatch.edge.config import CameraSettings, ZoneSettings
from sealwatch.edge.ports import Frame, FrameSource, Image, MemorySink, PictureTaker, SourceError
from sealwatch.edge.video import snapshot
from sealwatch.edge.video.analyser import Analyser
from sealwatch.edge.video.decisions import Decision
from sealwatch.edge.video.drafts import draft
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.ports import Demand, PlainDetection, ScriptedDetector, StageTimes
from sealwatch.edge.video.watcher import CameraWatcher
from sealwatch.edge.video.zones import Zone
from tests.edge.video import clips

LEFT = ZoneSettings(name="left", polygon=[(0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (0.0, 1.0)])


def story(path: Path, **settings: Any) -> list[dict[str, Any]]:
    return list(replay(CameraSettings(camera_id="cam", source=str(path), **settings), clips.detector()))


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Quiet for 6 s, somebody walks through until 14 s, quiet until 30 s."""
    path = tmp_path_factory.mktemp("clips") / "walk.mp4"
    return clips.write_clip(path, clips.visit(seconds=30, fps=5, enters_s=6, leaves_s=14), fps=5)


def test_a_walk_through_is_one_alarm_in_time_with_start_and_end(walk: Path) -> None:
    *transitions, summary = story(walk)
    assert [(t["kind"], t["phase"], t["zone"]) for t in transitions] == [("person", "start", ""), ("person", "end", "")]
    start, end = transitions
    assert 7.0 <= start["t_s"] <= 8.0
    assert 6.0 <= start["started_s"] <= 6.5
    assert 23.5 <= end["t_s"] <= 24.8
    assert summary["totals"] == {"person": 1}
    assert 60 <= summary["frames"] < 150  # while nothing happens only key frames are looked at
    assert summary["seconds"] == pytest.approx(29.8)
    assert {"decode", "gate", "detect"} <= set(summary["cpu_s"])


def test_replay_gives_the_same_lines_each_time(walk: Path) -> None:
    assert story(walk)[:-1] == story(walk)[:-1]


def test_only_feet_inside_the_zone_count(walk: Path) -> None:
    (start, end, _) = story(walk, zones=[LEFT])
    assert start["zone"] == end["zone"] == "left"
    assert end["t_s"] < 21.0


def test_a_quiet_scene_is_silent_and_hardly_bothers_the_detector(tmp_path: Path) -> None:
    clip = clips.write_clip(tmp_path / "quiet.mp4", clips.visit(seconds=70, fps=5, enters_s=99, leaves_s=100), fps=5)
    detector = clips.detector()
    lines = list(replay(CameraSettings(camera_id="cam", source=str(clip)), detector))
    assert [line for line in lines if "phase" in line] == []
    assert detector.calls <= 8


def test_who_stands_still_for_a_minute_stays_one_alarm(tmp_path: Path) -> None:
    base, rng = clips.wall(), np.random.default_rng(3)
    pictures = [clips.noisy(base, rng) for _ in range(20)]
    pictures += [clips.noisy(clips.with_figure(base, min(0.5, 0.1 + n * 0.02)), rng) for n in range(300)]
    clip = clips.write_clip(tmp_path / "stands.mp4", pictures, fps=5)
    *transitions, _ = story(clip)
    assert [t["phase"] for t in transitions] == ["start"]


def test_a_statue_that_was_always_there_is_no_person(tmp_path: Path) -> None:
    base, rng = clips.with_figure(clips.wall(), 0.5), np.random.default_rng(4)
    clip = clips.write_clip(tmp_path / "statue.mp4", [clips.noisy(base, rng) for _ in range(350)], fps=5)
    assert [line for line in story(clip) if "phase" in line] == []


def test_somebody_already_there_at_the_start_is_found_once_they_move(tmp_path: Path) -> None:
    base, rng = clips.wall(), np.random.default_rng(6)
    pictures = [clips.noisy(clips.with_figure(base, 0.2 + n * 0.02), rng) for n in range(30)]
    clip = clips.write_clip(tmp_path / "there.mp4", pictures, fps=5)
    first = story(clip)[0]
    assert first["phase"] == "start"
    assert first["t_s"] <= 2.5


def arguments(*values: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli_replay.configure(parser)
    return parser.parse_args(values)


def test_the_command_prints_json_lines_and_takes_zones_from_the_configuration(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_replay, "load_detector", lambda _model: clips.detector())
    config = tmp_path / "node.toml"
    config.write_text(
        'site_id = "s"\nnode_id = "n"\ndata_dir = "d"\nmqtt.url = "mqtt://localhost"\n'
        '[[cameras]]\ncamera_id = "east"\nsource = "rtsp://cam/1"\nrepeat = true\n'
        '[[cameras.zones]]\nname = "井口"\npolygon = [[0.0, 0.0], [0.4, 0.0], [0.4, 1.0], [0.0, 1.0]]\n',
        encoding="utf-8",
    )
    assert cli_replay.run(arguments(str(walk), "--config", str(config), "--json")) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"t_s", "kind", "phase", "zone", "score", "reason"} <= set(lines[0])
    assert lines[0]["zone"] == "井口"
    assert lines[-1]["summary"] is True
    with pytest.raises(UsageError, match="no camera 'west'; there are: east"):
        cli_replay.run(arguments(str(walk), "--config", str(config), "--camera", "west"))


def test_an_annotated_video_shows_boxes_and_keeps_the_times(
    walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_replay, "load_detector", lambda _model: clips.detector())
    out = tmp_path / "seen.mp4"
    assert cli_replay.run(arguments(str(walk), "--json", "--annotated", str(out))) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    with av.open(str(out)) as container:
        pictures = list(container.decode(video=0))
    assert len(pictures) == summary["frames"]
    assert float(pictures[-1].time or 0) == pytest.approx(29.8, abs=0.1)
    with pytest.raises(CommandFailed, match="cannot be written"):
        cli_replay.run(arguments(str(walk), "--annotated", str(tmp_path / "no" / "folder.mp4")))


def test_a_missing_video_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_replay, "load_detector", lambda _model: clips.detector())
    with pytest.raises(CommandFailed, match=r"gone\.mp4: no such video file"):
        cli_replay.run(arguments("gone.mp4", "--json"))


def test_a_snapshot_is_small_and_shows_box_and_zone() -> None:
    rng = np.random.default_rng(1)
    noise: Image = rng.integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    data = snapshot.jpeg(
        noise, boxes=[(Box(0.4, 0.4, 0.6, 0.9), "person", 0.8)], zone=Zone("z", ((0, 0), (1, 0), (0, 1)))
    )
    assert len(data) <= snapshot.MAX_BYTES
    calm = clips.wall()
    shown = cv2.imdecode(
        np.frombuffer(snapshot.jpeg(calm, boxes=[(Box(0.4, 0.4, 0.6, 0.9), "person", 0.8)]), np.uint8), 1
    )
    assert shown is not None
    assert shown.shape == calm.shape
    edge = shown[int(0.65 * clips.HEIGHT), int(0.4 * clips.WIDTH)].astype(int)
    assert edge[2] - edge[1] > 60


def test_loitering_in_a_zone_raises_the_level_to_red_with_a_sentence_of_its_own() -> None:
    zone = ZoneSettings(name="gate", polygon=[(0, 0), (1, 0), (1, 1), (0, 1)], dwell_s=3.0, loiter_s=8.0)
    analyser = Analyser(CameraSettings(camera_id="c", source="x", zones=[zone]), clips.detector())
    decisions: list[Decision] = []
    for n, picture in enumerate(clips.visit(seconds=16, fps=5, enters_s=2, leaves_s=16)):
        decisions += analyser.look(clips.frame_of(picture, n / 5)).decisions
    told = [d for d in decisions if d.kind is AlarmKind.PERSON]
    assert [(d.phase, d.reason, d.level) for d in told] == [
        (Phase.START, "seen_long_enough", Level.ORANGE),
        (Phase.UPDATE, "loitering", Level.RED),
    ]
    assert 3.0 <= told[0].pts_s - 2.0 <= 4.0
    assert 8.0 <= told[1].pts_s - 2.0 <= 9.0
    assert told[1].numbers["loiter_s"] == 8.0
    assert "loitering for 8 s" in draft(told[1], "c").sentence_en


class Camera:
    """A camera whose connections play one after the other: lists of (seconds, picture), or an error."""

    def __init__(self, *connections: list[tuple[float, Image]] | str) -> None:
        self.connections = list(connections)

    def connect(self, _settings: CameraSettings, clock: Clock, _times: StageTimes, _demand: Demand) -> FrameSource:
        def frames(stop: threading.Event) -> Iterator[Frame]:
            if not self.connections:
                stop.set()
                return
            plan = self.connections.pop(0)
            if isinstance(plan, str):
                clock.sleep(1.0)
                raise SourceError(plan)
            for step_s, picture in plan:
                clock.sleep(step_s)
                frame = clips.frame_of(picture, clock.monotonic_s(), wall_ms=0)
                yield Frame(
                    grey=frame.grey,
                    colour=frame.colour,
                    pts_s=frame.pts_s,
                    captured_at_ms=clock.wall_ms(),
                    monotonic_s=clock.monotonic_s(),
                )
            raise SourceError("the camera ended the stream")

        return clips.ScriptedSource(frames)


def make_watcher(camera: Camera) -> tuple[CameraWatcher, MemorySink, ManualClock]:
    clock, sink = ManualClock(), MemorySink()
    numbers = iter(range(1000))
    watcher = CameraWatcher(
        CameraSettings(camera_id="cam-1", source="rtsp://cam/1"),
        clips.detector(),
        sink,
        clock,
        connect=camera.connect,
        new_id=lambda: f"a{next(numbers)}",
    )
    return watcher, sink, clock


def run_watcher(camera: Camera) -> tuple[CameraWatcher, MemorySink, ManualClock]:
    watcher, sink, clock = make_watcher(camera)
    watcher.run(threading.Event())
    return watcher, sink, clock


def quiet(seconds: float) -> list[tuple[float, Image]]:
    base, rng = clips.wall(), np.random.default_rng(3)
    return [(0.2, clips.noisy(base, rng)) for _ in range(int(seconds * 5))]


def test_the_camera_part_raises_a_person_with_picture_sentences_and_both_times() -> None:
    pictures = [(0.2, p) for p in clips.visit(seconds=20, fps=5, enters_s=4, leaves_s=8)]
    _, sink, _ = run_watcher(Camera(pictures))
    start, end = (a for a in sink.alarms if a.kind == "person")
    assert (start.phase, end.phase) == (Phase.START, Phase.END)
    assert start.alarm_id == end.alarm_id
    assert start.level is Level.ORANGE
    assert 900 <= start.captured_at_ms - start.started_at_ms <= 1500
    assert start.snapshot_jpeg is not None
    assert start.snapshot_jpeg[:2] == b"\xff\xd8"
    assert "人员" in start.sentence_zh
    assert "person" in start.sentence_en
    assert start.numbers["on_delay_s"] == 1.0


def test_a_lost_signal_is_one_fault_alarm_and_its_end_and_one_line_of_log_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        watcher, sink, _ = run_watcher(Camera(quiet(10), *(["no route"] * 12), quiet(10)))
    faults = [a for a in sink.alarms if a.kind == "camera_fault"]
    assert [(a.phase, a.reason) for a in faults] == [(Phase.START, "signal_lost"), (Phase.END, "signal_back")]
    assert faults[0].numbers["code"] == 7
    assert "0007" in faults[0].sentence_zh
    assert 3_900 <= faults[0].captured_at_ms - faults[0].started_at_ms <= 5_500
    assert len([r for r in caplog.records if "trying again" in r.message]) == 2  # lost, and the end of the story
    assert len([r for r in caplog.records if "pictures come again" in r.message]) == 1
    assert watcher.part_id == "cam-1"


def test_a_hiccup_of_the_connection_is_no_alarm() -> None:
    _, sink, _ = run_watcher(Camera(quiet(5), quiet(5), quiet(5)))
    assert [
        a
        for a in sink.alarms
        if a.kind == "camera_fault" and a.phase is Phase.START and a.started_at_ms < 1_700_000_014_000
    ] == []


def test_motion_samples_come_every_twenty_seconds() -> None:
    _, sink, _ = run_watcher(Camera(quiet(65)))
    assert [source for source, _, _ in sink.sampled] == ["cam-1"] * 3
    _, at_ms, values = sink.sampled[0]
    assert len(at_ms) == 1
    assert values["motion_ratio"] == [0.0]
    assert values["picture_rate_hz"][0] == pytest.approx(5.0, abs=0.2)


def test_health_is_told_from_changed_pictures_and_not_from_a_running_thread() -> None:
    same = clips.wall()
    watcher, _, clock = run_watcher(Camera([*quiet(5), *[(0.2, same)] * 400]))
    assert watcher.health().reason == "signal_lost"
    clock_now = clock.monotonic_s()
    assert watcher.health().numbers["last_change_age_s"] > 70
    assert clock_now > 0


def test_a_source_that_never_comes_is_a_fault_from_the_start() -> None:
    watcher, sink, _ = run_watcher(Camera(*(["refused"] * 8)))
    assert [a.reason for a in sink.alarms] == ["signal_lost"]
    assert not watcher.health().ok
    assert watcher.health().evidence_at_ms is None


def test_a_detector_that_says_the_whole_frame_is_a_person_is_not_believed() -> None:
    detector = ScriptedDetector(
        lambda image: [PlainDetection("person", 0.9, (0.0, 0.0, float(image.shape[1]), float(image.shape[0])))]
    )
    clock, sink = ManualClock(), MemorySink()
    pictures = [(0.2, p) for p in clips.visit(seconds=10, fps=5, enters_s=2, leaves_s=9)]
    watcher = CameraWatcher(
        CameraSettings(camera_id="c", source="x"), detector, sink, clock, connect=Camera(pictures).connect
    )
    watcher.run(threading.Event())
    assert [a for a in sink.alarms if a.kind == "person"] == []


def test_a_picture_asked_for_is_the_next_one_and_a_dead_camera_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher, _, _ = make_watcher(Camera(quiet(5)))
    shown: list[bytes | None] = []
    asker = threading.Thread(target=lambda: shown.append(watcher.picture()))
    asker.start()
    while not watcher._asked:
        asker.join(0.001)
    watcher.run(threading.Event())
    asker.join()
    assert shown[0] is not None
    assert shown[0][:2] == b"\xff\xd8"
    monkeypatch.setattr("sealwatch.edge.video.watcher.PICTURE_WITHIN_S", 0.01)
    assert watcher.picture() is None
    assert not watcher._asked, "nobody waits any longer"
    assert isinstance(watcher, PictureTaker)
