"""Rest: key frames only while nothing happens, and nothing lost when something does."""

from __future__ import annotations

import threading
from pathlib import Path

import av
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.video.decoding import Decoder, PacketSizes
from sealwatch.edge.video.ports import Demand, StageTimes
from sealwatch.edge.video.source import open_source
from tests.edge.video import clips

FPS = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty quiet seconds, somebody comes in at 20.7 s, a key frame every two seconds."""
    path = tmp_path_factory.mktemp("clips") / "rest.mp4"
    return clips.write_clip(path, clips.visit(seconds=26, fps=FPS, enters_s=20.7, leaves_s=25, sigma=1.0), fps=FPS)


def times_at_rest(clip: Path, *, rest_from_s: float) -> list[float]:
    demand, woken = Demand(), False
    seen: list[float] = []
    camera = CameraSettings(camera_id="cam", source=str(clip))
    for frame in open_source(camera, ManualClock(), StageTimes(), demand).frames(threading.Event()):
        woken = woken or (bool(seen) and seen[-1] > rest_from_s and not demand.idle)
        demand.idle = frame.pts_s >= rest_from_s and not woken
        seen.append(round(frame.pts_s, 2))
    return seen


def test_at_rest_only_key_frames_are_decoded(clip: Path) -> None:
    seen = times_at_rest(clip, rest_from_s=6.0)
    assert [t for t in seen if 8.0 <= t <= 20.0] == [8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0]


def test_a_surprising_packet_wakes_and_what_was_kept_since_the_key_frame_is_decoded_after_all(clip: Path) -> None:
    seen = times_at_rest(clip, rest_from_s=6.0)
    assert seen == sorted(seen)
    assert [t for t in seen if 20.0 <= t <= 24.0] == pytest.approx([20.0 + n / 5 for n in range(21)], abs=0.11)


def test_the_end_of_a_file_at_rest_is_still_reached(clip: Path) -> None:
    assert times_at_rest(clip, rest_from_s=2.0)[-1] >= 25.6


def test_a_stream_with_rare_key_frames_is_always_decoded_in_full(tmp_path: Path) -> None:
    pictures = clips.visit(seconds=24, fps=2, enters_s=90, leaves_s=91)
    path = clips.write_clip(tmp_path / "rare.mp4", pictures, fps=2, key_every=12)
    assert len(times_at_rest(path, rest_from_s=2.0)) == 48


def test_sizes_are_surprising_only_against_what_is_usual_at_their_place() -> None:
    sizes = PacketSizes()
    group = [2000, 900, 300, 900, 310]
    for _ in range(6):
        sizes.key_frame()
        assert not any(sizes.surprising(size) for size in group)
    sizes.key_frame()
    assert [sizes.surprising(size) for size in [2010, 905, 900, 900, 310]] == [False, False, True, False, False]
    quiet = PacketSizes()
    for _ in range(6):
        quiet.key_frame()
        assert not any(quiet.surprising(20) for _ in range(5))
    assert not quiet.surprising(120)


def test_packets_without_a_decoding_time_are_decoded_as_live_streams_send_them(clip: Path) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        decoder, pictures = Decoder(stream.codec_context, Demand()), 0
        for packet in container.demux(stream):
            if packet.size:
                packet.dts = None
                pictures += len(list(decoder.decode(packet)))
    assert pictures > 200
