"""What the labelled recordings show, in seconds, and what is wrong with what was told about them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av

from sealwatch.edge.cli_replay import replay
from sealwatch.edge.config import CameraSettings, LineSettings
from sealwatch.edge.video.ports import ObjectDetector

LATE_S: Final = 2.0  # after the first second of somebody's presence
FAULT_LATE_S: Final = 5.0  # after a camera's fault is complete
_UNSURE_S: Final = 1.5  # labels were read off contact sheets
_DOOR: Final = LineSettings(name="door", points=[(0.55, 0.525), (0.96, 0.525)], inside=(0.75, 0.4))
_NOBODY: Final = (
    "video/intel/car-detection.mp4",
    "video/bgslibrary/video.avi",
    "video/bgslibrary/video03.avi",
)
_CYCLIST: Final = ("video/bgslibrary/video02.avi", 2.9, 14.0)  # read off by eye: rides away on the hard shoulder
_FAULTS: Final = {"Defocusing": ("0005", 25, 41, 114), "Displacement": ("0002", 83, 128, 168)}
_COVERED: Final = ("0001", 61, 120, 129)

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording and its truth: who is there when, what crosses its line, and what happens to its camera.

    `fault` is (code, begins, is complete); `seconds` is how much of it is played.
    """

    path: Path
    seconds: float
    spans: tuple[Span, ...] = ()
    kinds: frozenset[str] = frozenset({"person"})
    fault: tuple[str, float, float] | None = None
    line: LineSettings | None = None
    crossings: tuple[int, int] = (0, 0)


def stamps(path: Path) -> list[float]:
    """The second of every picture, from the first on."""
    with av.open(str(path)) as container:
        found = [float(picture.time or 0.0) for picture in container.decode(video=0)]
    return [second - found[0] for second in found]


def recordings(data: Path) -> list[Recording]:
    """Every labelled recording in the folder; empty where there are no labels."""
    file = data / "ground_truth" / "labels.json"
    if not file.is_file():
        return []
    truth = json.loads(file.read_text(encoding="utf-8"))
    found = [_presence(data / name, facts) for name, facts in truth["presence"].items() if (data / name).is_file()]
    found += [
        Recording(path=data / name, seconds=stamps(data / name)[-1]) for name in _NOBODY if (data / name).is_file()
    ]
    name, begin_s, end_s = _CYCLIST
    if (data / name).is_file():
        found.append(Recording(path=data / name, seconds=stamps(data / name)[-1], spans=((begin_s, end_s),)))
    found += [_tampered(data / name) for name in truth["tamper"] if (data / name).is_file()]
    folder = data / "video" / "caviar_front"
    for name, facts in truth["counting"]["video/caviar_front"]["clips"].items():
        path = folder / name
        if path.is_file():
            crossings = (facts["enter"], facts["exit"])
            seconds = stamps(path)[-1]
            found.append(
                Recording(path=path, seconds=seconds, spans=((0.0, seconds),), line=_DOOR, crossings=crossings)
            )
    return found


def _presence(path: Path, facts: dict[str, Any]) -> Recording:
    at = stamps(path)
    wanted = [kind for kind in ("person_present", "rider", "vehicle_with_rider") if kind in facts]
    return Recording(
        path=path,
        seconds=at[-1],
        spans=tuple((at[a], at[min(b, len(at) - 1)]) for kind in wanted for a, b in facts[kind]),
        kinds=frozenset({"person", "vehicle"} if wanted == ["vehicle_with_rider"] else {"person"}),
    )


def _tampered(path: Path) -> Recording:
    code, begins, complete, spoilt = _FAULTS.get(path.stem, _COVERED)
    at = stamps(path)
    return Recording(path=path, seconds=at[spoilt - 1], fault=(code, at[begins], at[complete]))


def replayed(path: Path, recording: Recording, detector: ObjectDetector) -> list[dict[str, Any]]:
    """What `sealwatch edge replay` tells about `path`, which shows what `recording` says."""
    lines = [recording.line] if recording.line else []
    return list(replay(CameraSettings(camera_id="bench", source=str(path), lines=lines), detector))


def delays_s(told: Sequence[dict[str, Any]], recording: Recording) -> list[float | None]:
    """How long after somebody's coming the alarm was there, by presence; None where it never was."""
    seen = [
        line["t_s"] for line in told if line.get("kind") in recording.kinds and line["phase"] in ("start", "update")
    ]
    return [
        min((t_s - begin_s for t_s in seen if begin_s - _UNSURE_S <= t_s <= end_s + LATE_S), default=None)
        for begin_s, end_s in recording.spans
    ]


def strangers(told: Sequence[dict[str, Any]], recording: Recording) -> list[dict[str, Any]]:
    """Alarms about a person when nobody is there."""
    return [
        line
        for line in told
        if line.get("kind") == "person"
        and line["phase"] == "start"
        and not any(begin_s - _UNSURE_S <= line["t_s"] <= end_s + LATE_S for begin_s, end_s in recording.spans)
    ]


def counted(told: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """People in and out."""
    into, out = (sum(line.get("direction") == way for line in told) for way in ("in", "out"))
    return into, out


def wrong(told: Sequence[dict[str, Any]], recording: Recording) -> list[str]:
    """Everything that contradicts the truth, in words."""
    found = []
    if recording.line is None:
        for (begin_s, _), delay_s in zip(recording.spans, delays_s(told, recording), strict=True):
            if delay_s is None:
                found.append(f"nobody found from {begin_s:.1f} s on")
            elif delay_s > 1.0 + LATE_S:
                found.append(f"person from {begin_s:.1f} s on told {delay_s:.1f} s later")
    else:
        if counted(told) != recording.crossings:
            found.append(f"counted {counted(told)} instead of {recording.crossings}")
    found += [f"false person at {line['t_s']:.1f} s" for line in strangers(told, recording)]
    found += [f"false loop at {line['t_s']:.1f} s" for line in told if line.get("kind") == "liveness"]
    return found + _wrong_faults(told, recording)


def _wrong_faults(told: Sequence[dict[str, Any]], recording: Recording) -> list[str]:
    raised = [(line["code"], line["t_s"]) for line in told if line.get("code") and line["phase"] == "start"]
    if recording.fault is None:
        return [f"false {code} at {t_s:.1f} s" for code, t_s in raised]
    wanted, begins_s, complete_s = recording.fault
    found = [f"false {code} at {t_s:.1f} s" for code, t_s in raised if code != wanted or t_s < begins_s]
    mine = [t_s for code, t_s in raised if code == wanted and t_s >= begins_s]
    if not mine or mine[0] > complete_s + FAULT_LATE_S:
        found.append(f"{wanted} not told within {FAULT_LATE_S:.0f} s")
    return found
