"""Scores on labelled recordings, and on real recordings with disturbances laid over them."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2

from sealwatch.base.clock import ManualClock
from sealwatch.edge.cli_replay import replay
from sealwatch.edge.config import CameraSettings, LineSettings
from sealwatch.edge.ports import Frame, Image
from sealwatch.edge.video.analyser import Analyser
from sealwatch.edge.video.decisions import Decision
from sealwatch.edge.video.ports import ObjectDetector
from sealwatch.edge.video.source import open_source
from sealwatch.simulator import vision

_LATE_S = 2.0
_DOOR = LineSettings(name="door", points=[(0.55, 0.525), (0.96, 0.525)], inside=(0.75, 0.4))
_FAULTS = {"Defocusing": ("0005", 41), "Displacement": ("0002", 128), "Occlusion": ("0001", 120)}
_NOBODY = ("video/intel/car-detection.mp4", "video/bgslibrary/video.avi", "video/opencv/tree.avi")


def labels(data: Path, detector: ObjectDetector) -> list[dict[str, Any]]:
    """One row a labelled recording: what had to be raised, what was, and how late."""
    file = data / "ground_truth" / "labels.json"
    if not file.is_file():
        return []
    truth = json.loads(file.read_text(encoding="utf-8"))
    rows = []
    for name, facts in truth["presence"].items():
        if (data / name).is_file():
            rows.append(_presence(data / name, facts, detector))
    rows += [_nobody(data / name, detector) for name in _NOBODY if (data / name).is_file()]
    rows += [_fault(data / name, detector) for name in truth["tamper"] if (data / name).is_file()]
    folder = data / "video" / "caviar_front"
    for name, facts in truth["counting"]["video/caviar_front"]["clips"].items():
        if (folder / name).is_file():
            rows.append(_counting(folder / name, facts, detector))
    return rows


def _replay(path: Path, detector: ObjectDetector, **settings: Any) -> list[dict[str, Any]]:
    return list(replay(CameraSettings(camera_id="bench", source=str(path), **settings), detector))


def _stamps(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        stamps = [float(picture.time or 0.0) for picture in container.decode(video=0)]
    return [stamp - stamps[0] for stamp in stamps]


def _presence(path: Path, facts: dict[str, Any], detector: ObjectDetector) -> dict[str, Any]:
    stamps = _stamps(path)
    wanted = [kind for kind in ("person_present", "rider", "vehicle_with_rider") if kind in facts]
    lines = _replay(path, detector)
    kinds = {"person"} if wanted != ["vehicle_with_rider"] else {"person", "vehicle"}
    told = [line["t_s"] for line in lines if line.get("kind") in kinds and line["phase"] in ("start", "update")]
    spans = [(stamps[a], stamps[b]) for kind in wanted for a, b in facts[kind]]
    late = [min((t - begin for t in told if begin <= t <= end + _LATE_S), default=None) for begin, end in spans]
    found = [delay for delay in late if delay is not None]
    outside = [
        line["t_s"]
        for line in lines
        if line.get("kind") == "person"
        and line["phase"] == "start"
        and not any(a - 0.5 <= line["t_s"] <= b + _LATE_S for a, b in spans)
    ]
    return {
        "recording": path.name,
        "events": len(spans),
        "told": len(found),
        "within 2 s of first second": sum(delay <= 1.0 + _LATE_S for delay in found),
        "latest, s": round(max(found), 2) if found else "",
        "false person alarms": len(outside),
    }


def _nobody(path: Path, detector: ObjectDetector) -> dict[str, Any]:
    lines = _replay(path, detector)
    false = [line for line in lines if line.get("kind") == "person" and line["phase"] == "start"]
    faults = [line["code"] for line in lines if line.get("kind") == "camera_fault"]
    return {"recording": path.name, "events": 0, "false person alarms": len(false), "faults": " ".join(faults)}


def _fault(path: Path, detector: ObjectDetector) -> dict[str, Any]:
    code, complete = _FAULTS[path.stem]
    stamps = _stamps(path)
    lines = [line for line in _replay(path, detector) if line.get("phase") == "start"]
    faults = [(line["code"], line["t_s"]) for line in lines if line["kind"] == "camera_fault"]
    mine = [t_s for found, t_s in faults if found == code]
    return {
        "recording": path.name,
        "events": 1,
        "told": len(mine),
        "latest, s": round(mine[0] - stamps[complete], 2) if mine else "",
        "false person alarms": sum(line["kind"] == "person" for line in lines),
        "faults": " ".join(found for found, _ in faults),
    }


def _counting(path: Path, facts: dict[str, Any], detector: ObjectDetector) -> dict[str, Any]:
    lines = _replay(path, detector, lines=[_DOOR])
    into = sum(line.get("direction") == "in" for line in lines)
    out = sum(line.get("direction") == "out" for line in lines)
    return {
        "recording": path.name,
        "events": facts["enter"] + facts["exit"],
        "told": into + out,
        "in / out (truth)": f"{into} / {out} ({facts['enter']} / {facts['exit']})",
    }


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
    found = [any(begin <= t <= end + _LATE_S for t in told) for begin, end in spans]
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
