"""The surroundings of the seal against how they were: a new hole, path, cable or heap of soil, found slowly and surely.

Pictures are taken only while nothing moves; fifteen of them make a composite (the median), in which people, birds and
leaves are gone. Two composites are compared by their local correlation on a logarithmic scale, so that light and
exposure do not count, texture does. Shadows do: so each three hours of the day (UTC+8) have a reference of their own,
and a region counts only where it differs in two parts of the day in a row, while a shadow has moved on.

The reference never adapts by itself: who digs a little every day is found as well as who digs at once. It is learnt in
the first composites of each part of the day, with what is restless there (branches, a flag), and renewed by a person.

SceneChange
  start:  surroundings_changed (up to a third of the picture), surroundings_new (more: snow, mowing, or a new reference
          is due)
  update: more_changed
  end:    as_before, reference_renewed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from sealwatch.contract.codes import Phase
from sealwatch.edge.ports import Image
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.pyramid import shrink

Grid = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]

LONG_SIDE_PX: Final = 320
SAMPLE_EVERY_S: Final = 60.0
SAMPLES: Final = 15
LEARN_COMPOSITES: Final = 4
PARTS_OF_DAY: Final = 8
_PART_MS: Final = 3 * 3_600_000
_CHINA_OFFSET_MS: Final = 8 * 3_600_000
_STALE_S: Final = 3 * 3600.0  # samples further apart than this make no composite
_WINDOW_PX: Final = 13
_ALIKE: Final = 0.5
_TEXTURE: Final = 0.05  # standard deviation of the logarithm within a window: less is bare ground or sky
_LEAST_MEAN: Final = 18.0  # darker composites hold nothing to compare
_LEAST_AREA: Final = 0.0012  # of the picture: about 10 x 9 of 320 x 240
_WHOLE: Final = 1 / 3
_GROWN: Final = 1.5
_FARTHEST_PX: Final = 6  # a camera that moved further has a fault of its own
_MOST_REGIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Reference:
    """How one part of the day looked: logarithm of brightness, and where it is restless, from `learnt` composites."""

    log: Grid
    restless: Mask
    learnt: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is kept: a reference for each part of the day, by its number."""

    references: Mapping[int, Reference] = field(default_factory=dict)
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneChange:
    """A change starts, grows or ends. `score` is the changed part of what can be compared, 0 to 1."""

    phase: Phase
    reason: str
    score: float
    regions: tuple[Box, ...]
    since_ms: int


def part_of_day(at_ms: int) -> int:
    """Which three hours of the day (UTC+8) a moment belongs to, 0 to 7."""
    return (at_ms + _CHINA_OFFSET_MS) // _PART_MS % PARTS_OF_DAY


def compare(reference: Reference, log: Grid) -> tuple[Mask, Mask]:
    """(changed, comparable) masks of 0 and 1 for a composite against its reference.

    Pixels that are restless count as neither. The pictures are brought over each other first.
    """
    log, seen = _aligned(reference.log, log)
    mean_a, mean_b = _blur(reference.log), _blur(log)
    spread_a = np.sqrt(np.maximum(_blur(reference.log * reference.log) - mean_a * mean_a, 0))
    spread_b = np.sqrt(np.maximum(_blur(log * log) - mean_b * mean_b, 0))
    together = _blur(reference.log * log) - mean_a * mean_b
    texture = np.maximum(spread_a, spread_b)
    likeness = together / np.maximum(spread_a * spread_b, 1e-6)
    # Where one of the two is bare, correlation says nothing and the texture that came or went says it all.
    likeness = np.where(np.minimum(spread_a, spread_b) < _TEXTURE / 2, 0.0, likeness)
    quiet = (reference.restless == 0) & seen
    comparable = quiet.astype(np.uint8)
    changed = ((likeness < _ALIKE) & (texture > _TEXTURE) & quiet).astype(np.uint8)
    return _without_specks(changed), comparable


def regions_of(mask: Mask) -> tuple[Box, ...]:
    """Boxes around what is marked, the largest first."""
    rows, columns = mask.shape
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = sorted(stats[1:count].tolist(), key=lambda stat: -int(stat[cv2.CC_STAT_AREA]))
    return tuple(
        Box(x / columns, y / rows, (x + width) / columns, (y + height) / rows)
        for x, y, width, height, _area in found[:_MOST_REGIONS]
    )


