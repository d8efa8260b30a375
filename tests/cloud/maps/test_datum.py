"""Datums against published reference points, there and back, and the links made of them."""

from __future__ import annotations

import random
from urllib.parse import parse_qs, urlsplit

import pytest

from sealwatch.cloud.maps import datum, links
from sealwatch.cloud.maps.datum import Position

# Reference points of the test of https://github.com/googollee/eviltransform: WGS-84, GCJ-02.
PUBLISHED_GCJ = [
    (Position(31.1774276, 121.5272106), Position(31.17530398364597, 121.531541859215)),  # Shanghai
    (Position(22.543847, 113.912316), Position(22.540796131694766, 113.9171764808363)),  # Shenzhen
    (Position(39.911954, 116.377817), Position(39.91334545536069, 116.38404722455657)),  # Beijing
    (Position(39.915, 116.404), Position(39.91640428150164, 116.41024449916938)),  # of coordtransform, see below
]
# Of the test of https://github.com/wandergis/coordtransform: GCJ-02, BD-09.
PUBLISHED_BD = [(Position(39.915, 116.404), Position(39.92133699351021, 116.41036949371029))]
A_MILLIMETRE_M = 0.001


def places(count: int = 400) -> list[Position]:
    """All over the mainland, from the tropics to the Amur."""
    random_ = random.Random(5)
    return [Position(random_.uniform(18.2, 53.4), random_.uniform(73.7, 134.9)) for _ in range(count)]


@pytest.mark.parametrize(("wgs", "gcj"), PUBLISHED_GCJ)
def test_gcj02_agrees_with_published_points(wgs: Position, gcj: Position) -> None:
    assert datum.distance_m(datum.gcj02_from_wgs84(wgs), gcj) < A_MILLIMETRE_M


@pytest.mark.parametrize(("gcj", "bd"), PUBLISHED_BD)
def test_bd09_agrees_with_published_points(gcj: Position, bd: Position) -> None:
    assert datum.distance_m(datum.bd09_from_gcj02(gcj), bd) < A_MILLIMETRE_M


def test_there_and_back_is_the_same_place() -> None:
    for place in places():
        gcj, bd = datum.gcj02_from_wgs84(place), datum.bd09_from_wgs84(place)
        assert datum.distance_m(datum.wgs84_from_gcj02(gcj), place) < A_MILLIMETRE_M
        assert datum.distance_m(datum.wgs84_from_gcj02(datum.gcj02_from_bd09(bd)), place) < 0.5


def test_in_china_every_place_is_shifted_by_less_than_a_kilometre() -> None:
    for place in places():
        assert 1 < datum.distance_m(place, datum.gcj02_from_wgs84(place)) < 1000


@pytest.mark.parametrize("place", [Position(35.68, 139.69), Position(51.5, -0.12), Position(-33.87, 151.2)])
def test_elsewhere_nothing_is_shifted(place: Position) -> None:
    assert datum.gcj02_from_wgs84(place) == datum.bd09_from_wgs84(place) == datum.wgs84_from_gcj02(place) == place


def test_a_distance_on_the_ground() -> None:
    # One minute of latitude is one nautical mile, 1852 m, but for the shape of the earth.
    assert datum.distance_m(Position(42.0, 124.9), Position(42 + 1 / 60, 124.9)) == pytest.approx(1852, rel=0.002)


def test_each_app_gets_its_own_datum_and_order() -> None:
    place = Position(42.123456, 124.912345)
    urls = {link.app: link.url for link in links.navigation(place, "井家沟主井 & 西口")}
    queries = {app: parse_qs(urlsplit(url).query) for app, url in urls.items()}
    gcj, bd = datum.gcj02_from_wgs84(place), datum.bd09_from_wgs84(place)
    assert queries["amap"]["to"] == [f"{gcj.longitude_deg:.6f},{gcj.latitude_deg:.6f},井家沟主井 & 西口"]
    assert queries["baidu"]["location"] == [f"{bd.latitude_deg:.6f},{bd.longitude_deg:.6f}"]
    assert queries["baidu"]["coord_type"] == ["bd09ll"]
    assert queries["tencent"]["tocoord"] == [f"{gcj.latitude_deg:.6f},{gcj.longitude_deg:.6f}"]
    assert queries["apple"]["daddr"] == ["42.123456,124.912345"]
    assert urls["geo"].startswith("geo:42.123456,124.912345?q=42.123456,124.912345(")
