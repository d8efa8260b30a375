"""The map that is drawn from the sites alone."""

from __future__ import annotations

import pytest

from sealwatch.cloud.maps import basemap
from sealwatch.cloud.maps.basemap import Spot, Tiles
from sealwatch.cloud.maps.datum import Position


def spot(name: str, latitude_deg: float, longitude_deg: float, mark: str = "calm", region: str = "乡") -> Spot:
    return Spot(site_id=name, name=name, region=region, place=Position(latitude_deg, longitude_deg), mark=mark)


COUNTY = [spot("a", 42.0, 124.8), spot("b", 42.2, 125.0), spot("c", 42.1, 125.2, "red"), spot("d", 42.1, 125.0)]


def test_no_site_is_no_map() -> None:
    assert basemap.draw([]) is None


def test_north_is_up_east_is_right_and_everything_is_inside() -> None:
    drawn = basemap.draw(COUNTY)
    assert drawn is not None
    at = {dot.site_id: dot for dot in drawn.dots}
    assert at["b"].y < at["d"].y < at["a"].y
    assert at["a"].x < at["b"].x < at["c"].x
    assert all(0 < dot.x < basemap.WIDTH and 0 < dot.y < drawn.height for dot in drawn.dots)


def test_what_has_a_mark_lies_above_the_calm_ones() -> None:
    drawn = basemap.draw(COUNTY[::-1])
    assert drawn is not None
    assert drawn.dots[-1].mark == "red"


def test_a_hull_goes_round_its_sites_without_those_inside() -> None:
    assert basemap.hull([(0, 0), (4, 0), (4, 4), (0, 4), (2, 2), (2, 0)]) == [(0, 0), (4, 0), (4, 4), (0, 4)]
    assert basemap.hull([(1, 1)]) == [(1, 1)]
    assert basemap.hull([(1, 1), (2, 2), (1, 1)]) == [(1, 1), (2, 2)]


@pytest.mark.parametrize("spots", [COUNTY[:1], COUNTY[:2], [spot("x", 42, 125), spot("y", 42, 125)]])
def test_few_sites_or_all_in_one_place_are_a_map_too(spots: list[Spot]) -> None:
    drawn = basemap.draw(spots)
    assert drawn is not None
    assert drawn.height > 100
    assert len(drawn.regions) == 1


def test_a_scale_is_the_same_in_both_directions() -> None:
    square = [spot("a", 42.0, 125.0), spot("b", 42.0, 125.1), spot("c", 42.1, 125.0)]
    drawn = basemap.draw(square)
    assert drawn is not None
    a, b, c = (next(dot for dot in drawn.dots if dot.site_id == name) for name in "abc")
    # A degree of longitude is cos(42.05°) of one of latitude there.
    assert (b.x - a.x) / (a.y - c.y) == pytest.approx(0.7426, abs=0.002)


def test_tiles_cover_the_map_without_a_gap() -> None:
    drawn = basemap.draw(COUNTY, Tiles(url="https://tiles.example/{z}/{x}/{y}.png"))
    assert drawn is not None
    assert 1 < len(drawn.tiles) <= 40
    assert min(tile.x for tile in drawn.tiles) <= 0
    assert max(tile.x + tile.size for tile in drawn.tiles) >= basemap.WIDTH
    assert max(tile.y + tile.size for tile in drawn.tiles) >= drawn.height
    assert drawn.tiles[0].url.startswith("https://tiles.example/")
    assert "{" not in drawn.tiles[0].url


def test_on_shifted_tiles_the_sites_are_shifted_with_them() -> None:
    url = "https://tiles.example/{z}/{x}/{y}.png"
    plain, shifted = basemap.draw(COUNTY, Tiles(url=url)), basemap.draw(COUNTY, Tiles(url=url, datum="gcj02"))
    assert plain is not None
    assert shifted is not None
    assert plain.tiles[0].x != shifted.tiles[0].x  # the frame moved against the tiles by some hundred metres
