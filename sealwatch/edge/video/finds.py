"""From the detector's boxes in crops to finds in the picture: classes grouped, cut-off and doubled boxes dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sealwatch.contract.codes import AlarmKind
from sealwatch.edge.ports import Image
from sealwatch.edge.video.geometry import Box, intersection, iou
from sealwatch.edge.video.ports import ObjectDetector

CANDIDATE: Final = 0.35
_KINDS: Final = {
    "person": AlarmKind.PERSON,
    **dict.fromkeys(("bicycle", "car", "motorcycle", "bus", "truck", "train"), AlarmKind.VEHICLE),
    **dict.fromkeys(
        ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"), AlarmKind.ANIMAL
    ),
}
_FRAME_FILLING: Final = 0.6  # the detector's frame-sized boxes are its commonest mistake


@dataclass(frozen=True, slots=True)
class Find:
    """One object in the picture, in relative coordinates."""

    kind: AlarmKind
    label: str
    score: float
    box: Box


def search(detector: ObjectDetector, image_bgr: Image, crops: Sequence[Box]) -> list[Find]:
    """What the detector finds in `crops` of one picture, best first."""
    height_px, width_px = image_bgr.shape[:2]
    found: list[Find] = []
    for crop in crops:
        x1, y1, x2, y2 = crop.pixels(width_px, height_px)
        part = image_bgr[y1:y2, x1:x2]
        if part.size == 0:
            continue
        for seen in detector.detect(part, CANDIDATE):
            kind = _KINDS.get(seen.label)
            if kind is None:
                continue
            a, b, c, d = seen.box
            box = Box(
                max(0.0, (a + x1) / width_px),
                max(0.0, (b + y1) / height_px),
                min(1.0, (c + x1) / width_px),
                min(1.0, (d + y1) / height_px),
            )
            if box.area <= 0.0 or box.area > _FRAME_FILLING or _cut_off(box, crop):
                continue
            found.append(Find(kind, seen.label, float(seen.score), box))
    return without_doubles(found)


def without_doubles(finds: Iterable[Find]) -> list[Find]:
    """Best first; of boxes that cover each other only the best stays."""
    kept: list[Find] = []
    for find in sorted(finds, key=lambda f: (-f.score, f.box.x1, f.box.y1)):
        if not any(_same(find, other) for other in kept):
            kept.append(find)
    return kept


def _same(a: Find, b: Find) -> bool:
    if a.kind is not b.kind:
        return iou(a.box, b.box) > 0.75
    smaller = min(a.box.area, b.box.area)
    return iou(a.box, b.box) > 0.5 or intersection(a.box, b.box) > 0.85 * smaller


def _cut_off(box: Box, crop: Box) -> bool:
    """Whether the crop's rim, not the picture's, ends the box: then only a part of something was seen."""
    slack = 0.004
    return (
        (crop.x1 > 0.0 and box.x1 < crop.x1 + slack)
        or (crop.y1 > 0.0 and box.y1 < crop.y1 + slack)
        or (crop.x2 < 1.0 and box.x2 > crop.x2 - slack)
        or (crop.y2 < 1.0 and box.y2 > crop.y2 - slack)
    )
