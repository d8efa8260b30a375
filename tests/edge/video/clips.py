"""Synthetic clips with a known story: a textured wall with sensor noise, and a magenta figure for a script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from sealwatch.edge.ports import Frame, Image
from sealwatch.edge.video.ports import PlainDetection, ScriptedDetector

WIDTH, HEIGHT = 320, 240
FIGURE = (200, 30, 220)  # BGR


def wall(seed: int = 1) -> Image:
    """A wall with structure, the same for one seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 180, (HEIGHT // 16, WIDTH // 16), dtype=np.uint8)
    grey = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture: Image = np.repeat(grey[:, :, None], 3, axis=2)
    return picture


def noisy(picture: Image, rng: np.random.Generator, sigma: float = 3.0) -> Image:
    """The picture as a sensor gives it."""
    noise = rng.normal(0.0, sigma, picture.shape[:2])[:, :, None]
    return np.clip(picture.astype(np.float32) + noise, 0, 255).astype(np.uint8)


def with_figure(picture: Image, x: float, *, foot_y: float = 0.9, height: float = 0.5) -> Image:
    """Somebody 0.15 wide whose feet stand at (`x`, `foot_y`), all in parts of the picture."""
    shown = picture.copy()
    x1, x2 = int((x - 0.075) * WIDTH), int((x + 0.075) * WIDTH)
    y1, y2 = int((foot_y - height) * HEIGHT), int(foot_y * HEIGHT)
    shown[max(0, y1) : y2, max(0, x1) : max(0, x2)] = FIGURE
    return shown


def find_figure(image_bgr: Image) -> list[PlainDetection]:
    """The script: the magenta figure is a person at 0.8."""
    blue, green, red = (image_bgr[:, :, i].astype(np.int16) for i in range(3))
    mask = ((blue - green > 90) & (red - green > 90)).astype(np.uint8)
    if cv2.countNonZero(mask) < 60:
        return []
    x, y, w, h = cv2.boundingRect(mask)
    return [PlainDetection("person", 0.8, (float(x), float(y), float(x + w), float(y + h)))]


def detector() -> ScriptedDetector:
    return ScriptedDetector(find_figure)


def write_clip(
    path: Path, pictures: Sequence[Image], *, fps: int = 10, codec: str = "libx264", key_every: int | None = None
) -> Path:
    """Write BGR pictures as a video; key frames every two seconds, no B-frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = pictures[0].shape[1], pictures[0].shape[0]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = key_every or 2 * fps
        stream.codec_context.max_b_frames = 0
        stream.codec_context.time_base = Fraction(1, fps)
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def visit(
    *, seconds: float, fps: int, enters_s: float, leaves_s: float, seed: int = 2, sigma: float = 3.0
) -> list[Image]:
    """A quiet wall; somebody walks through from left to right between `enters_s` and `leaves_s`."""
    base, rng = wall(), np.random.default_rng(seed)
    pictures = []
    for index in range(int(seconds * fps)):
        t_s = index / fps
        shown = base
        if enters_s <= t_s < leaves_s:
            shown = with_figure(base, 0.1 + 0.8 * (t_s - enters_s) / (leaves_s - enters_s))
        pictures.append(noisy(shown, rng, sigma))
    return pictures


def frame_of(picture: Image, t_s: float, *, wall_ms: int = 0) -> Frame:
    """A frame as a source would give it."""
    grey: Image = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return Frame(
        grey=grey,
        colour=lambda: picture,
        pts_s=t_s,
        captured_at_ms=wall_ms + round(t_s * 1000),
        monotonic_s=t_s,
    )


class ScriptedSource:
    """A source whose story is a function; the in-process twin of a camera."""

    def __init__(self, story: Callable[[threading.Event], Iterator[Frame]]) -> None:
        self._story = story

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        return self._story(stop)
