"""The simulated camera, read the way the agent reads a real one: PyAV over RTSP and TCP."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.simulator import camera
from sealwatch.simulator.camera import Codec, GStreamerMissing, RtspCamera

ROOT = Path(__file__).parents[2]
MISSING = camera.gstreamer_missing()
needs_gstreamer = pytest.mark.skipif(bool(MISSING), reason=MISSING)

FPS, PICTURES = 25, 30
PATIENCE_US = "8000000"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.2 s of pictures that grow brighter, so that a picture says where in the clip it is."""
    path = tmp_path_factory.mktemp("clip") / "dawn.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(PICTURES):
            image = np.full((120, 160, 3), 20 + 7 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@contextmanager
def opened(url: str, patience_us: str = PATIENCE_US) -> Iterator[Any]:
    options = {"rtsp_transport": "tcp", "timeout": patience_us, "analyzeduration": "300000"}
    with av.open(url, options=options) as container:
        yield container


def look(url: str, pictures: int) -> tuple[str, list[float], list[float]]:
    """The stream's coding, and brightness and time of the first pictures."""
    levels, times = [], []
    with opened(url) as container:
        coding = container.streams.video[0].codec_context.name
        for frame in container.decode(video=0):
            levels.append(float(frame.to_ndarray(format="gray").mean()))
            times.append(float(frame.time if frame.time is not None else 0.0))
            if len(levels) == pictures:
                break
    return coding, levels, times


@needs_gstreamer
@pytest.mark.parametrize(("codec", "name"), [("h264", "h264"), ("h265", "hevc"), ("mjpeg", "mjpeg"), ("copy", "h264")])
def test_pyav_reads_the_clip_over_and_over_with_time_going_on(clip: Path, codec: Codec, name: str) -> None:
    with RtspCamera(clip, codec=codec) as served:
        coding, levels, times = look(served.url, pictures=PICTURES + 15)
    assert coding == name
    assert all(later > earlier for earlier, later in itertools.pairwise(times[1:]))
    assert times[-1] - times[1] == pytest.approx((len(times) - 2) / FPS, abs=0.2)
    drops = [i for i in range(1, len(levels)) if levels[i] < levels[i - 1] - 50]
    assert len(drops) == 1, "the clip starts over exactly once"
    assert max(levels) - min(levels) > 150


@needs_gstreamer
def test_two_viewers_see_the_same_camera(clip: Path) -> None:
    with RtspCamera(clip) as served, opened(served.url) as first, opened(served.url) as second:
        for container in (first, second):
            assert next(container.decode(video=0)).width == 160


@needs_gstreamer
def test_a_viewer_who_comes_back_sees_pictures_again(clip: Path) -> None:
    with RtspCamera(clip) as served:
        assert len(look(served.url, pictures=3)[1]) == 3
        assert len(look(served.url, pictures=3)[1]) == 3


@needs_gstreamer
def test_only_who_has_the_password_gets_in(clip: Path) -> None:
    with RtspCamera(clip, username="admin", password="a:b@c/ d") as served:
        assert "a:b" not in served.url
        with pytest.raises(av.error.HTTPUnauthorizedError), opened(served.url):
            pytest.fail("let in without a password")
        with pytest.raises(av.error.HTTPUnauthorizedError), opened(served.url.replace("//", "//admin:wrong@")):
            pytest.fail("let in with a wrong password")
        assert len(look(served.url_with_password, pictures=2)[1]) == 2


@needs_gstreamer
def test_a_camera_that_stalls_at_once_accepts_and_sends_nothing(clip: Path) -> None:
    with RtspCamera(clip, stall_after_s=0) as served:
        port = int(served.url.rsplit(":", 1)[1].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            pass
        with pytest.raises(av.error.FFmpegError), opened(served.url, patience_us="1000000"):
            pytest.fail("a picture came")
        assert served.running


@needs_gstreamer
def test_a_camera_that_stalls_later_stops_in_the_middle(clip: Path) -> None:
    seen: list[Any] = []
    with RtspCamera(clip, stall_after_s=1.5) as served, opened(served.url, patience_us="1000000") as container:
        with pytest.raises(av.error.FFmpegError):
            seen.extend(container.decode(video=0))
        assert served.running
    assert 5 < len(seen) < 1.5 * FPS + 15


@needs_gstreamer
def test_nothing_of_the_camera_stays_after_its_block(clip: Path) -> None:
    with RtspCamera(clip) as served:
        port = int(served.url.rsplit(":", 1)[1].split("/")[0])
    assert not served.running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)


@needs_gstreamer
@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "no data"), (b"hello, I am no video\n" * 50, "text file"), (None, "playable")]
)
def test_a_file_that_is_no_video_is_refused_with_the_reason(
    clip: Path, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    broken = tmp_path / "broken.mp4"
    whole = clip.read_bytes()
    broken.write_bytes(content if content is not None else whole[: len(whole) // 2])
    with pytest.raises(CommandFailed, match=rf"broken\.mp4: cannot be served as a camera: .*{reason}"):
        RtspCamera(broken).__enter__()


@needs_gstreamer
def test_a_coding_that_cannot_be_sent_as_it_is_names_what_it_is(tmp_path: Path) -> None:
    old = tmp_path / "old.avi"
    with av.open(str(old), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((120, 160, 3), np.uint8), format="bgr24")))
        container.mux(stream.encode(None))
    with pytest.raises(CommandFailed, match=r"its video/mpeg can't be sent as it is"):
        RtspCamera(old, codec="copy").__enter__()
    with RtspCamera(old) as served:
        assert len(look(served.url, pictures=2)[1]) == 2


@needs_gstreamer
def test_a_port_in_use_is_told(clip: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CommandFailed, match=f"port {port} of 127.0.0.1 is not free"):
            RtspCamera(clip, port=port).__enter__()


def test_a_missing_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"gone\.mp4: no such file"):
        RtspCamera(tmp_path / "gone.mp4").__enter__()


