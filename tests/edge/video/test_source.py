"""Sources: time stamps, pacing, and every way a camera or file can fail, in one sentence without credentials."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock, SystemClock
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import SourceError
from sealwatch.edge.video import source
from sealwatch.edge.video.source import address_of, open_source
from tests.edge.video import clips


def camera(path: Path | str, **more: object) -> CameraSettings:
    return CameraSettings(camera_id="cam", source=str(path), **more)  # type: ignore[arg-type]  # settings by name


def read(
    settings: CameraSettings, clock: ManualClock | SystemClock | None = None, at_most: int = 10_000
) -> list[float]:
    stop, times = threading.Event(), []
    for frame in open_source(settings, clock or ManualClock()).frames(stop):
        times.append(frame.pts_s)
        if len(times) >= at_most:
            stop.set()
    return times


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return clips.write_clip(tmp_path / "clip.mp4", clips.visit(seconds=4, fps=10, enters_s=1, leaves_s=3))


def test_a_file_gives_pictures_at_the_asked_rate_with_the_streams_own_time(clip: Path) -> None:
    times = read(camera(clip, analysis_fps=5.0))
    assert times == pytest.approx([n / 5 for n in range(20)], abs=0.01)


def test_pictures_have_their_size_brightness_and_colour(clip: Path) -> None:
    frame = next(iter(open_source(camera(clip), ManualClock()).frames(threading.Event())))
    assert frame.grey.shape == (clips.HEIGHT, clips.WIDTH)
    assert frame.colour().shape == (clips.HEIGHT, clips.WIDTH, 3)
    assert abs(float(frame.grey.mean()) - float(clips.wall().mean())) < 25
    assert frame.key_frame


def test_a_repeated_file_goes_on_in_time_and_at_the_clocks_pace(clip: Path) -> None:
    clock = ManualClock()
    start_s = clock.monotonic_s()
    times = read(camera(clip, repeat=True), clock, at_most=50)
    assert times == sorted(times)
    assert times[-1] == pytest.approx(9.8, abs=0.3)
    assert clock.monotonic_s() - start_s == pytest.approx(times[-1], abs=0.3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.mp4: no such video file; check the path"):
        read(camera(tmp_path / "nothing.mp4"))


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(SourceError, match="the video file is empty"):
        read(camera(tmp_path / "empty.mp4"))


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video " * 500)
    with pytest.raises(SourceError, match="it is not a video"):
        read(camera(tmp_path / "notes.mp4"))


def test_an_mp4_cut_off_before_its_index_is_named(clip: Path) -> None:
    clip.write_bytes(clip.read_bytes()[:2000])
    with pytest.raises(SourceError, match="cut off before its index"):
        read(camera(clip))


def test_a_truncated_video_gives_what_is_there_and_then_says_so(tmp_path: Path) -> None:
    path = clips.write_clip(
        tmp_path / "clip.avi", clips.visit(seconds=12, fps=10, enters_s=1, leaves_s=3), codec="mpeg4"
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    times: list[float] = []
    with pytest.raises(SourceError, match=r"truncated: it ends after \d+\.\d of 12\.0 s"):
        times.extend(frame.pts_s for frame in open_source(camera(path), ManualClock()).frames(threading.Event()))
    assert 10 < len(times) < 40


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_camera_that_accepts_and_sends_nothing_is_noticed_without_its_password(
    silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "OPEN_TIMEOUT_S", 1.0)
    monkeypatch.setenv("CAM_PASSWORD", "s3cret/word")
    settings = camera(f"rtsp://127.0.0.1:{silent_port}/live", username="inspector", password="env:CAM_PASSWORD")
    clock = SystemClock()
    before_s = clock.monotonic_s()
    with pytest.raises(SourceError, match="accepts the connection but sends no picture") as caught:
        read(settings, clock)
    assert clock.monotonic_s() - before_s < 3.0
    assert str(caught.value).startswith(f"rtsp://127.0.0.1:{silent_port}/live: ")
    assert caught.value.__cause__ is None
    assert "s3cret" not in str(caught.value)
    assert "inspector" not in str(caught.value)


def test_a_refused_connection_says_what_to_check_and_no_password_reaches_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with caplog.at_level(logging.DEBUG), pytest.raises(SourceError, match="connection is refused") as caught:
        read(camera(f"rtsp://user:hunter2@127.0.0.1:{port}/x"), SystemClock())
    assert "hunter2" not in str(caught.value) + caplog.text


def test_credentials_are_put_into_the_url_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM_PASSWORD", "p@ss:word")
    address = address_of(camera("rtsp://cam.local/s1?profile=2", username="me", password="env:CAM_PASSWORD"))
    assert address.url == "rtsp://me:p%40ss%3Aword@cam.local/s1?profile=2"
    assert address.label == "rtsp://cam.local/s1"
    assert "p%40ss" not in repr(address)
    assert address.live


def test_an_unknown_kind_of_address_is_refused() -> None:
    with pytest.raises(SourceError, match="this kind of address is not known"):
        address_of(camera("gopher://cam/1"))


def test_a_usb_camera_is_opened_through_v4l2_and_its_absence_named() -> None:
    assert address_of(camera("/dev/video0")).container_format == "v4l2"
    with pytest.raises(SourceError, match="/dev/video99: there is nothing at this address"):
        read(camera("/dev/video99"), SystemClock())
