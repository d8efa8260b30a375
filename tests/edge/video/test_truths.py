"""What a camera may do to its watcher, one truth a test: with a real RTSP server where a wire is the point."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sealwatch.base.clock import Clock, ManualClock, SystemClock
from sealwatch.contract.codes import Phase
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.health import faults
from sealwatch.edge.health.faults import FaultState
from sealwatch.edge.ports import Frame, FrameSource, MemorySink, SourceError
from sealwatch.edge.video import source
from sealwatch.edge.video.ports import Demand, StageTimes
from sealwatch.edge.video.source import open_source
from sealwatch.edge.video.watcher import HANGS_S, RECONNECT_CAP_S, CameraWatcher
from sealwatch.simulator.camera import RtspCamera, gstreamer_missing
from tests.edge.video import clips

needs_gstreamer = pytest.mark.skipif(bool(gstreamer_missing()), reason="GStreamer's RTSP server is not installed")
CAMERA = CameraSettings(camera_id="gate", source="rtsp://cam/1")


def until(true: Callable[[], bool], within_s: float) -> bool:
    """Wait, really, for a real wire."""
    end_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True


def test_time_is_the_streams_own_in_a_file_whose_pictures_come_unevenly(tmp_path: Path) -> None:
    path, ticks = tmp_path / "uneven.mkv", [0, 40, 80, 1500, 1540, 4000, 4300, 9000]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 48, "yuv420p", Fraction(1, 1000)
        stream.codec_context.time_base, stream.options = Fraction(1, 1000), {"bf": "0"}
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 30 * number, np.uint8), format="bgr24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clock = ManualClock()
    settings = CameraSettings(camera_id="c", source=str(path), analysis_fps=30)
    start_s = clock.monotonic_s()
    seen = [(f.pts_s, f.monotonic_s - start_s) for f in open_source(settings, clock).frames(threading.Event())]
    assert [pts for pts, _ in seen] == pytest.approx([tick / 1000 for tick in ticks], abs=0.002)
    assert [due for _, due in seen] == pytest.approx([tick / 1000 for tick in ticks], abs=0.002)


class Stubborn:
    """A camera that refuses so many times before it shows itself."""

    def __init__(self, refusals: int) -> None:
        self.left, self.asked_s = refusals, list[float]()

    def connect(self, _camera: CameraSettings, clock: Clock, _times: StageTimes, _demand: Demand) -> FrameSource:
        self.asked_s.append(clock.monotonic_s())
        self.left -= 1
        if self.left >= 0:
            raise SourceError("refused", reason="refused")

        def frames(stop: threading.Event) -> Iterator[Frame]:
            rng = np.random.default_rng(1)
            for number in range(20):
                clock.sleep(0.2)
                at_s = clock.monotonic_s()
                frame = clips.frame_of(clips.noisy(clips.wall(), rng), number / 5)
                yield Frame(
                    grey=frame.grey,
                    colour=frame.colour,
                    pts_s=number / 5,
                    captured_at_ms=clock.wall_ms(),
                    monotonic_s=at_s,
                )
            stop.set()

        return clips.ScriptedSource(frames)


def test_a_camera_that_is_away_for_hours_is_asked_for_ever_with_capped_and_uneven_pauses() -> None:
    camera, sink = Stubborn(1000), MemorySink()
    watcher = CameraWatcher(CAMERA, clips.detector(), sink, ManualClock(), connect=camera.connect)
    watcher.run(threading.Event())
    assert len(camera.asked_s) == 1001
    pauses = np.diff(camera.asked_s)
    assert pauses.max() <= RECONNECT_CAP_S + 0.25
    assert pauses[10:].std() > 3.0  # cameras behind one switch do not come back in step
    assert [(a.phase, a.reason) for a in sink.alarms] == [(Phase.START, "signal_lost"), (Phase.END, "signal_back")]


@needs_gstreamer
def test_a_camera_that_stops_sending_while_it_answers_is_told_and_its_health_is_not_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "READ_TIMEOUT_S", 1.0)
    monkeypatch.setattr(source, "OPEN_TIMEOUT_S", 1.0)
    clip = clips.write_clip(tmp_path / "c.mp4", clips.visit(seconds=6, fps=10, enters_s=9, leaves_s=9))
    sink, stop = MemorySink(), threading.Event()
    with RtspCamera(clip, stall_after_s=2.0) as camera:
        settings = CameraSettings(camera_id="gate", source=camera.url)
        watcher = CameraWatcher(settings, clips.detector(), sink, SystemClock())
        thread = threading.Thread(target=watcher.run, args=(stop,))
        thread.start()
        try:
            assert until(lambda: watcher.health().ok, 10)
            assert until(lambda: not watcher.health().ok, 8)
            assert until(lambda: any(a.reason == "signal_lost" for a in sink.alarms), 10)
            assert not watcher.health().ok
        finally:
            stop.set()
            thread.join(20)


def test_a_read_that_never_returns_cannot_pass_for_health_and_becomes_an_alarm_that_ends_when_it_is_over() -> None:
    clock, sink, stop = ManualClock(), MemorySink(), threading.Event()
    stuck, free = threading.Event(), threading.Event()

    def frames(_stop: threading.Event) -> Iterator[Frame]:
        for number in range(10):
            if number == 5:
                stuck.set()
                free.wait(20)  # as a driver does that waits for a USB camera
            yield clips.frame_of(clips.wall(), number / 5)
        raise SourceError("over", reason="ended")

    watcher = CameraWatcher(CAMERA, clips.detector(), sink, clock, connect=lambda *_: clips.ScriptedSource(frames))
    thread = threading.Thread(target=watcher.run, args=(stop,))
    thread.start()
    assert stuck.wait(10)
    state, told = FaultState(), []
    for _ in range(30):
        clock.advance(10)
        health = watcher.health()
        state, drafts = faults.step(state, [health], clock.monotonic_s(), clock.wall_ms(), boot_id="b")
        told += [(draft.phase, draft.reason) for draft in drafts]
        if clock.monotonic_s() - 1000.0 > HANGS_S + 10:
            assert (health.ok, health.reason) == (False, "hangs")
    assert told == [(Phase.START, "hangs")]
    stop.set()
    free.set()
    thread.join(10)
    assert watcher.health().reason != "hangs"
    for _ in range(5):
        clock.advance(10)
        state, drafts = faults.step(state, [watcher.health()], clock.monotonic_s(), clock.wall_ms(), boot_id="b")
        told += [(draft.phase, draft.reason) for draft in drafts]
    assert told[1:] == [(Phase.END, "cured")]


@needs_gstreamer
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_over_a_wire_at_rest_the_first_second_of_an_event_is_looked_at_in_full(tmp_path: Path, transport: str) -> None:
    quiet_s, fps = 7.3, 10  # at rest from the third key frame on; somebody comes between two key frames
    pictures = clips.visit(seconds=12, fps=fps, enters_s=quiet_s, leaves_s=11, sigma=1.0)
    clip = clips.write_clip(tmp_path / "rest.mp4", pictures, fps=fps)
    demand, seen = Demand(), list[tuple[float, bool, bool]]()
    with RtspCamera(clip, codec="copy") as camera:
        settings = CameraSettings(camera_id="c", source=camera.url, transport=transport, analysis_fps=10)  # type: ignore[arg-type]  # one of the two names
        woken = False
        for frame in open_source(settings, SystemClock(), StageTimes(), demand).frames(threading.Event()):
            figure = bool(clips.find_figure(frame.colour()))
            woken = woken or (frame.pts_s > 4.5 and not demand.idle)
            seen.append((frame.pts_s, figure, demand.idle))
            demand.idle = frame.pts_s >= 2.5 and not woken
            if frame.pts_s > quiet_s + 2.5:
                break
    rest = [pts for pts, _, _ in seen if 4.2 < pts < quiet_s - 1.4]
    assert len(rest) <= 3, rest  # key frames alone
    with_figure = [pts for pts, figure, _ in seen if figure]
    assert with_figure[0] < quiet_s + 0.6, with_figure[:3]
    first = [pts for pts in with_figure if pts <= with_figure[0] + 1.0]
    assert len(first) >= 9, first  # every picture of its first second
