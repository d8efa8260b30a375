"""How good a detector is, from labelled pictures. Pure.

Average precision is the area under the precision-recall curve with precision made monotone; every recall step counts
(the "all points" form of PASCAL VOC 2010). Detections are taken best score first over all pictures; each takes the free
label of its picture that it overlaps most, if by the IoU asked for, as COCO does; a second detection of the same label
is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sealwatch.models.detection import Floats, iou


@dataclass(frozen=True, slots=True)
class Scored:
    """What one picture holds and what was found in it: boxes [N, 4] in pixels, the found ones with scores [N]."""

    labelled: Floats
    found: Floats
    scores: Floats


@dataclass(frozen=True, slots=True)
class PictureRates:
    """Whether pictures, not boxes, were judged right, at one threshold."""

    threshold: float
    with_persons: int
    hit: int
    without_persons: int
    false: int

    @property
    def hit_rate(self) -> float | None:
        """Part of the pictures with persons in which at least one was reported; None where there are none."""
        return self.hit / self.with_persons if self.with_persons else None

    @property
    def false_rate(self) -> float | None:
        """Part of the pictures without persons in which one was reported; None where there are none."""
        return self.false / self.without_persons if self.without_persons else None


def average_precision(pictures: Sequence[Scored], iou_threshold: float) -> float | None:
    """Average precision at an IoU threshold; None where no picture has a label."""
    labels = sum(len(picture.labelled) for picture in pictures)
    if labels == 0:
        return None
    scores = np.concatenate([picture.scores for picture in pictures])
    right = np.concatenate([true_positives(picture, iou_threshold) for picture in pictures])
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / labels
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0.0)
    return float(np.sum(steps * envelope))


def true_positives(picture: Scored, iou_threshold: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each found box, in its own order, whether it finds a label that no better scored box has taken."""
    right = np.zeros(len(picture.found), dtype=bool)
    free = np.ones(len(picture.labelled), dtype=bool)
    for position in np.argsort(-picture.scores, kind="stable"):
        if not free.any():
            break
        overlaps = np.where(free, iou(picture.found[position], picture.labelled), -1.0)
        best = int(np.argmax(overlaps))
        if overlaps[best] >= iou_threshold:
            right[position], free[best] = True, False
    return right


def picture_rates(pictures: Sequence[Scored], threshold: float) -> PictureRates:
    """Picture-level hits and false reports at one score threshold."""
    reported = [bool((picture.scores >= threshold).any()) for picture in pictures]
    labelled = [len(picture.labelled) > 0 for picture in pictures]
    both = list(zip(reported, labelled, strict=True))
    return PictureRates(
        threshold=threshold,
        with_persons=sum(labelled),
        hit=sum(r and has for r, has in both),
        without_persons=len(pictures) - sum(labelled),
        false=sum(r and not has for r, has in both),
    )
