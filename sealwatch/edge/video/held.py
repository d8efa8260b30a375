"""Whether something is held before the lens that only looks like the view: a photo, a telephone's screen.

What is held wanders: the known view comes back turned, larger or displaced, and never the same for long. While the view
is in place a small picture of it is kept; once it no longer is, its features are looked for in the new pictures and the
similarity (turn, size, displacement) that takes one to the other is estimated. A spider, a coat or rain leave most
features where they were; a camera that shakes turns nothing and comes back; one that was moved stays where it is.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from sealwatch.contract.codes import Phase
from sealwatch.edge.ports import Image
from sealwatch.edge.video import delays
from sealwatch.edge.video.delays import Delayed
from sealwatch.edge.video.liveness import Doubt
from sealwatch.edge.video.pyramid import shrink

LOOK_EVERY_S: Final = 0.9
WINDOW_S: Final = 12.0
OFF_DELAY_S: Final = 10.0
_LONG_SIDE_PX: Final = 400
_KEEP_EVERY_S: Final = 20.0
_LEAST_FEATURES: Final = 30
_INLIERS, _INLIER_SHARE = 6, 0.2
"""Pairs that agree: so many, and this share of all; by chance three or four of any number do."""
_LEAST_LOOKS: Final = 8
# Robust spreads and medians. Rain, snow and a camera that shakes give 0.0002 to 0.0022 in size and 0.02 to 0.18
# degrees of turn, a hand about 0.01 and one degree.
_TURNED: Final = math.radians(0.35)
_RESIZED: Final = 0.012
_BREATHES: Final = 0.006
_WANDERS: Final = 0.002  # parts of the picture's width


@dataclass(frozen=True, slots=True)
class Similarity:
    """How the known view lies in a picture: size (1: the same), turn (radians), displacement (parts of the width)."""

    at_s: float
    size: float
    turn: float
    x: float
    y: float


def is_held(found: list[Similarity]) -> bool:
    """Whether the view is found again and again, in a place that is not its own and is not kept.

    A camera that sways about its own place shows neither another size nor a turn; a few pairs of features that went
    astray in snow move no median.
    """
    if len(found) < _LEAST_LOOKS:
        return False
    sizes, turns = _Spread.of([one.size for one in found]), _Spread.of([one.turn for one in found])
    wander = max(_Spread.of([one.x for one in found]).wide, _Spread.of([one.y for one in found]).wide)
    unlike_itself = turns.wide >= _TURNED or sizes.wide >= _BREATHES or abs(sizes.middle - 1.0) >= _RESIZED
    return unlike_itself and wander >= _WANDERS


@dataclass(frozen=True, slots=True)
class _Spread:
    """Median and robust standard deviation (1.48 times the median deviation from it)."""

    middle: float
    wide: float

    @classmethod
    def of(cls, values: list[float]) -> _Spread:
        middle = float(np.median(values)) if values else 0.0
        return cls(middle, 1.48 * float(np.median(np.abs(np.array(values) - middle))) if values else 0.0)


class HeldWatch:
    """One camera. `look` takes pictures in the order of their time."""

    def __init__(self) -> None:
        # OpenCV's stubs leave the factories out.
        self._orb = cv2.ORB_create(nfeatures=400, fastThreshold=12)  # type: ignore[attr-defined]
        self._matcher = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True)
        self._known: Image | None = None
        self._features: tuple[list[cv2.KeyPoint], Image] | None = None
        self._kept_s = self._looked_s = float("-inf")
        self._found: deque[Similarity] = deque(maxlen=64)
        self._state = Delayed()

    def look(self, grey: Image, *, in_place: bool, now_s: float, now_ms: int) -> Doubt | None:
        """Judge one picture; `in_place`: the view is known and nothing about it is in doubt."""
        if in_place and not self._state.standing and now_s - self._kept_s >= _KEEP_EVERY_S:
            self._known, self._features, self._kept_s = shrink(grey, _LONG_SIDE_PX), None, now_s
        if now_s - self._looked_s < LOOK_EVERY_S:
            return None
        self._looked_s = now_s
        if not in_place and self._known is not None:
            similarity = self._search(grey, now_s)
            if similarity is not None:
                self._found.append(similarity)
        while self._found and now_s - self._found[0].at_s > WINDOW_S:
            self._found.popleft()
        found = list(self._found)
        self._state, phase = delays.step(
            self._state, is_held(found), on_delay_s=0.0, off_delay_s=OFF_DELAY_S, now_s=now_s, now_ms=now_ms
        )
        return None if phase is None else _told(phase, self._state.since_ms, found)

    def _search(self, grey: Image, now_s: float) -> Similarity | None:
        small = shrink(grey, _LONG_SIDE_PX)
        if self._known is None or small.shape != self._known.shape:
            return None
        if self._features is None:
            points, described = self._orb.detectAndCompute(self._known, None)
            self._features = (list(points), described)
        points, described = self._orb.detectAndCompute(small, None)
        before, known = self._features
        if min(len(points), len(before)) < _LEAST_FEATURES:
            return None  # and nothing described
        matches = self._matcher.match(known, described)
        if len(matches) < 2 * _INLIERS:
            return None
        there = np.array([before[match.queryIdx].pt for match in matches], np.float32)
        here = np.array([points[match.trainIdx].pt for match in matches], np.float32)
        move, inliers = cv2.estimateAffinePartial2D(there, here, method=cv2.RANSAC, ransacReprojThreshold=2.0)
        count = int(np.count_nonzero(inliers))  # 0 where no transform was found
        if count < _INLIERS + _INLIER_SHARE * len(matches):
            return None
        height, width = small.shape
        middle = np.array([width / 2, height / 2, 1.0])
        x, y = move @ middle - middle[:2]
        return Similarity(
            now_s, math.hypot(move[0, 0], move[1, 0]), math.atan2(move[1, 0], move[0, 0]), x / width, y / width
        )


def _told(phase: Phase, since_ms: int, found: list[Similarity]) -> Doubt:
    """The numbers are how the view lies in the picture, in the median."""
    return Doubt(
        about="held",
        phase=phase,
        reason="view_wanders" if phase is Phase.START else "view_rests_again",
        since_ms=since_ms,
        numbers={
            "turn_deg": round(math.degrees(_Spread.of([one.turn for one in found]).middle), 2),
            "size_ratio": round(_Spread.of([one.size for one in found]).middle if found else 1.0, 3),
            "wander_ratio": round(_Spread.of([one.x for one in found]).wide, 4),
        },
    )
