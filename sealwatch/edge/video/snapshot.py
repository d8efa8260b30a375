"""The picture that travels with an alarm: small, with the zone and the boxes drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from sealwatch.edge.ports import Image
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.zones import Zone

MAX_WIDTH_PX: Final = 960
MAX_BYTES: Final = 60_000
_QUALITIES: Final = (82, 70, 58, 46, 34)
_BOX_COLOUR: Final = (40, 60, 230)
_ZONE_COLOUR: Final = (60, 200, 250)


def jpeg(image_bgr: Image, *, boxes: Sequence[tuple[Box, str, float]] = (), zone: Zone | None = None) -> bytes:
    """A JPEG of at most `MAX_WIDTH_PX` and about `MAX_BYTES`; it shrinks until it fits."""
    drawn = annotate(_fit(image_bgr, MAX_WIDTH_PX), boxes=boxes, zones=[zone] if zone else [])
    data = b""
    while True:
        for quality in _QUALITIES:
            data = _encode(drawn, quality)
            if len(data) <= MAX_BYTES:
                return data
        width_px = int(drawn.shape[1] * 0.75)
        if width_px < 160:
            return data
        drawn = _fit(drawn, width_px)


def annotate(
    image_bgr: Image, *, boxes: Sequence[tuple[Box, str, float]], zones: Sequence[Zone], copy: bool = True
) -> Image:
    """The picture with zones and boxes drawn in."""
    drawn = image_bgr.copy() if copy else image_bgr
    height_px, width_px = drawn.shape[:2]
    thick = max(1, width_px // 400)
    for zone in zones:
        if zone.polygon:
            corners = np.array([(x * width_px, y * height_px) for x, y in zone.polygon], np.int32)
            cv2.polylines(drawn, [corners], isClosed=True, color=_ZONE_COLOUR, thickness=thick)
    for box, label, score in boxes:
        x1, y1, x2, y2 = box.pixels(width_px, height_px)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), _BOX_COLOUR, thick)
        scale = max(0.4, width_px / 1600)
        cv2.putText(
            drawn, f"{label} {score:.2f}", (x1, max(12, y1 - 4)), cv2.FONT_HERSHEY_SIMPLEX, scale, _BOX_COLOUR, thick
        )
    return drawn


def _fit(image: Image, width_px: int) -> Image:
    height, width = image.shape[:2]
    if width <= width_px:
        return image
    size = (width_px, max(1, round(height * width_px / width)))
    fitted: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return fitted


def _encode(image: Image, quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("the picture cannot be encoded as JPEG")
    return bytes(data)
