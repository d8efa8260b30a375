"""A replayed video with what the eyes saw drawn in: boxes, zones, lines, moving regions and the latest decision."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import cv2

from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Frame, Image, SourceError
from sealwatch.edge.video.analyser import Look, boxes_of
from sealwatch.edge.video.lines import lines_of
from sealwatch.edge.video.snapshot import annotate
from sealwatch.edge.video.zones import zones_of

_TICKS: Final = 90_000
_MAX_WIDTH_PX: Final = 1280
_MOVING: Final = (120, 190, 60)
_LINE: Final = (240, 160, 40)


class AnnotatedVideo:
    """Writes H.264 with the pictures' own times. Use as a context manager."""

    def __init__(self, path: Path, camera: CameraSettings) -> None:
        self._zones, self._lines = zones_of(camera.zones), lines_of(camera.lines)
        self._caption = ""
        advice = f"{path}: cannot be written as a video; name an .mp4 in a folder that exists"
        if not path.parent.is_dir():
            raise SourceError(advice)
        try:
            self._container = av.open(str(path), "w")
        except (av.FFmpegError, OSError, ValueError):
            raise SourceError(advice) from None
        self._stream = self._container.add_stream("libx264", rate=10, options={"preset": "veryfast", "crf": "26"})
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._last = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._last >= 0:
            self._container.mux(self._stream.encode())
        self._container.close()

    def add(self, frame: Frame, look: Look) -> None:
        """Draw and write one picture."""
        picture = _even(frame.colour())
        for decision in look.decisions:
            what = " ".join(part for part in (decision.kind.value, decision.code, decision.direction) if part)
            self._caption = f"{frame.pts_s:.1f} s {what} {decision.phase.value}: {decision.reason}"
        drawn = annotate(picture, boxes=boxes_of(look, frame.monotonic_s), zones=self._zones)
        self._draw(drawn, look)
        if self._last < 0:
            self._stream.height, self._stream.width = drawn.shape[:2]
        elif (self._stream.height, self._stream.width) != drawn.shape[:2]:
            drawn = cv2.resize(drawn, (self._stream.width, self._stream.height))
        shown = av.VideoFrame.from_ndarray(drawn, format="bgr24")
        shown.pts, shown.time_base = max(self._last + 1, round(frame.pts_s * _TICKS)), Fraction(1, _TICKS)
        self._last = shown.pts
        self._container.mux(self._stream.encode(shown))

    def _draw(self, drawn: Image, look: Look) -> None:
        height_px, width_px = drawn.shape[:2]

        def at(x: float, y: float) -> tuple[int, int]:
            return round(x * width_px), round(y * height_px)

        for line in self._lines:
            cv2.line(drawn, at(*line.a), at(*line.b), _LINE, 2)
        for region in look.gate.regions:
            x1, y1, x2, y2 = region.pixels(width_px, height_px)
            cv2.rectangle(drawn, (x1, y1), (x2, y2), _MOVING, 1)
        text = f"gate: {look.gate.reason}   {self._caption}"
        cv2.rectangle(drawn, (0, height_px - 24), (width_px, height_px), (0, 0, 0), -1)
        cv2.putText(drawn, text, (6, height_px - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)


def _even(picture: Image) -> Image:
    """The picture at most `_MAX_WIDTH_PX` wide, with even sides as the encoder wants them."""
    height, width = picture.shape[:2]
    factor = min(1.0, _MAX_WIDTH_PX / width)
    size = (max(2, round(width * factor) // 2 * 2), max(2, round(height * factor) // 2 * 2))
    fitted: Image = picture if size == (width, height) else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return fitted