class ChangeMap:
    """One camera's surroundings. `look` takes pictures in the order of their time; it does little most of the time."""

    def __init__(self, kept: Surroundings | None = None) -> None:
        self.surroundings = kept or Surroundings()
        self.score: float | None = None
        """Of the newest comparison, 0 to 1; None before the first."""
        self._samples: list[Image] = []
        self._sampled_s = float("-inf")
        self._masks: dict[int, Mask] = {}  # the newest of each part of the day, the newest part last
        self._standing: SceneChange | None = None
        self._said_area = 0.0

    def renew(self) -> SceneChange | None:
        """Forget every reference; the end of the alarm that stands, where one does."""
        self.surroundings = Surroundings(revision=self.surroundings.revision + 1)
        self.score = None
        self._samples.clear()
        self._masks.clear()
        return self._ended("reference_renewed")

    def look(self, grey: Image, *, quiet: bool, now_s: float, now_ms: int) -> SceneChange | None:
        """Judge one picture; `quiet`: nothing moves and the camera has no fault."""
        if not quiet or now_s - self._sampled_s < SAMPLE_EVERY_S:
            return None
        if now_s - self._sampled_s > _STALE_S:
            self._samples.clear()
        self._sampled_s = now_s
        small = shrink(grey, LONG_SIDE_PX)
        if self._samples and self._samples[0].shape != small.shape:
            self._samples.clear()
        self._samples.append(small)
        if len(self._samples) < SAMPLES:
            return None
        composite = np.median(np.stack(self._samples), axis=0).astype(np.float32)
        self._samples.clear()
        if float(composite.mean()) < _LEAST_MEAN:
            return None
        log: Grid = cv2.GaussianBlur(np.log1p(composite), (3, 3), 0)
        return self._take(log, part_of_day(now_ms), now_ms)

    def _take(self, log: Grid, part: int, now_ms: int) -> SceneChange | None:
        reference = self.surroundings.references.get(part)
        if reference is None or reference.log.shape != log.shape:
            self._keep(part, Reference(log, np.zeros(log.shape, np.uint8), 1))
            return None
        changed, comparable = compare(reference, log)
        if reference.learnt < LEARN_COMPOSITES:
            stirred = cv2.dilate(changed, np.ones((_WINDOW_PX, _WINDOW_PX), np.uint8))
            restless = cv2.bitwise_or(reference.restless, stirred)
            # The mean of what was learnt: what leaves left of themselves in one composite fades in four.
            weight = 1.0 / (reference.learnt + 1)
            mean: Grid = (1 - weight) * reference.log + weight * _aligned(reference.log, log)[0]
            self._keep(part, Reference(mean.astype(np.float32), restless, reference.learnt + 1))
            return None
        self._masks.pop(part, None)
        before = next(reversed(self._masks.values()), None)
        self._masks[part] = changed
        self.score = round(float(changed.sum()) / max(1.0, float(comparable.sum())), 4)
        if before is None or before.shape != changed.shape:
            return None
        return self._judge(_without_specks(cv2.bitwise_and(changed, before)), float(comparable.mean()), now_ms)

    def _keep(self, part: int, reference: Reference) -> None:
        kept = {**self.surroundings.references, part: reference}
        self.surroundings = Surroundings(kept, self.surroundings.revision + 1)

    def _judge(self, lasting: Mask, comparable: float, now_ms: int) -> SceneChange | None:
        area = float(lasting.mean())
        if area == 0.0:
            return self._ended("as_before")
        score = round(min(1.0, area / max(comparable, 1e-6)), 4)
        if self._standing is None:
            reason = "surroundings_new" if score > _WHOLE else "surroundings_changed"
            phase, since_ms = Phase.START, now_ms
        elif area >= _GROWN * self._said_area:
            reason, phase, since_ms = "more_changed", Phase.UPDATE, self._standing.since_ms
        else:
            return None
        self._said_area = area
        self._standing = SceneChange(
            phase=phase, reason=reason, score=score, regions=regions_of(lasting), since_ms=since_ms
        )
        return self._standing

    def _ended(self, reason: str) -> SceneChange | None:
        standing, self._standing, self._said_area = self._standing, None, 0.0
        if standing is None:
            return None
        return replace(standing, phase=Phase.END, reason=reason, regions=(), score=0.0)


def _blur(values: Grid) -> Grid:
    blurred: Grid = cv2.blur(values, (_WINDOW_PX, _WINDOW_PX), borderType=cv2.BORDER_REFLECT)
    return blurred


def _aligned(reference: Grid, log: Grid) -> tuple[Grid, npt.NDArray[np.bool_]]:
    """`log` brought over `reference`, and which of its pixels (with their windows) the camera really saw."""
    # Correlation of the middle, not of phases: those drown in the noise of a dim picture.
    margin = _FARTHEST_PX + 1
    found = cv2.matchTemplate(reference, log[margin:-margin, margin:-margin], cv2.TM_CCOEFF_NORMED)
    _, _, _, (x, y) = cv2.minMaxLoc(found)
    dx, dy = margin - x, margin - y
    if (dx == 0 and dy == 0) or max(abs(dx), abs(dy)) > _FARTHEST_PX:
        return log, np.ones(log.shape, np.bool_)
    rows, columns = log.shape
    back = np.array([[1, 0, -dx], [0, 1, -dy]], np.float32)
    moved: Grid = cv2.warpAffine(log, back, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
    seen = np.zeros(log.shape, np.bool_)
    wide, high = abs(dx) + _WINDOW_PX // 2, abs(dy) + _WINDOW_PX // 2
    seen[high : rows - high, wide : columns - wide] = True
    return moved, seen


def _without_specks(mask: Mask) -> Mask:
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    least = _LEAST_AREA * mask.size
    large = [label for label in range(1, count) if stats[label, cv2.CC_STAT_AREA] >= least]
    kept: Mask = np.isin(labels, large).astype(np.uint8)
    return kept
