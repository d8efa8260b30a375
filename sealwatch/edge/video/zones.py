"""Places in the picture: polygons in relative coordinates, tested with the point where somebody stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sealwatch.edge.config import ZoneSettings
from sealwatch.edge.video.geometry import Point


@dataclass(frozen=True, slots=True)
class Zone:
    """A named polygon; without corners it is the whole picture.

    `dwell_s` is how long somebody must be in it to be an alarm, `loiter_s` from when on a person is loitering; None:
    the camera's on-delay, and never.
    """

    name: str
    polygon: tuple[Point, ...] = ()
    dwell_s: float | None = None
    loiter_s: float | None = None

    def contains(self, point: Point) -> bool:
        """Whether `point` (relative) lies inside, by the even-odd rule; points on the picture's rim count as inside it.

        The foot of somebody who is cut off by the lower edge lies exactly on it, so points are drawn in a little first.
        """
        if not self.polygon:
            return True
        x, y = (min(max(value, 0.002), 0.998) for value in point)
        inside = False
        ax, ay = self.polygon[-1]
        for bx, by in self.polygon:
            if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
                inside = not inside
            ax, ay = bx, by
        return inside


WHOLE_PICTURE = Zone(name="")


def zones_of(settings: Sequence[ZoneSettings]) -> tuple[Zone, ...]:
    """The camera's zones; with none configured the whole picture is watched."""
    if not settings:
        return (WHOLE_PICTURE,)
    return tuple(
        Zone(name=zone.name, polygon=tuple(zone.polygon), dwell_s=zone.dwell_s, loiter_s=zone.loiter_s)
        for zone in settings
    )