@pytest.mark.parametrize("script", ["import gi_is_not_here", "raise SystemExit('no display')"])
def test_a_machine_without_gstreamer_is_told_what_to_install(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    python = tmp_path / "python3"
    monkeypatch.setattr(camera, "SYSTEM_PYTHON", python)
    with pytest.raises(GStreamerMissing, match=r"apt-get install python3-gi gir1\.2-gst-rtsp-server"):
        RtspCamera(clip).__enter__()
    assert camera.gstreamer_missing()
    # A Python that is there but has no bindings answers the same; one that dies otherwise is quoted.
    python.write_text(f"#!{sys.executable} -I\nimport sys\nsys.modules['gi'] = None\nexec(open(sys.argv[2]).read())\n")
    python.chmod(0o755)
    with pytest.raises(GStreamerMissing, match=r"gi.* is missing"):
        RtspCamera(clip).__enter__()
    python.write_text(f"#!{sys.executable} -I\n{script}\n")
    with pytest.raises(CommandFailed, match=r"did not start: .*(gi_is_not_here|no display)"):
        RtspCamera(clip).__enter__()


@needs_gstreamer
def test_the_command_serves_until_it_is_stopped(clip: Path) -> None:
    program = (
        "import argparse\nfrom sealwatch.simulator.camera import configure_camera\n"
        "parser = argparse.ArgumentParser()\nconfigure_camera(parser)\n"
        f"arguments = parser.parse_args([{str(clip)!r}, '--port', '0'])\nraise SystemExit(arguments.run(arguments))"
    )
    environment = os.environ | {"LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("rtsp://"))
        assert len(look(url, pictures=2)[1]) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    "options", [["--user", "a"], ["--password", "b"], ["--port", "70000"], ["--stall-after", "-1"], ["--codec", "vp8"]]
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: list[str]) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    camera.configure_camera(parser)
    with pytest.raises((UsageError, argparse.ArgumentError)):
        camera.run_camera(parser.parse_args([str(tmp_path / "x.mp4"), *options]))
