"""What a picture is like: light, sharpness and structure, measured so that it can be compared with a reference.

All on small grey pictures; nothing here decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from sealwatch.edge.ports import Image
from sealwatch.edge.video.pyramid import halve_below, shrink

Grid = npt.NDArray[np.float32]

_ROWS, _COLUMNS = 6, 8
_STRUCTURED: Final = 6.0  # a cell whose edges vary less than this has nothing to recognise
_ALIKE: Final = 0.4  # correlation above which a cell shows the same as before
_CLEAR_QUARTER: Final = 0.2  # clarity above which a quarter's own displacement is believed
_LONG_SIDE_PX: Final = 160
_SHARP_BELOW_PX: Final = 640


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One picture. `edges` is its edge strength (float32, small), `cells` each cell's, less the mean, by cell."""

    mean: float
    spread: float
    bright_share: float
    dark_share: float
    sharpness: float
    edges: Grid
    cells: Grid
    deviation: Grid

    @property
    def structured(self) -> int:
        """How many of the 48 cells hold something to recognise."""
        return int(np.count_nonzero(self.deviation >= _STRUCTURED))


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the picture moved, in parts of its width, and how clearly (0 to 1)."""

    x: float
    y: float
    clarity: float

    @property
    def length(self) -> float:
        return float(np.hypot(self.x, self.y))


def measure(grey: Image) -> Condition:
    """The condition of one picture (rows x columns, 0-255)."""
    middle = halve_below(grey, _SHARP_BELOW_PX)
    small = shrink(middle, _LONG_SIDE_PX)
    values = small.astype(np.float32)
    mean, spread = cv2.meanStdDev(small)
    return described(
        _edges(values),
        mean=float(mean[0, 0]),
        spread=float(spread[0, 0]),
        bright_share=float(np.count_nonzero(small >= 250)) / small.size,
        dark_share=float(np.count_nonzero(small <= 30)) / small.size,
        sharpness=float(cv2.meanStdDev(cv2.Laplacian(middle, cv2.CV_16S))[1][0, 0]) ** 2,
    )


def described(
    edges: Grid, *, mean: float, spread: float, bright_share: float, dark_share: float, sharpness: float
) -> Condition:
    """The condition whose edges and numbers are known, as a kept reference gives them."""
    height, width = edges.shape
    high, wide = height // _ROWS, width // _COLUMNS
    blocks = edges[: high * _ROWS, : wide * _COLUMNS].reshape(_ROWS, high, _COLUMNS, wide)
    cells = blocks.transpose(0, 2, 1, 3).reshape(_ROWS * _COLUMNS, high * wide)
    cells = cells - cells.mean(axis=1, keepdims=True)
    return Condition(
        mean=mean,
        spread=spread,
        bright_share=bright_share,
        dark_share=dark_share,
        sharpness=sharpness,
        edges=edges,
        cells=cells,
        deviation=np.sqrt(np.mean(cells * cells, axis=1)).astype(np.float32),
    )


def likeness(reference: Condition, now: Condition) -> float:
    """Share (0 to 1) of the reference's structured cells that still show the same."""
    if reference.cells.shape != now.cells.shape:
        return 0.0
    structured = reference.deviation >= _STRUCTURED
    if not structured.any():
        return 1.0
    together = np.mean(reference.cells * now.cells, axis=1)
    correlation = together / np.maximum(reference.deviation * now.deviation, 1e-3)
    return float(np.count_nonzero(correlation[structured] > _ALIKE)) / float(np.count_nonzero(structured))


def shift(reference: Condition, now: Condition) -> Shift:
    """How the camera moved since `reference`, by phase correlation of the edges."""
    if reference.edges.shape != now.edges.shape:
        return Shift(0.0, 0.0, 0.0)
    height, width = now.edges.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (dx, dy), clarity = cv2.phaseCorrelate(np.log1p(reference.edges), np.log1p(now.edges), window)
    return Shift(dx / width, dy / width, float(max(0.0, clarity)))


def quarters_agree(reference: Condition, now: Condition, whole: Shift) -> bool:
    """Whether the quarters of the picture moved as the whole seems to have: a camera moves all of them, a spider one.

    Quarters without structure, or whose own displacement cannot be told, have no vote; two votes at least.
    """
    if reference.edges.shape != now.edges.shape:
        return False
    height, width = (side // 2 for side in now.edges.shape)
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    reach = 0.004 + 0.3 * whole.length
    votes = agreeing = 0
    for top, left in ((0, 0), (0, width), (height, 0), (height, width)):
        before = reference.edges[top : top + height, left : left + width]
        if float(before.std()) < _STRUCTURED:
            continue
        after = now.edges[top : top + height, left : left + width]
        (dx, dy), clarity = cv2.phaseCorrelate(np.log1p(before), np.log1p(after), window)
        if clarity < _CLEAR_QUARTER:
            continue
        votes += 1
        scale = 1.0 / now.edges.shape[1]
        agreeing += float(np.hypot(dx * scale - whole.x, dy * scale - whole.y)) <= reach
    return votes >= 2 and agreeing >= max(2, votes - 1)


def _edges(values: Grid) -> Grid:
    across = cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=3)
    down = cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=3)
    edges: Grid = cv2.blur(cv2.magnitude(across, down), (3, 3))
    return edges
