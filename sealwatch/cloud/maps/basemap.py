"""A map of a county from nothing but the positions of its sites: townships as hulls around them. No server is asked.

Web Mercator (EPSG:3857) throughout, so that tiles of a map server can lie under it where one is configured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from sealwatch.cloud.maps import datum
from sealwatch.cloud.maps.datum import Position

WIDTH: Final = 1000.0
"""Drawing units across the map; its height follows from what is on it."""
_PADDING: Final = 0.14
_SMALLEST_SPAN: Final = 2e-5  # of the world's width, 800 m at the equator: one site alone is no dot in a void
_MOST_TILES_ACROSS: Final = 4
_MOST_ZOOM: Final = 17
_TALLEST: Final = 1.6
_FLATTEST: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A site to draw: `mark` is a level, "silent" or "calm"."""

    site_id: str
    name: str
    region: str
    place: Position  # WGS 84
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A site on the map, in drawing units."""

    site_id: str
    name: str
    mark: str
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A township: the corners of the hull of its sites as an SVG path, and where its name stands."""

    name: str
    path: str
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A picture of a map server."""

    url: str
    x: float
    y: float
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """Everything to draw; `height` in drawing units."""

    height: float
    regions: list[Region]
    dots: list[Dot]
    tiles: list[Tile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """A map server: `url` with {z}, {x} and {y}, and the datum its pictures are drawn in."""

    url: str
    datum: Literal["wgs84", "gcj02"] = "wgs84"

    @property
    def origin(self) -> str:
        """Scheme and host, for the content security policy."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def draw(spots: Sequence[Spot], tiles: Tiles | None = None) -> Map | None:
    """The map of these sites, or None where there is not one. Calm sites lie under those with a mark."""
    if not spots:
        return None
    shifted = tiles is not None and tiles.datum == "gcj02"
    places = [_world(datum.gcj02_from_wgs84(spot.place) if shifted else spot.place) for spot in spots]
    frame = _Frame.around(places)
    points = [frame.point(*place) for place in places]
    dots = [
        Dot(site_id=spot.site_id, name=spot.name, mark=spot.mark, x=x, y=y)
        for spot, (x, y) in sorted(zip(spots, points, strict=True), key=lambda pair: pair[0].mark != "calm")
    ]
    regions: dict[str, list[tuple[float, float]]] = {}
    for spot, point in zip(spots, points, strict=True):
        if spot.region:
            regions.setdefault(spot.region, []).append(point)
    return Map(
        height=frame.height,
        regions=[_region(name, corners) for name, corners in sorted(regions.items())],
        dots=dots,
        tiles=[] if tiles is None else _tiles(frame, tiles.url),
    )


def hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Convex hull, counter-clockwise (A. M. Andrew's monotone chain, 1979)."""
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return ordered
    return [*_chain(ordered)[:-1], *_chain(ordered[::-1])[:-1]]


def _chain(ordered: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for point in ordered:
        while len(kept) > 1 and _turn(kept[-2], kept[-1], point) <= 0:
            kept.pop()
        kept.append(point)
    return kept


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _region(name: str, points: list[tuple[float, float]]) -> Region:
    corners = hull(points)
    # A lone site is a line without length; the wide round stroke makes each hull an area around its sites.
    steps = corners if len(corners) > 1 else corners * 2
    path = "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in steps) + "Z"
    return Region(name=name, path=path, x=sum(x for x, _ in corners) / len(corners), y=min(y for _, y in corners))


def _world(place: Position) -> tuple[float, float]:
    """Web Mercator, the world being 1 wide and 1 high, (0, 0) in the north-west."""
    latitude = math.radians(max(-85.0, min(85.0, place.latitude_deg)))
    return (place.longitude_deg + 180) / 360, (1 - math.asinh(math.tan(latitude)) / math.pi) / 2


@dataclass(frozen=True, slots=True)
class _Frame:
    west: float
    north: float
    span: float  # of the world, east to west
    height: float  # drawing units

    @staticmethod
    def around(places: Sequence[tuple[float, float]]) -> _Frame:
        xs, ys = [x for x, _ in places], [y for _, y in places]
        wide = max(max(xs) - min(xs), _SMALLEST_SPAN)
        high = max(max(ys) - min(ys), wide * _FLATTEST)
        wide = max(wide, high / _TALLEST)
        margin = max(wide, high) * _PADDING
        span = wide + 2 * margin
        west = (max(xs) + min(xs)) / 2 - span / 2
        north = (max(ys) + min(ys)) / 2 - high / 2 - margin
        return _Frame(west, north, span, WIDTH * (high + 2 * margin) / span)

    def point(self, x: float, y: float) -> tuple[float, float]:
        return round((x - self.west) / self.span * WIDTH, 1), round((y - self.north) / self.span * WIDTH, 1)


def _tiles(frame: _Frame, url: str) -> list[Tile]:
    zoom = max(0, min(_MOST_ZOOM, math.floor(math.log2(_MOST_TILES_ACROSS / frame.span))))
    count = 2**zoom
    east, south = frame.west + frame.span, frame.north + frame.span * frame.height / WIDTH
    found = []
    for column in range(math.floor(frame.west * count), math.floor(east * count) + 1):
        for row in range(math.floor(frame.north * count), math.floor(south * count) + 1):
            if not (0 <= column < count and 0 <= row < count):
                continue
            x, y = frame.point(column / count, row / count)
            address = url.replace("{z}", str(zoom)).replace("{x}", str(column)).replace("{y}", str(row))
            found.append(Tile(url=address, x=x, y=y, size=round(WIDTH / count / frame.span, 1)))
    return found
