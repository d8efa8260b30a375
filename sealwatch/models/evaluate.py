"""A detector over a folder of labelled pictures: what it finds, what it misses, how long it takes.

Labels are YOLO text files, one per picture with the same name: a line per object, ``class x y width height``, centre
and size in parts of the picture. A picture without a file holds no objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sealwatch.base.errors import UsageError
from sealwatch.models import metrics
from sealwatch.models.detection import Floats
from sealwatch.models.metrics import PictureRates, Scored
from sealwatch.models.runtime import Detector

PICTURES = {".jpg", ".jpeg", ".png", ".bmp"}
SCORE_FLOOR = 0.05
"""Average precision wants the whole curve: detections are collected down to this score. Lower ones change the figure by
less than 0.01 here and would put the time of sorting them out into the figure for the time of a picture."""
THRESHOLDS = (0.35, 0.45)
"""Where a candidate and an alarm start in the agent."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one detector on one set."""

    pictures: int
    persons: int
    unlabelled_pictures: int
    unreadable_pictures: int
    ap_50: float | None
    ap_30: float | None
    rates: tuple[PictureRates, ...]
    distrusted_boxes: int
    median_ms: float
    p95_ms: float
    cpu_median_ms: float
    """Processor time of a picture: what stays comparable when other programs are running."""


def evaluate(
    detector: Detector, images: Path, labels: Path, *, person_class: int = 0, progress: Callable[[int, int], None]
) -> Evaluation:
    """Run the detector over every picture of a folder. Raises UsageError for folders or labels that can't be used."""
    paths = sorted(p for p in _folder(images).iterdir() if p.suffix.lower() in PICTURES)
    if not paths:
        raise UsageError(f"{images}: no pictures in it ({', '.join(sorted(PICTURES))}); name another folder")
    files = {path: _folder(labels) / f"{path.stem}.txt" for path in paths}
    unlabelled = sum(not file.is_file() for file in files.values())
    if unlabelled == len(paths):
        raise UsageError(f"{labels}: no label file for any picture of {images}; name the folder with the .txt files")
    scored: list[Scored] = []
    times_ms: list[float] = []
    cpu_ms: list[float] = []
    distrusted = 0
    for index, path in enumerate(paths):
        image = cv2.imread(str(path))
        if image is not None:
            image = np.asarray(image, np.uint8)
            persons = read_labels(files[path], person_class, image.shape[1], image.shape[0])
            started, started_cpu = time.perf_counter(), time.process_time()
            found = detector.detect(image, SCORE_FLOOR, labels={"person"})
            times_ms.append((time.perf_counter() - started) * 1000)
            cpu_ms.append((time.process_time() - started_cpu) * 1000)
            boxes = np.array([d.box for d in found], np.float32).reshape(-1, 4)
            scored.append(Scored(persons, boxes, np.array([d.score for d in found], np.float32)))
            distrusted += sum(d.distrusted and d.score >= THRESHOLDS[0] for d in found)
        progress(index + 1, len(paths))
    if not scored:
        raise UsageError(f"{images}: none of its {len(paths)} pictures can be read")
    return Evaluation(
        pictures=len(scored),
        persons=sum(len(picture.labelled) for picture in scored),
        unlabelled_pictures=unlabelled,
        unreadable_pictures=len(paths) - len(scored),
        ap_50=metrics.average_precision(scored, 0.5),
        ap_30=metrics.average_precision(scored, 0.3),
        rates=tuple(metrics.picture_rates(scored, threshold) for threshold in THRESHOLDS),
        distrusted_boxes=distrusted,
        median_ms=float(np.median(times_ms)),
        p95_ms=float(np.percentile(times_ms, 95)),
        cpu_median_ms=float(np.median(cpu_ms)),
    )


def read_labels(file: Path, wanted_class: int, width_px: int, height_px: int) -> Floats:
    """Boxes [N, 4] in pixels of one class from a YOLO label file; none where there is no file. Raises UsageError."""
    if not file.is_file():
        return np.zeros((0, 4), np.float32)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from None
    boxes = [corners for kind, corners in _lines(file, text) if kind == wanted_class]
    scale = np.array([width_px, height_px, width_px, height_px], np.float32)
    return np.array(boxes, np.float32).reshape(-1, 4) * scale


def _lines(file: Path, text: str) -> Iterator[tuple[int, tuple[float, float, float, float]]]:
    """Class and corners, in parts of the picture, of each line. Raises UsageError."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            kind, x, y, width, height = (float(word) for word in line.split())
        except ValueError:
            raise UsageError(
                f"{file}, line {number}: expected 'class x y width height' in numbers, found '{line[:60]}'"
            ) from None
        if not (kind.is_integer() and all(0 <= value <= 1 for value in (x, y, width, height))):
            raise UsageError(f"{file}, line {number}: class must be whole and the rest 0 to 1, found '{line[:60]}'")
        yield int(kind), (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder")
    return path
