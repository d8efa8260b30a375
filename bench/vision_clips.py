"""Scores on labelled recordings, and on real recordings with disturbances laid over them."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2

from bench import vision_truth
from sealwatch.base.clock import ManualClock
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Frame, Image
from sealwatch.edge.video.analyser import Analyser
from sealwatch.edge.video.decisions import Decision
from sealwatch.edge.video.ports import ObjectDetector
from sealwatch.edge.video.source import open_source
from sealwatch.simulator import vision


def labels(data: Path, detector: ObjectDetector) -> list[dict[str, Any]]:
    """One row a labelled recording: what had to be raised, what was, how late, and all that contradicts the truth."""
    rows = []
    for recording in vision_truth.recordings(data):
        told = vision_truth.replayed(recording.path, recording, detector)
        row: dict[str, Any] = {"recording": recording.path.name}
        if recording.line is None and recording.fault is None:
            late = vision_truth.delays_s(told, recording)
            found = [delay_s for delay_s in late if delay_s is not None]
            row |= {"events": len(late), "told": len(found)}
            row["within 2 s of first second"] = sum(delay_s <= 1.0 + vision_truth.LATE_S for delay_s in found)
            row["latest, s"] = round(max(found), 2) if found else ""
        row["false person alarms"] = len(vision_truth.strangers(told, recording))
        row["faults"] = " ".join(line["code"] for line in told if line.get("code") and line["phase"] == "start")
        if recording.line is not None:
            into, out = vision_truth.counted(told)
            row["in / out (truth)"] = f"{into} / {out} ({recording.crossings[0]} / {recording.crossings[1]})"
        row["wrong"] = "; ".join(vision_truth.wrong(told, recording))
        rows.append(row)
    return rows


def disturbances(data: Path, detector: ObjectDetector) -> list[dict[str, Any]]:
    """One row a disturbance: false person alarms on quiet scenes, and events still found."""
    events = data / "video" / "intel" / "one-by-one-person-detection.mp4"
    quiet = [
        (data / "video" / "trail_youngsoul" / "bicycle.mp4", 6.6, 13.6),
        (data / "video" / "intel" / "one-by-one-person-detection.mp4", 0.0, 5.6),
    ]
    if not events.is_file():
        return []
    scenes = [pictures(path, begin, end) for path, begin, end in quiet if path.is_file()]
    rows = []
    for name in vision.disturbances():
        row: dict[str, Any] = {"disturbance": name}
        false = moving = looks = faults = 0
        for scene in scenes:
            played = vision.disturb(vision.to_and_fro(scene, seconds=45, fps=5), vision.disturbances()[name])
            decisions, moved, seen = _watch(played, detector)
            false += sum(d.kind == "person" and d.phase == "start" for d in decisions)
            faults += sum(d.kind == "camera_fault" and d.phase == "start" for d in decisions)
            moving, looks = moving + moved, looks + seen
        row |= {
            "quiet minutes": round(len(scenes) * 0.75, 2),
            "false person alarms": false,
            "fault alarms": faults,
            "gate fires, %": round(100 * moving / max(looks, 1), 1),
        }
        row |= _events(events, name, detector)
        rows.append(row)
        print(json.dumps(row), file=sys.stderr)
    for name in vision.SIGHTLESS:
        decisions, _, _ = _watch(vision.sightless(name, scenes[-1], seconds=40, fps=5), detector)
        told = [f"{d.code or d.kind.value} {d.reason} at {d.pts_s - 10:.1f} s" for d in decisions if d.phase == "start"]
        rows.append({"disturbance": name, "told": "; ".join(told) or "nothing"})
    return rows


def _events(path: Path, name: str, detector: ObjectDetector) -> dict[str, Any]:
    """Three people one after another, 71 s; one is found when it is told while they are there."""
    spans = [(6.0, 20.4), (22.9, 45.2), (50.0, 70.6)]
    first = itertools.takewhile(lambda timed: timed[0] < 71.0, _timed(path))
    played = vision.disturb(first, vision.disturbances()[name])
    decisions, _, _ = _watch(played, detector)
    told = [d.pts_s for d in decisions if d.kind == "person" and d.phase in ("start", "update")]
    found = [any(begin <= t <= end + vision_truth.LATE_S for t in told) for begin, end in spans]
    return {"events": len(spans), "found": sum(found)}


def _watch(shown: Iterable[tuple[float, Image]], detector: ObjectDetector) -> tuple[list[Decision], int, int]:
    """Everything decided on pictures given one by one, how often the gate fired, and how many pictures there were."""
    analyser = Analyser(CameraSettings(camera_id="bench", source="bench"), detector)
    decisions: list[Decision] = []
    moving = looks = 0
    for second, picture in shown:
        grey: Image = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        look = analyser.look(
            Frame(
                grey=grey,
                colour=lambda shown=picture: shown,  # type: ignore[misc]  # a default argument binds this picture
                pts_s=second,
                captured_at_ms=round(second * 1000),
                monotonic_s=second,
            )
        )
        decisions += look.decisions
        moving, looks = moving + look.gate.moving, looks + 1
    return decisions, moving, looks


def _timed(path: Path, width_px: int = 640) -> Iterator[tuple[float, Image]]:
    camera = CameraSettings(camera_id="bench", source=str(path))
    for frame in open_source(camera, ManualClock()).frames(threading.Event()):
        yield frame.pts_s, _fit(frame.colour(), width_px)


def pictures(path: Path, begin_s: float, end_s: float, *, width_px: int = 640) -> list[Image]:
    """The pictures of one stretch of a recording, five a second, at most `width_px` wide."""
    return [picture for second, picture in _timed(path, width_px) if begin_s <= second < end_s]


def _fit(picture: Image, width_px: int) -> Image:
    height, width = picture.shape[:2]
    if width <= width_px:
        return picture
    fitted: Image = cv2.resize(picture, (width_px, round(height * width_px / width)), interpolation=cv2.INTER_AREA)
    return fitted
