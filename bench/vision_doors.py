"""Door recordings seen differently, and laid over each other so that several people use one door within seconds.

Two recordings of one shop door say little. Each is played forwards and backwards, spoilt in several ways, and the
person of one is cut out (by difference from the empty scene) and laid into the other, some seconds apart. Who walks
through whom is not drawn as a camera would see it; that several people cross at once is.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from bench import vision_truth, vision_varied
from bench.vision_truth import Recording
from sealwatch.edge.cli_replay import replay
from sealwatch.edge.config import CameraSettings, LineSettings
from sealwatch.edge.ports import Image
from sealwatch.edge.video.ports import ObjectDetector

Alpha = npt.NDArray[np.float32]

_FPS: Final = 25.0
_CROSSES_AT: Final = {"EnterExitCrossingPaths1front": 247, "OneLeaveShop1front": 165}  # pictures, read off by eye
_APART_S: Final = (0.8, 1.5, 2.0, 4.0)
_LEAD: Final = 100  # empty pictures before and after at most, where the two do not begin together


@dataclass(frozen=True, slots=True)
class _Play:
    """One recording in one direction: pictures, the empty scene, the picture of its crossing, and people (in, out)."""

    name: str
    pictures: Sequence[Image]
    empty: Image
    crosses: int
    truth: tuple[int, int]


def _noisy(picture: Image) -> Image:
    noise = np.random.default_rng(int(picture[::7, ::7].sum())).normal(0, 14, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _small(picture: Image) -> Image:
    return np.asarray(cv2.resize(picture, (352, 288), interpolation=cv2.INTER_AREA), np.uint8)


_SPOILT: Final[dict[str, tuple[Callable[[Image], Image], int, int]]] = {  # name: (picture, every nth, crf)
    "as it is": (lambda p: p, 1, 20),
    "darker": (lambda p: np.clip((p / 255.0) ** 1.3 * 153, 0, 255).astype(np.uint8), 1, 20),
    "8 a second": (lambda p: p, 3, 20),
    "640x480": (lambda p: np.asarray(cv2.resize(p, (640, 480), interpolation=cv2.INTER_CUBIC), np.uint8), 1, 20),
    "blurred": (lambda p: np.asarray(cv2.GaussianBlur(p, (0, 0), 1.6), np.uint8), 1, 20),
    "in fog": (lambda p: (p * 0.5 + 100).astype(np.uint8), 1, 20),
    "in night noise": (_noisy, 1, 20),
    "352x288 at crf 40": (_small, 1, 40),
}


def doors(data: Path, detector: ObjectDetector) -> list[dict[str, Any]]:
    """One row a kind of case: how many were counted exactly, people counted too many and too few, by looks a second."""
    plays = [play for r in vision_truth.recordings(data) if r.line is not None for play in _both_ways(r)]
    lines = [r.line for r in vision_truth.recordings(data) if r.line is not None]
    if not plays or lines[0] is None:
        return []
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, name, truth, line, pictures, fps, crf in _cases(plays, lines[0]):
            path = Path(folder) / "door.mp4"
            vision_varied.write(path, ((n / fps, picture) for n, picture in enumerate(pictures)), crf)
            row = rows.setdefault(kind, {"recordings": kind})
            for looks in (5, 10):
                camera = CameraSettings(camera_id="bench", source=str(path), lines=[line], analysis_fps=looks)
                counted = vision_truth.counted(list(replay(camera, detector)))
                _note(row, looks, counted, truth)
                if counted != truth:
                    print(f"{kind}: {name}, {looks} looks a second: {counted} for {truth}", file=sys.stderr)
    return list(rows.values())


def _note(row: dict[str, Any], looks: int, counted: tuple[int, int], truth: tuple[int, int]) -> None:
    differences = [a - b for a, b in zip(counted, truth, strict=True)]
    for column, value in (
        ("cases", 1),
        ("exact", int(counted == truth)),
        ("too many", sum(max(0, d) for d in differences)),
        ("too few", sum(max(0, -d) for d in differences)),
    ):
        key = f"{column}, {looks} looks/s"
        row[key] = row.get(key, 0) + value


def _both_ways(recording: Recording) -> Iterator[_Play]:
    with av.open(str(recording.path)) as container:
        pictures = [np.asarray(p.to_ndarray(format="bgr24"), np.uint8) for p in container.decode(video=0)]
    empty = np.median(np.stack(pictures[::8]), axis=0).astype(np.uint8)
    at = _CROSSES_AT.get(recording.path.stem, len(pictures) // 2)
    into, out = recording.crossings
    yield _Play(recording.path.stem, pictures, empty, at, (into, out))
    backwards = pictures[::-1]
    yield _Play(f"{recording.path.stem} backwards", backwards, empty, len(pictures) - at, (out, into))


_Case = tuple[str, str, tuple[int, int], LineSettings, Sequence[Image], float, int]


def _cases(plays: Sequence[_Play], line: LineSettings) -> Iterator[_Case]:
    for name, (spoil, every, crf) in _SPOILT.items():
        for play in plays:
            yield name, play.name, play.truth, line, [spoil(p) for p in play.pictures[::every]], _FPS / every, crf
    mirrored = msgspec.structs.replace(
        line, points=[(1 - x, y) for x, y in line.points], inside=(1 - line.inside[0], line.inside[1])
    )
    for play in plays:
        pictures = [np.ascontiguousarray(p[:, ::-1]) for p in play.pictures]
        yield "mirrored", play.name, play.truth, mirrored, pictures, _FPS, 20
    for below in plays:
        for above in plays:
            if sum(above.truth) > 1:
                continue  # only single people are laid over others
            for apart_s in _APART_S:
                truth = (below.truth[0] + above.truth[0], below.truth[1] + above.truth[1])
                name = f"{above.name} over {below.name}, {apart_s} s later"
                yield "several at one door", name, truth, line, _laid_over(below, above, apart_s), _FPS, 20


def _laid_over(below: _Play, above: _Play, apart_s: float) -> list[Image]:
    shift = round(below.crosses + apart_s * _FPS - above.crosses)
    before = min(max(0, -shift), _LEAD)
    after = min(max(0, shift + len(above.pictures) - len(below.pictures)), _LEAD)
    ground = [below.empty] * before + list(below.pictures) + [below.empty] * after
    shown = []
    for n, picture in enumerate(ground):
        at = n - shift - before
        if not 0 <= at < len(above.pictures):
            shown.append(picture)
            continue
        alpha = _somebody(above.pictures[at], above.empty)
        shown.append((picture * (1 - alpha) + above.pictures[at] * alpha).astype(np.uint8))
    return shown


def _somebody(picture: Image, empty: Image) -> Alpha:
    """Where the picture is not the empty scene, 0 to 1, with soft rims; shape (height, width, 1)."""
    soft, ground = (cv2.GaussianBlur(p, (5, 5), 0).astype(np.int16) for p in (picture, empty))
    mask = (np.abs(soft - ground).max(axis=2) > 22).astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)), np.uint8)
    count, labelled, stats, _ = cv2.connectedComponentsWithStats(mask)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < 120:
            mask[labelled == label] = 0
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(grown, (3, 3), 0), np.float32)[..., None]
