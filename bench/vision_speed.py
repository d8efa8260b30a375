"""CPU time a minute of video, by stage, beside what Debian's `motion` takes for the same recording on this machine."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from bench.vision_clips import pictures
from sealwatch.edge.cli_replay import replay
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Image
from sealwatch.edge.video.ports import ObjectDetector
from sealwatch.simulator import vision

_FPS = 5


def speed(data: Path, clip: Path | None, detector: ObjectDetector) -> list[dict[str, Any]]:
    """One row a recording: CPU seconds a minute by stage, and the ratio to `motion`."""
    scenes = (
        ("trees and grass in the wind", data / "video" / "trail_youngsoul" / "bicycle.mp4", 6.6, 13.6),
        ("idle room", data / "video" / "intel" / "one-by-one-person-detection.mp4", 0.0, 5.6),
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        recordings: list[tuple[str, Path]] = []
        for name, source, begin_s, end_s in scenes:
            if not source.is_file():
                continue
            scene = pictures(source, begin_s, end_s, width_px=1280)
            for size in ((640, 360), (1280, 720)):
                path = Path(folder) / f"{source.stem}-{size[1]}.mp4"
                played = vision.to_and_fro(scene, seconds=60, fps=_FPS)
                write_film(path, size, (np.asarray(cv2.resize(p, size), np.uint8) for _, p in played))
                recordings.append((f"{name}, {size[0]}x{size[1]}", path))
        if clip is not None:
            recordings.append((clip.name, clip))
        for name, path in recordings:
            rows.append(_row(name, path, detector))
    return rows


def _row(name: str, path: Path, detector: ObjectDetector) -> dict[str, Any]:
    summary = list(replay(CameraSettings(camera_id="bench", source=str(path)), detector))[-1]
    minutes = summary["seconds"] / 60
    row: dict[str, Any] = {"recording": name, "pictures": summary["frames"]}
    for stage in ("decode", "gate", "faults", "detect"):
        row[f"{stage}, CPU s/min"] = round(summary["cpu_s"].get(stage, 0.0) / minutes, 2)
    ours_s = sum(summary["cpu_s"].get(stage, 0.0) for stage in ("decode", "gate")) / minutes
    row["decode + gate"] = round(ours_s, 2)
    theirs_s = _motion_s(path, summary["seconds"])
    if theirs_s is not None:
        row["motion, CPU s/min"] = round(theirs_s / minutes, 2)
        row["ratio"] = round(ours_s / (theirs_s / minutes), 2)
    return row


def _motion_s(path: Path, seconds: float) -> float | None:
    """CPU seconds of Debian's `motion` for the recording, played in real time; None where it is not installed."""
    program = shutil.which("motion")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "motion.conf"
        lines = (f"netcam_url file://{path.resolve()}", f"target_dir {folder}", "daemon off", "webcontrol_port 0")
        more = ("stream_port 0", "picture_output off", "movie_output off", f"framerate {_FPS}", "log_level 1")
        config.write_text("\n".join((*lines, *more)) + "\n", encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(
            [program, "-n", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(seconds + 1)
        process.terminate()
        process.wait(timeout=20)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_film(path: Path, size: tuple[int, int], shown: Iterable[Image]) -> None:
    """H.264 with a key frame every two seconds, as cameras send it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_FPS, options={"preset": "veryfast", "crf": "26"})
        stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", 2 * _FPS
        stream.codec_context.max_b_frames, stream.codec_context.time_base = 0, Fraction(1, _FPS)
        stream.width, stream.height = size
        for picture in shown:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
