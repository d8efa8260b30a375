"""Boxes in parts of the picture (0 to 1 from the top left corner), so that they survive a change of resolution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, corners `x1`, `y1` (top left) and `x2`, `y2` (bottom right), 0 to 1."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        return max(0.0, self.x2 - self.x1)

    @property
    def height(self) -> float:
        return max(0.0, self.y2 - self.y1)

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def centre(self) -> Point:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    @property
    def foot(self) -> Point:
        """Where the object stands: the middle of the lower edge."""
        return (self.x1 + self.x2) / 2, self.y2

    def pixels(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 in whole pixels, inside the picture."""
        return (
            max(0, min(width_px, round(self.x1 * width_px))),
            max(0, min(height_px, round(self.y1 * height_px))),
            max(0, min(width_px, round(self.x2 * width_px))),
            max(0, min(height_px, round(self.y2 * height_px))),
        )


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def intersection(a: Box, b: Box) -> float:
    """Area that both cover."""
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    return width * height if width > 0 and height > 0 else 0.0


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1."""
    both = intersection(a, b)
    return both / (a.area + b.area - both) if both > 0 else 0.0


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around all of `boxes` (at least one)."""
    found = list(boxes)
    return Box(min(b.x1 for b in found), min(b.y1 for b in found), max(b.x2 for b in found), max(b.y2 for b in found))


def moved(box: Box, dx: float, dy: float) -> Box:
    """The same box elsewhere."""
    return Box(box.x1 + dx, box.y1 + dy, box.x2 + dx, box.y2 + dy)


def contains(box: Box, point: Point) -> bool:
    """Whether `point` lies in `box`, edges included."""
    return box.x1 <= point[0] <= box.x2 and box.y1 <= point[1] <= box.y2
