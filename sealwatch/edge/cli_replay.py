"""`sealwatch edge replay`: the cameras' chain on a recorded video, faster than real time, the same result each time."""

from __future__ import annotations

import argparse
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec

from sealwatch.base.clock import ManualClock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.contract.codes import Phase
from sealwatch.edge.config import CameraSettings, load_node
from sealwatch.edge.ports import SourceError
from sealwatch.edge.video.analyser import Analyser
from sealwatch.edge.video.annotate import AnnotatedVideo
from sealwatch.edge.video.decisions import Decision
from sealwatch.edge.video.ports import Demand, ObjectDetector, StageTimes
from sealwatch.edge.video.source import open_source


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `replay`."""
    parser.add_argument("video", metavar="VIDEO", help="video file to watch")
    parser.add_argument("--config", type=Path, metavar="FILE", help="node.toml with the camera's zones and rules")
    parser.add_argument("--camera", metavar="ID", help="which camera of the configuration (default: the first)")
    parser.add_argument("--model", type=Path, metavar="FILE", help="ONNX detector (default: the fetched one)")
    parser.add_argument("--annotated", type=Path, metavar="OUT.mp4", help="also write the video with what was seen")
    parser.add_argument("--json", action="store_true", help="one JSON object a line; the last is a summary")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Watch the video and print what would have been raised. Raises UsageError, CommandFailed."""
    camera = _camera(arguments.config, arguments.camera, arguments.video)
    detector = load_detector(arguments.model)
    tell = _tell_json if arguments.json else _tell_text
    try:
        with AnnotatedVideo(arguments.annotated, camera) if arguments.annotated else nullcontext() as video:
            for line in replay(camera, detector, video):
                print(tell(line), flush=True)
    except SourceError as error:
        raise CommandFailed(str(error)) from None
    return 0


def replay(
    camera: CameraSettings, detector: ObjectDetector, annotated: AnnotatedVideo | None = None
) -> Iterator[dict[str, Any]]:
    """Each transition as a dict with ``t_s``, at last the summary with ``summary: true``. Raises SourceError."""
    clock, times, demand = ManualClock(wall_ms=0, monotonic_s=0.0), StageTimes(), Demand()
    numbers = iter(range(1, 1_000_000_000))
    analyser = Analyser(camera, detector, times=times, demand=demand, new_id=lambda: f"alarm-{next(numbers)}")
    frames, last_s = 0, 0.0
    totals: Counter[str] = Counter()
    for frame in open_source(camera, clock, times, demand).frames(threading.Event()):
        frames, last_s = frames + 1, frame.pts_s
        look = analyser.look(frame)
        if annotated is not None:
            annotated.add(frame, look)
        for decision in look.decisions:
            if decision.phase is Phase.START:
                totals[decision.kind.value] += 1
            if decision.direction:
                totals[decision.direction] += 1
            yield _transition(decision)
    yield {
        "summary": True,
        "frames": frames,
        "seconds": round(last_s, 3),
        "cpu_s": {name: round(spent_s, 3) for name, spent_s in sorted(times.cpu_s.items())},
        "totals": dict(sorted(totals.items())),
    }


def load_detector(model: Path | None) -> ObjectDetector:
    """The detector, on one thread. Raises ModelError, ModelMissingError, SettingsError."""
    from sealwatch.models.runtime import Detector  # loads ONNX Runtime: only when a detector is really wanted

    return Detector.load(model, threads=1)


def _camera(config: Path | None, camera_id: str | None, video: str) -> CameraSettings:
    if config is None:
        if camera_id is not None:
            raise UsageError("--camera names a camera of a configuration; give --config as well")
        return CameraSettings(camera_id="replay", source=video)
    cameras = load_node(config).cameras
    chosen = [c for c in cameras if camera_id in (None, c.camera_id)]
    if not chosen:
        there = ", ".join(c.camera_id for c in cameras) or "none"
        raise UsageError(f"{config}: no camera '{camera_id or ''}'; there are: {there}")
    return msgspec.structs.replace(chosen[0], source=video, repeat=False)


def _transition(decision: Decision) -> dict[str, Any]:
    line: dict[str, Any] = {
        "t_s": round(decision.pts_s, 3),
        "kind": decision.kind.value,
        "phase": decision.phase.value,
        "zone": decision.zone,
        "score": decision.score,
        "reason": decision.reason,
    }
    if decision.code:
        line["code"] = decision.code
    if decision.direction:
        line |= {"direction": decision.direction, "in_total": int(decision.numbers["in_total"])}
        line["out_total"] = int(decision.numbers["out_total"])
    return {**line, "started_s": round(decision.started_at_ms / 1000.0, 3), "numbers": dict(decision.numbers)}


def _tell_json(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False)


def _tell_text(line: dict[str, Any]) -> str:
    if line.get("summary"):
        spent = ", ".join(f"{name} {spent_s:.2f} s" for name, spent_s in line["cpu_s"].items())
        return f"{line['frames']} pictures in {line['seconds']:.1f} s of video; CPU: {spent or 'none'}"
    code = f" {line['code']}" if "code" in line else ""
    zone = f" in {line['zone']}" if line["zone"] else ""
    return f"{line['t_s']:9.2f} s  {line['kind']}{code} {line['phase']}{zone}  {line['score']:.2f}  {line['reason']}"


if __name__ == "__main__":
    import sys

    _parser = argparse.ArgumentParser(prog="sealwatch edge replay")
    configure(_parser)
    _arguments = _parser.parse_args()
    try:
        raise SystemExit(_arguments.run(_arguments))
    except UsageError as _error:
        print(f"sealwatch: {_error}", file=sys.stderr)
        raise SystemExit(2) from None
    except CommandFailed as _error:
        print(f"sealwatch: {_error}", file=sys.stderr)
        raise SystemExit(1) from None
