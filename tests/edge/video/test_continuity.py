"""A stream whose time jumps or whose pictures change their size in mid-stream is noticed, named and watched on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import pytest

from sealwatch.base.clock import Clock, ManualClock
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Frame, FrameSource, Image, MemorySink, SourceError
from sealwatch.edge.video import continuity
from sealwatch.edge.video.continuity import Continuity
from sealwatch.edge.video.decoding import foreign_codec
from sealwatch.edge.video.ports import Demand, StageTimes
from sealwatch.edge.video.source import _Pacer
from sealwatch.edge.video.watcher import CameraWatcher
from tests.edge.video import clips
from tests.edge.video.test_chain import quiet


def told(*pictures: tuple[float, float]) -> list[str]:
    state, reasons = Continuity(), []
    for pts_s, monotonic_s in pictures:
        state, reason = continuity.picture(state, pts_s=pts_s, monotonic_s=monotonic_s)
        reasons.append(reason)
    assert state.jumps == sum(bool(reason) for reason in reasons)
    return reasons


def test_even_time_a_pause_and_a_first_picture_are_no_jumps() -> None:
    assert told((0.0, 7.0), (0.2, 7.2), (40.2, 47.2), (40.1, 47.4)) == ["", "", "", ""]


def test_a_jump_is_named_by_its_direction_and_counted_once() -> None:
    assert told((100.0, 0.0), (3.0, 0.2), (3.2, 0.4)) == ["", "time_jumped_back", ""]
    assert told((100.0, 0.0), (3700.0, 0.2), (3700.2, 0.4)) == ["", "time_jumped_ahead", ""]


def test_a_new_connection_is_no_jump_and_keeps_the_count() -> None:
    state, _ = continuity.picture(Continuity(jumps=2), pts_s=500.0, monotonic_s=1.0)
    assert continuity.picture(continuity.reconnected(state), pts_s=0.0, monotonic_s=2.0)[0].jumps == 2


def test_another_codec_is_named_and_counted_across_connections() -> None:
    state, reason = continuity.picture(Continuity(), pts_s=0.0, monotonic_s=0.0, codec="h264")
    assert reason == ""
    state, reason = continuity.picture(continuity.reconnected(state), pts_s=0.0, monotonic_s=9.0, codec="hevc")
    assert (reason, state.codec_changes, state.jumps) == ("codec_changed", 1, 0)
    state, reason = continuity.picture(state, pts_s=0.2, monotonic_s=9.2, codec="hevc")
    assert (reason, state.codec_changes) == ("", 1)


def first_packet(codec: str) -> bytes:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.time_base = Fraction(1, 5)
    if codec == "libx265":
        encoder.options = {"x265-params": "log-level=none"}
    packets = encoder.encode(av.VideoFrame.from_ndarray(clips.wall(), format="bgr24"))
    return bytes([*packets, *encoder.encode()][0])


@pytest.mark.parametrize(("sent", "expected"), [("libx264", "h264"), ("libx265", "hevc")])
def test_packets_of_another_codec_are_told_by_their_first_bytes(sent: str, expected: str) -> None:
    data, other = first_packet(sent), {"h264": "hevc", "hevc": "h264"}[expected]
    assert foreign_codec(expected, data) == ""
    assert foreign_codec(other, data) == expected


def test_jpeg_in_the_middle_of_h264_is_told_and_rubbish_is_not() -> None:
    assert foreign_codec("h264", b"\xff\xd8\xff\xdb\x00") == "mjpeg"
    assert (
        foreign_codec("h264", b"") == foreign_codec("hevc", b"\x00\x00\x00\x01") == foreign_codec("h264", b"ab") == ""
    )


@pytest.mark.parametrize("jump_s", [-3600.0, -20.0, -6.0, 6.0, 20.0, 3600.0])
def test_a_live_stream_is_watched_on_at_once_after_its_time_jumped(jump_s: float) -> None:
    clock, stop = ManualClock(), threading.Event()
    pacer = _Pacer(clock, 0.2, live=True)
    seen = []
    for step in range(100):
        clock.advance(0.2)
        at_s = pacer.due(5000.0 + step / 5 + (jump_s if step >= 50 else 0.0), stop)
        seen.append(at_s is not None and abs(at_s - clock.monotonic_s()) < 0.6)
    assert sum(seen[50:]) >= 49
    assert sum(seen[:50]) >= 49


def watched(pictures: list[tuple[float, Image]]) -> tuple[CameraWatcher, MemorySink]:
    """A camera that sends (stream's seconds, picture) five times a second and then hangs up."""

    def connect(_settings: CameraSettings, clock: Clock, _times: StageTimes, _demand: Demand) -> FrameSource:
        def frames(stop: threading.Event) -> Iterator[Frame]:
            for pts_s, picture in pictures:
                clock.sleep(0.2)
                grey: Image = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
                yield Frame(
                    grey=grey,
                    colour=lambda shown=picture: shown,  # type: ignore[misc]  # a default argument binds this picture
                    pts_s=pts_s,
                    captured_at_ms=clock.wall_ms(),
                    monotonic_s=clock.monotonic_s(),
                )
            stop.set()
            raise SourceError("the camera ended the stream")

        return clips.ScriptedSource(frames)

    sink = MemorySink()
    watcher = CameraWatcher(
        CameraSettings(camera_id="c", source="x"), clips.detector(), sink, ManualClock(), connect=connect
    )
    watcher.run(threading.Event())
    return watcher, sink


def test_health_counts_the_jumps_of_the_streams_time(caplog: pytest.LogCaptureFixture) -> None:
    shown = [(n / 5 + (3600.0 if n >= 20 else 0.0), picture) for n, (_, picture) in enumerate(quiet(8))]
    watcher, sink = watched(shown)
    assert watcher.health().numbers["time_jumps"] == 1
    assert len([r for r in caplog.records if "time_jumped_ahead" in r.message]) == 1
    assert sink.alarms == []


def test_a_camera_that_changes_its_resolution_in_mid_stream_is_fault_0009() -> None:
    pictures = [picture for _, picture in quiet(10)]
    shown = [(n / 5, p if n < 25 else cv2.resize(p, (640, 480))) for n, p in enumerate(pictures)]
    _, sink = watched(shown)
    assert [(a.numbers["code"], a.reason) for a in sink.alarms] == [(9, "size_changed")]
    assert sink.alarms[0].snapshot_jpeg is not None
