"""Links that open a map app at a place, each in the datum and the order of coordinates that its service documents.

Amap      https://lbs.amap.com/api/uri-api/guide/travel/route          longitude,latitude in GCJ-02
Baidu     https://lbsyun.baidu.com/faq/api?title=webapi/uri/web        latitude,longitude in BD-09
Tencent   https://lbs.qq.com/webApi/uriV1/uriGuide/uriWebRoute         latitude,longitude in GCJ-02
Apple     https://developer.apple.com/library/archive/featuredarticles/iPhoneURLScheme_Reference/MapLinks
geo:      RFC 5870; latitude,longitude in WGS-84, for whatever map the telephone has
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from sealwatch.cloud.maps import datum
from sealwatch.cloud.maps.datum import Position

_SOURCE = "sealwatch"


@dataclass(frozen=True, slots=True)
class MapLink:
    """`app` names a sentence of the catalogue."""

    app: str
    url: str


def navigation(place: Position, name: str) -> list[MapLink]:
    """Links to `place` (WGS 84), called `name` on the map."""
    gcj, bd = datum.gcj02_from_wgs84(place), datum.bd09_from_wgs84(place)
    amap = urlencode({"to": f"{_lon_lat(gcj)},{name}", "mode": "car", "coordinate": "gaode", "callnative": 1})
    baidu = urlencode(
        {"location": _lat_lon(bd), "title": name, "content": name, "coord_type": "bd09ll", "output": "html",
         "src": f"webapp.{_SOURCE}"}
    )  # fmt: skip
    tencent = urlencode({"type": "drive", "to": name, "tocoord": _lat_lon(gcj), "referer": _SOURCE})
    apple = urlencode({"daddr": _lat_lon(place), "q": name, "dirflg": "d"})
    return [
        MapLink("amap", f"https://uri.amap.com/navigation?{amap}"),
        MapLink("baidu", f"https://api.map.baidu.com/marker?{baidu}"),
        MapLink("tencent", f"https://apis.map.qq.com/uri/v1/routeplan?{tencent}"),
        MapLink("apple", f"https://maps.apple.com/?{apple}"),
        MapLink("geo", f"geo:{_lat_lon(place)}?q={_lat_lon(place)}({quote(name)})"),
    ]


def _lat_lon(place: Position) -> str:
    return f"{place.latitude_deg:.6f},{place.longitude_deg:.6f}"


def _lon_lat(place: Position) -> str:
    return f"{place.longitude_deg:.6f},{place.latitude_deg:.6f}"
