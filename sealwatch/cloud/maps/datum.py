"""WGS 84, GCJ-02 and BD-09: the three positions that one place in China has.

WGS-84 is what satellites give. GCJ-02 is what maps published in China must use (Amap, Tencent); BD-09 is Baidu's own,
on top of it. Neither formula is published by its owner; those used here are the ones that the community worked out and
checks against the map services, with the constants and reference points of https://github.com/googollee/eviltransform
(GCJ-02, from WGS-84) and https://github.com/wandergis/coordtransform (BD-09, from GCJ-02). The ways back are found by
iteration, to about a millimetre.

Outside the rectangle that holds China nothing is shifted, as the map services do it there. The rectangle is not the
border: a place in Mongolia or Korea that lies in it is shifted although it should not be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_A_M: Final = 6_378_245.0  # Krassowsky 1940
_EE: Final = 0.006_693_421_622_965_943
_WEST_DEG, _EAST_DEG, _SOUTH_DEG, _NORTH_DEG = 72.004, 137.8347, 0.8293, 55.8271
_BD_TURN: Final = math.pi * 3000.0 / 180.0
_EARTH_RADIUS_M: Final = 6_371_008.8  # mean radius R1, IUGG


@dataclass(frozen=True, slots=True)
class Position:
    """Degrees; which datum is said by whoever holds it."""

    latitude_deg: float
    longitude_deg: float


def is_shifted(place: Position) -> bool:
    """Whether maps published in China shift this place: the rectangle of the formula."""
    return _SOUTH_DEG <= place.latitude_deg <= _NORTH_DEG and _WEST_DEG <= place.longitude_deg <= _EAST_DEG


def gcj02_from_wgs84(place: Position) -> Position:
    """The place as Amap and Tencent want it."""
    if not is_shifted(place):
        return place
    x, y = place.longitude_deg - 105.0, place.latitude_deg - 35.0
    latitude = math.radians(place.latitude_deg)
    flattened = 1 - _EE * math.sin(latitude) ** 2
    north_m, east_m = _north_m(x, y), _east_m(x, y)
    meridian_m = _A_M * (1 - _EE) / flattened**1.5
    parallel_m = _A_M / math.sqrt(flattened) * math.cos(latitude)
    return Position(
        place.latitude_deg + math.degrees(north_m / meridian_m),
        place.longitude_deg + math.degrees(east_m / parallel_m),
    )


def bd09_from_gcj02(place: Position) -> Position:
    """The place as Baidu wants it."""
    if not is_shifted(place):
        return place
    x, y = place.longitude_deg, place.latitude_deg
    radius = math.hypot(x, y) + 0.00002 * math.sin(y * _BD_TURN)
    angle = math.atan2(y, x) + 0.000003 * math.cos(x * _BD_TURN)
    return Position(radius * math.sin(angle) + 0.006, radius * math.cos(angle) + 0.0065)


def bd09_from_wgs84(place: Position) -> Position:
    """The place as Baidu wants it, from satellites."""
    return bd09_from_gcj02(gcj02_from_wgs84(place)) if is_shifted(place) else place


def wgs84_from_gcj02(place: Position) -> Position:
    """Inverse of `gcj02_from_wgs84`."""
    return _back(gcj02_from_wgs84, place)


def gcj02_from_bd09(place: Position) -> Position:
    """Inverse of `bd09_from_gcj02`."""
    return _back(bd09_from_gcj02, place)


def distance_m(one: Position, other: Position) -> float:
    """Great-circle distance in metres (haversine formula); both in the same datum."""
    a, b = math.radians(one.latitude_deg), math.radians(other.latitude_deg)
    half_east = math.radians(other.longitude_deg - one.longitude_deg) / 2
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(half_east) ** 2
    return 2 * _EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(h)))


def _back(forward: Callable[[Position], Position], wanted: Position) -> Position:
    """The place that `forward` takes to `wanted`: the shift changes slowly, so that each step leaves under 1 %."""
    found = wanted
    for _ in range(6):
        there = forward(found)
        found = Position(
            found.latitude_deg + wanted.latitude_deg - there.latitude_deg,
            found.longitude_deg + wanted.longitude_deg - there.longitude_deg,
        )
    return found


def _waves(x: float, *terms: tuple[float, float]) -> float:
    """Sum of amplitude · sin(pi · x · frequency), two thirds of it."""
    return sum(amplitude * math.sin(math.pi * x * frequency) for amplitude, frequency in terms) * 2 / 3


def _north_m(x: float, y: float) -> float:
    smooth = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * math.sqrt(abs(x))
    return smooth + _waves(x, (20.0, 6.0), (20.0, 2.0)) + _waves(
        y, (20.0, 1.0), (40.0, 1 / 3), (160.0, 1 / 12), (320.0, 1 / 30)
    )  # fmt: skip


def _east_m(x: float, y: float) -> float:
    smooth = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * math.sqrt(abs(x))
    return smooth + _waves(x, (20.0, 6.0), (20.0, 2.0), (20.0, 1.0), (40.0, 1 / 3), (150.0, 1 / 12), (300.0, 1 / 30))
