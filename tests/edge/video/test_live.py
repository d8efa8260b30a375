"""A camera over RTSP, from a real server: pictures come, people are found, and what gives no picture is said."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec
import pytest

from sealwatch.base.clock import ManualClock, SystemClock
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import SourceError
from sealwatch.edge.video import source as source_
from sealwatch.edge.video.source import open_source
from sealwatch.simulator.camera import Codec, RtspCamera, Transport, gstreamer_missing
from tests.edge.video import clips

pytestmark = pytest.mark.skipif(bool(gstreamer_missing()), reason="GStreamer's RTSP server is not installed")
WAIT_S = 30.0
FPS = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live") / "clip.mp4"
    return clips.write_clip(path, clips.visit(seconds=6, fps=FPS, enters_s=1, leaves_s=5, sigma=1.0), fps=FPS)


@pytest.mark.parametrize("codec", ["h264", "h265", "mjpeg"])
def test_pictures_of_a_camera_come_one_after_the_other(clip: Path, codec: Codec) -> None:
    with RtspCamera(clip, codec=codec) as camera:
        frames = open_source(CameraSettings(camera_id="c", source=camera.url), SystemClock()).frames(threading.Event())
        until_s = time.monotonic() + WAIT_S
        stamps = []
        for frame in frames:
            stamps.append(frame.pts_s)
            if len(stamps) == 10 or time.monotonic() > until_s:
                break
    assert len(stamps) == 10
    assert stamps == sorted(stamps)


def test_packets_without_a_picture_are_a_named_failure(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()

    class Blind:
        def __init__(self, *_: object) -> None: ...

        def decode(self, _packet: object) -> list[object]:
            clock.advance(1.0)
            return []

    monkeypatch.setattr(source_, "Decoder", Blind)
    with RtspCamera(clip) as camera:
        frames = open_source(CameraSettings(camera_id="c", source=camera.url), clock).frames(threading.Event())
        with pytest.raises(SourceError, match="no picture can be decoded") as failed:
            next(frames)
    assert failed.value.reason == "undecodable"


@pytest.mark.parametrize(("configured", "spoken"), [("auto", "udp"), ("udp", "any"), ("tcp", "tcp")])
def test_pictures_come_over_udp_where_tcp_is_refused_or_udp_is_asked_for(
    clip: Path, configured: str, spoken: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    with RtspCamera(clip, transport=spoken) as camera, caplog.at_level("INFO"):
        settings = msgspec.convert(
            {"camera_id": "c", "source": camera.url, "transport": configured}, type=CameraSettings
        )
        frames = open_source(settings, SystemClock()).frames(threading.Event())
        stamps = [frame.pts_s for _, frame in zip(range(5), frames, strict=False)]
    assert len(stamps) == 5
    assert stamps == sorted(stamps)
    assert ("refuses RTSP over TCP" in caplog.text) == (configured == "auto")


def test_a_camera_that_refuses_the_only_transport_allowed_is_a_named_failure(clip: Path) -> None:
    with RtspCamera(clip, transport="udp") as camera:
        settings = CameraSettings(camera_id="c", source=camera.url, transport="tcp")
        with pytest.raises(SourceError, match="refuses this way of sending") as failed:
            next(iter(open_source(settings, SystemClock()).frames(threading.Event())))
    assert failed.value.reason == "transport_refused"
