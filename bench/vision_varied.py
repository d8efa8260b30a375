"""The labelled recordings again, seen differently: mirrored, darker, smaller, slower, later, backwards.

Where nothing that matters has changed, nothing that is told may change: a person who walks in a mirrored picture still
walks, and a door filmed backwards counts in what went out. So each recording gives a dozen more with a known truth.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import msgspec
import numpy as np

from bench import vision_truth
from bench.vision_truth import Recording
from sealwatch.edge.ports import Image
from sealwatch.edge.video.ports import ObjectDetector

_LONGEST_S: Final = 71.0  # of a recording
_USUAL_FPS: Final = 10.0  # pictures taken in a second, at most, where the variant does not say
_FINE: Final = (cv2.IMWRITE_JPEG_QUALITY, 95)
_LONG_SIDE_PX: Final = 1280  # larger pictures are brought down to this before anything else: encoding them is dear


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to see a recording differently; what is not given stays as it is."""

    name: str
    picture: Callable[[Image], Image] = field(default=lambda picture: picture)
    mirrored: bool = False
    backwards: bool = False
    begin_s: float = 0.0
    fps: float | None = None
    crf: int = 20


def _scaled(width_px: int, height_px: int) -> Callable[[Image], Image]:
    def scale(picture: Image) -> Image:
        height, width = picture.shape[:2]
        factor = min(width_px / width, height_px / height)
        size = (2 * round(width * factor / 2), 2 * round(height * factor / 2))
        scaled: Image = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
        return scaled

    return scale


def _gamma(power: float, gain: float = 1.0) -> Callable[[Image], Image]:
    table = np.clip((np.arange(256) / 255.0) ** power * 255.0 * gain, 0, 255).astype(np.uint8)

    def lit(picture: Image) -> Image:
        shown: Image = np.asarray(cv2.LUT(picture, table), np.uint8)
        return shown

    return lit


def _grey(picture: Image) -> Image:
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[:, :, None], 3, axis=2)


def _mirrored(picture: Image) -> Image:
    return np.ascontiguousarray(picture[:, ::-1])


VARIANTS: Final = (
    Variant(name="encoded again"),
    Variant(name="mirrored", picture=_mirrored, mirrored=True),
    Variant(name="darker", picture=_gamma(1.3, 0.6)),
    Variant(name="brighter", picture=_gamma(0.75)),
    Variant(name="grey", picture=_grey),
    Variant(name="320x240", picture=_scaled(320, 240)),
    Variant(name="640x480", picture=_scaled(640, 480)),
    Variant(name="1280x720", picture=_scaled(1280, 720)),
    Variant(name="5 a second", fps=5),
    Variant(name="10 a second", fps=10),
    Variant(name="25 a second", fps=25),
    Variant(name="low bit rate", crf=38),
    Variant(name="later", begin_s=1.3),
    Variant(name="backwards", backwards=True),
)


def varied(data: Path, detector: ObjectDetector) -> list[dict[str, Any]]:
    """One row a variant: what went wrong, by recording."""
    rows: list[dict[str, Any]] = []
    for variant in VARIANTS:
        row = {"variant": variant.name, "recordings": 0, "told as they are": 0, "wrong": ""}
        wrong: list[str] = []
        for recording in vision_truth.recordings(data):
            seen = seen_as(recording, variant)
            if seen is None:
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{recording.path.stem}.mp4"
                write(path, shown(recording, variant), variant.crf)
                told = vision_truth.replayed(path, seen, detector)
            faults = vision_truth.wrong(told, seen)
            row["recordings"] += 1
            row["told as they are"] += not faults
            wrong += [f"{recording.path.stem}: {fault}" for fault in faults]
            if faults:
                print(f"{variant.name}: {wrong[-len(faults) :]}", file=sys.stderr)
        row["wrong"] = "; ".join(wrong)
        rows.append(row)
    return rows


def seen_as(recording: Recording, variant: Variant) -> Recording | None:
    """The truth of the variant; None where the variant makes none of it."""
    begin_s, seconds = variant.begin_s, min(recording.seconds, _LONGEST_S)
    if recording.fault and (variant.backwards or recording.fault[1] - begin_s < 1.0):
        return None  # the undisturbed view must come first, and long enough to be learnt
    if any(a < begin_s + 1.0 for a, _ in recording.spans) and begin_s and recording.line is None:
        return None
    spans = [(a - begin_s, min(b, seconds) - begin_s) for a, b in recording.spans if a < seconds - 3.0]
    crossings, line = recording.crossings, recording.line
    if variant.backwards:
        spans = [(seconds - b, seconds - a) for a, b in reversed(spans)]
        crossings = (crossings[1], crossings[0])
    if variant.mirrored and line is not None:
        points = [(1.0 - x, y) for x, y in line.points]
        line = msgspec.structs.replace(line, points=points, inside=(1.0 - line.inside[0], line.inside[1]))
    fault = recording.fault
    return replace(
        recording,
        seconds=seconds - begin_s,
        spans=tuple(spans),
        crossings=crossings,
        line=line,
        fault=fault and (fault[0], fault[1] - begin_s, fault[2] - begin_s),
    )


def shown(recording: Recording, variant: Variant) -> Iterator[tuple[float, Image]]:
    """The (second, picture) of the variant."""
    seconds = min(recording.seconds, _LONGEST_S)
    fps = variant.fps or _USUAL_FPS
    taken = _sampled(recording.path, variant.begin_s, seconds, fps, repeat=variant.fps is not None)
    fitted = ((second, variant.picture(_fitted(picture))) for second, picture in taken)
    if not variant.backwards:
        yield from fitted
        return
    pictures = [(second, cv2.imencode(".jpg", picture, _FINE)[1]) for second, picture in fitted]  # raw ones fill memory
    for second, data in reversed(pictures):
        yield pictures[-1][0] - second, np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _sampled(path: Path, begin_s: float, end_s: float, fps: float, *, repeat: bool) -> Iterator[tuple[float, Image]]:
    """At most `fps` a second; with `repeat` exactly so many, the latest one again where there is no other."""
    due_s, latest = begin_s, None
    with av.open(str(path)) as container:
        first_s = None
        for picture in container.decode(video=0):
            second = float(picture.time or 0.0)
            first_s = second if first_s is None else first_s
            second -= first_s
            while repeat and latest is not None and due_s < min(second, end_s) - 1e-6:
                yield due_s - begin_s, latest.to_ndarray(format="bgr24")
                due_s += 1.0 / fps
            if second > end_s:
                return
            latest = picture
            if not repeat and second >= due_s - 0.2 / fps:
                yield second - begin_s, picture.to_ndarray(format="bgr24")
                due_s = max(due_s + 1.0 / fps, second + 0.5 / fps)


def _fitted(picture: Image) -> Image:
    factor = _LONG_SIDE_PX / max(picture.shape[:2])
    return picture if factor >= 1.0 else _scaled(_LONG_SIDE_PX, _LONG_SIDE_PX)(picture)


def write(path: Path, pictures: Iterable[tuple[float, Image]], crf: int) -> None:
    """H.264 with the pictures' own times."""
    with av.open(str(path), "w") as container:
        stream: Any = None
        for second, picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": str(crf)})
                stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
                stream.height, stream.width = (side // 2 * 2 for side in picture.shape[:2])
            frame = av.VideoFrame.from_ndarray(picture[: stream.height, : stream.width], format="bgr24")
            frame.pts, frame.time_base = round(second * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())
