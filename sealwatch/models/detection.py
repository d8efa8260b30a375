"""The arithmetic between a network and boxes in a picture: letterbox, decoding, suppression. Pure; numpy only.

Boxes are rows of x1, y1, x2, y2. "Network pixels" are those of the letterboxed input, "image pixels" the picture's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

CANDIDATES_MAX = 1000
"""Candidates kept before suppression, best first: more than a real picture has, and a bound on bad ones."""

DISTRUSTED_SHARE = 0.6
"""A person box over this part of the picture is more often a misread frame than a person at arm's length."""


class Box(NamedTuple):
    """Corners in image pixels: left, top, right, bottom, inside the picture."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area_px(self) -> float:
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing found in a picture.

    `frame_share` is the part of the picture, 0 to 1, that the box covers. A caller that detects on a crop relates the
    box to the whole frame itself, with `moved`.
    """

    label: str
    score: float
    box: Box
    frame_share: float = 0.0

    @property
    def distrusted(self) -> bool:
        """A person over most of the picture. Kept, not dropped: whether to believe it is the caller's decision."""
        return self.label == "person" and self.frame_share > DISTRUSTED_SHARE

    def moved(self, left_px: float, top_px: float, frame_width_px: int, frame_height_px: int) -> Detection:
        """The same detection seen from the frame that the picture was cropped from at (left, top)."""
        b = self.box
        box = Box(b.x1 + left_px, b.y1 + top_px, b.x2 + left_px, b.y2 + top_px)
        return Detection(self.label, self.score, box, box.area_px / (frame_width_px * frame_height_px))


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture sits in the network's input: scaled by `scale` to `width_px` x `height_px`, with bars around it."""

    scale: float
    left_px: int
    top_px: int
    width_px: int
    height_px: int


def letterbox(image_width_px: int, image_height_px: int, width_px: int, height_px: int) -> Letterbox:
    """Fit a picture into the network's input, centred, keeping its shape. Raises ValueError for an empty picture."""
    if image_width_px < 1 or image_height_px < 1:
        raise ValueError(f"a picture of {image_width_px}x{image_height_px} pixels has nothing to detect in")
    scale = min(width_px / image_width_px, height_px / image_height_px)
    inner_width = min(width_px, max(1, round(image_width_px * scale)))
    inner_height = min(height_px, max(1, round(image_height_px * scale)))
    return Letterbox(scale, (width_px - inner_width) // 2, (height_px - inner_height) // 2, inner_width, inner_height)


def to_image(boxes: Floats, fit: Letterbox, image_width_px: int, image_height_px: int) -> Floats:
    """Boxes from network pixels to image pixels, clipped to the picture. Shape [N, 4] in and out."""
    scale_x, scale_y = fit.width_px / image_width_px, fit.height_px / image_height_px
    offset = np.array([fit.left_px, fit.top_px] * 2, np.float32)
    moved = (boxes - offset) / np.array([scale_x, scale_y] * 2, np.float32)
    limit = np.array([image_width_px, image_height_px] * 2, np.float32)
    clipped: Floats = np.clip(moved, 0, limit)
    return clipped


def decode_boxes_scores(boxes: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """`boxes-scores`: [1, N, 4] and [1, N, C] to [N, 4] and [N, C]. Raises ValueError for other shapes."""
    if boxes.ndim != 3 or scores.ndim != 3 or boxes.shape[:2] != scores.shape[:2] or boxes.shape[2] != 4:
        raise ValueError(f"boxes {list(boxes.shape)} and scores {list(scores.shape)} do not belong together")
    return boxes[0], scores[0]


def decode_yolov8(predictions: Floats) -> tuple[Floats, Floats]:
    """`yolov8`: [1, 4 + C, N] with centre, width and height to corners [N, 4] and scores [N, C]. Raises ValueError."""
    if predictions.ndim != 3 or predictions.shape[1] < 5:
        raise ValueError(f"predictions {list(predictions.shape)} are not [1, 4 + classes, N]")
    rows = predictions[0].T
    centre, half = rows[:, :2], rows[:, 2:4] / 2
    return np.concatenate([centre - half, centre + half], axis=1), rows[:, 4:]


def candidates(scores: Floats, threshold: float, wanted: Sequence[int]) -> tuple[Indices, Indices]:
    """Rows and classes with a score of at least `threshold`, best first, at most CANDIDATES_MAX.

    One row may stand for several classes: a person on a bicycle scores in both. A score that is no number never counts.
    """
    columns = np.asarray(wanted, np.intp)
    rows, chosen = np.nonzero(scores[:, columns] >= threshold)
    order = np.argsort(-scores[rows, columns[chosen]], kind="stable")[:CANDIDATES_MAX]
    return rows[order], columns[chosen[order]]


def iou(box: Floats, others: Floats) -> Floats:
    """Intersection over union of one box [4] with each of `others` [N, 4]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    area = float(np.prod(np.clip(box[2:] - box[:2], 0, None)))
    areas = np.prod(np.clip(others[:, 2:] - others[:, :2], 0, None), axis=1)
    union = area + areas - shared
    result: Floats = np.where(union > 0, shared / np.where(union > 0, union, 1), 0).astype(np.float32)
    return result


def suppress(boxes: Floats, classes: Indices, iou_threshold: float) -> list[int]:
    """Non-maximum suppression within each class: positions to keep. Boxes must come best first."""
    kept: list[int] = []
    alive = np.ones(len(boxes), dtype=bool)
    for position in range(len(boxes)):
        if not alive[position]:
            continue
        kept.append(position)
        rest = np.nonzero(alive[position + 1 :] & (classes[position + 1 :] == classes[position]))[0] + position + 1
        alive[rest[iou(boxes[position], boxes[rest]) > iou_threshold]] = False
    return kept
