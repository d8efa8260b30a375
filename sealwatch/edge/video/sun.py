"""How high the sun stands: the Astronomical Almanac's low-precision formulae (J. J. Michalsky, Solar Energy 40, 1988),
good to about 0.01 degrees from 1950 to 2050; refraction is left out."""

from __future__ import annotations

import math
from typing import Final

CIVIL_DEG: Final = -6.0
"""The end of civil twilight: below it lamps are what one sees by."""
_J2000_MS: Final = 946_728_000_000  # 2000-01-01 12:00 UTC
_DAY_MS: Final = 86_400_000


def elevation_deg(at_ms: int, *, latitude_deg: float, longitude_deg: float) -> float:
    """Degrees above the horizon, negative below it, at a moment (epoch ms) and place (north and east positive)."""
    days = (at_ms - _J2000_MS) / _DAY_MS
    mean_longitude = math.radians((280.460 + 0.9856474 * days) % 360)
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360)
    ecliptic = mean_longitude + math.radians(1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    obliquity = math.radians(23.439 - 0.0000004 * days)
    ascension = math.atan2(math.cos(obliquity) * math.sin(ecliptic), math.cos(ecliptic))
    declination = math.asin(math.sin(obliquity) * math.sin(ecliptic))
    hours = (at_ms % _DAY_MS) / 3_600_000
    sidereal_deg = 15.0 * (6.697375 + 0.0657098242 * days + hours) + longitude_deg
    angle = math.radians(sidereal_deg) - ascension
    latitude = math.radians(latitude_deg)
    return math.degrees(
        math.asin(
            math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(angle)
        )
    )
