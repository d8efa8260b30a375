"""The sun's height against almanacs: noon by geometry, rising and setting (-0.83 degrees) by published times."""

from __future__ import annotations

import datetime as dt

import pytest

from sealwatch.edge.video.sun import elevation_deg


@pytest.mark.parametrize(
    ("moment", "latitude_deg", "longitude_deg", "height_deg", "within_deg"),
    [
        ("2024-06-21T04:46+08:00", 39.904, 116.407, -0.83, 0.15),  # Beijing, sunrise of the solstice
        ("2024-12-21T16:52+08:00", 39.904, 116.407, -0.83, 0.2),
        ("2024-06-21T12:16+08:00", 39.904, 116.407, 90 - 39.904 + 23.44, 0.05),
        ("2024-03-20T12:07+00:00", 0.0, 0.0, 90.0, 0.3),
        ("2024-12-21T12:00+00:00", 80.0, 0.0, 90 - 80.0 - 23.44, 0.1),
        ("2024-06-21T00:15+08:00", 39.904, 116.407, -(90 - 39.904 - 23.44), 0.1),
    ],
)
def test_the_suns_height(
    moment: str, latitude_deg: float, longitude_deg: float, height_deg: float, within_deg: float
) -> None:
    at_ms = round(dt.datetime.fromisoformat(moment).timestamp() * 1000)
    found = elevation_deg(at_ms, latitude_deg=latitude_deg, longitude_deg=longitude_deg)
    assert found == pytest.approx(height_deg, abs=within_deg)
