"""Disturbances that cameras outdoors suffer, laid over real pictures: what the eyes must bear without crying wolf.

Each disturbance is a function of (picture, second, random source) that keeps its own state, so that a whole recording
can be passed through it. Pictures are BGR, rows x columns x 3, 0-255. This is synthesis: it tries to be as bad as the
real thing, and it is not the real thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Disturbance = Callable[[Image, float, np.random.Generator], Image]


def _bounded(values: npt.NDArray[Any]) -> Image:
    bounded: Image = np.clip(values, 0, 255).astype(np.uint8)
    return bounded


def night_noise(picture: Image, _second: float, rng: np.random.Generator) -> Image:
    """A starved sensor: dark, grey, with coarse and fine noise and the gain turned up."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32) * 0.28 + 12
    height, width = grey.shape
    fine = rng.normal(0, 9, grey.shape)
    coarse = cv2.resize(rng.normal(0, 5, (height // 4, width // 4)).astype(np.float32), (width, height))
    return np.repeat(_bounded(grey + fine + coarse)[:, :, None], 3, axis=2)


def rain(picture: Image, _second: float, rng: np.random.Generator) -> Image:
    """Heavy rain: bright slanted streaks, new ones in every picture, and a veil."""
    height, width = picture.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    for _ in range(260):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        length = int(rng.integers(height // 30, height // 9))
        cv2.line(layer, (x, y), (x + length // 6, y + length), int(rng.integers(60, 170)), 1, cv2.LINE_AA)
    veiled = picture.astype(np.float32) * 0.85 + 22
    return _bounded(veiled + cv2.GaussianBlur(layer, (3, 3), 0)[:, :, None].astype(np.float32) * 0.7)


def snow(picture: Image, _second: float, rng: np.random.Generator) -> Image:
    """Snow: soft white flakes of all sizes, some near the lens."""
    height, width = picture.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    for _ in range(220):
        radius = int(rng.choice([1, 1, 1, 2, 2, 3, 5]))
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.circle(layer, centre, radius, int(rng.integers(120, 255)), -1, cv2.LINE_AA)
    return _bounded(picture.astype(np.float32) * 0.9 + 15 + cv2.GaussianBlur(layer, (5, 5), 0)[:, :, None])


@dataclass(slots=True)
class Insect:
    """A moth at the infrared lamp: a large bright blur that darts about, comes and goes."""

    x: float = 0.5
    y: float = 0.5

    def __call__(self, picture: Image, second: float, rng: np.random.Generator) -> Image:
        lit = night_noise(picture, second, rng)
        if int(second / 4) % 2:
            return lit
        self.x = (self.x + float(rng.normal(0, 0.12))) % 1.0
        self.y = (self.y + float(rng.normal(0, 0.12))) % 1.0
        height, width = picture.shape[:2]
        layer = np.zeros((height, width), np.uint8)
        size = (int(width * rng.uniform(0.02, 0.06)), int(width * rng.uniform(0.01, 0.03)))
        cv2.ellipse(
            layer, (int(self.x * width), int(self.y * height)), size, float(rng.uniform(0, 180)), 0, 360, 230, -1
        )
        glow = cv2.GaussianBlur(layer, (0, 0), width / 90)
        return _bounded(lit.astype(np.float32) + glow[:, :, None])


@dataclass(slots=True)
class Spider:
    """A thread with a spider before the lens, swinging in the wind in the light of the lamp."""

    def __call__(self, picture: Image, second: float, rng: np.random.Generator) -> Image:
        lit = night_noise(picture, second, rng)
        height, width = picture.shape[:2]
        layer = np.zeros((height, width), np.uint8)
        x = int(width * (0.5 + 0.12 * np.sin(second * 1.7)))
        y = int(height * (0.4 + 0.06 * np.sin(second * 0.6)))
        cv2.line(layer, (width // 2, 0), (x, y), 120, max(1, width // 160), cv2.LINE_AA)
        cv2.ellipse(layer, (x, y), (width // 28, width // 20), 0, 0, 360, 215, -1)
        return _bounded(lit.astype(np.float32) + cv2.GaussianBlur(layer, (0, 0), width / 120)[:, :, None])


def infrared_switch(picture: Image, second: float, rng: np.random.Generator) -> Image:
    """Day and night mode every twelve seconds: colour, then grey with a hot spot and the sky black."""
    if int(second / 12) % 2 == 0:
        return picture
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    height, width = grey.shape
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    far = ((across / width - 0.5) ** 2 + (down / height - 0.65) ** 2) * 3.2
    shown = (255 - grey * 0.35) * 0.25 * np.exp(-far) + grey * 0.75 * np.exp(-far)
    return np.repeat(_bounded(shown + rng.normal(0, 4, grey.shape))[:, :, None], 3, axis=2)


def slow_exposure(picture: Image, second: float, rng: np.random.Generator) -> Image:
    """Clouds: the light goes up and down by half within twenty seconds, with their shadow crossing the picture."""
    height, width = picture.shape[:2]
    across = np.linspace(0, 1, width, dtype=np.float32)
    gain = 0.75 + 0.25 * np.sin(second / 3.2) + 0.15 * np.tanh(6 * (across - (second % 15) / 15))
    return _bounded(picture.astype(np.float32) * gain[None, :, None] + rng.normal(0, 2, (height, width))[:, :, None])


def fast_exposure(picture: Image, second: float, rng: np.random.Generator) -> Image:
    """Headlights and lamps: the whole picture jumps in brightness every few seconds, and a cone of light sweeps by."""
    height, width = picture.shape[:2]
    gain = [1.0, 0.55, 1.45, 0.8][int(second / 2.5) % 4]
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    centre = ((second * 0.35) % 1.6 - 0.3) * width
    cone = 70 * np.exp(-(((across - centre) / (0.16 * width)) ** 2 + ((down - 0.7 * height) / (0.3 * height)) ** 2))
    lit = picture.astype(np.float32) * gain + cone[:, :, None]
    return _bounded(lit + rng.normal(0, 2, (height, width))[:, :, None])


def shake(picture: Image, second: float, rng: np.random.Generator) -> Image:
    """A pole in the wind: the view jumps by up to one per cent of its width."""
    height, width = picture.shape[:2]
    dx, dy = rng.normal(0, 0.004 * width), rng.normal(0, 0.003 * width) + 0.004 * width * np.sin(second * 7)
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    shaken: Image = cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return shaken


@dataclass(slots=True)
class LowBitRate:
    """A starved encoder: blocks that are only refreshed every two seconds and drift in between."""

    shown: npt.NDArray[np.float32] | None = field(default=None)
    refreshed: int = -1

    def __call__(self, picture: Image, second: float, _rng: np.random.Generator) -> Image:
        coded, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 9])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if coded else None
        blocky = (picture if decoded is None else decoded).astype(np.float32)
        group = int(second / 2)
        if self.shown is None or group != self.refreshed:
            self.shown, self.refreshed = blocky, group
        else:
            height, width = picture.shape[:2]
            change = np.abs(blocky - self.shown).max(axis=2)
            wanted = cv2.resize(change, (width // 16, height // 16), interpolation=cv2.INTER_AREA) > 9
            mask = cv2.resize(wanted.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
            self.shown[mask] = blocky[mask]
        return _bounded(self.shown)


@dataclass(slots=True)
class Leaves:
    """A branch before the camera: a fifth of the picture sways."""

    def __call__(self, picture: Image, second: float, _rng: np.random.Generator) -> Image:
        height, width = picture.shape[:2]
        down, across = np.mgrid[0:height, 0:width].astype(np.float32)
        part = np.clip((0.45 - down / height) * 4, 0, 1) * np.clip((across / width - 0.55) * 6, 0, 1)
        dx = part * width * 0.012 * (np.sin(second * 2.3 + down / 23) + 0.6 * np.sin(second * 5.1 + across / 17))
        dy = part * width * 0.008 * np.sin(second * 3.1 + across / 29)
        swayed: Image = cv2.remap(picture, across + dx, down + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return swayed


def disturbances() -> dict[str, Disturbance]:
    """Fresh ones of every kind that leaves people visible."""
    return {
        "night_noise": night_noise,
        "rain": rain,
        "snow": snow,
        "insect": Insect(),
        "spider": Spider(),
        "infrared_switch": infrared_switch,
        "slow_exposure": slow_exposure,
        "fast_exposure": fast_exposure,
        "shake": shake,
        "leaves": Leaves(),
        "low_bit_rate": LowBitRate(),
    }


def disturb(
    pictures: Iterable[tuple[float, Image]], disturbance: Disturbance, *, seed: int = 1
) -> Iterator[tuple[float, Image]]:
    """(second, picture) through one disturbance."""
    rng = np.random.default_rng(seed)
    for second, picture in pictures:
        yield second, disturbance(picture, second, rng)


def to_and_fro(pictures: Sequence[Image], *, seconds: float, fps: float) -> Iterator[tuple[float, Image]]:
    """A quiet stretch played forwards and backwards until it is `seconds` long, each picture with fresh sensor noise.

    Without the noise a loop would be one; with it the scene lives as long as wanted.
    """
    rng = np.random.default_rng(11)
    period = max(1, 2 * len(pictures) - 2)
    for index in range(int(seconds * fps)):
        place = index % period
        picture = pictures[place if place < len(pictures) else period - place]
        yield index / fps, _bounded(picture.astype(np.float32) + rng.normal(0, 1.5, picture.shape[:2])[:, :, None])


SIGHTLESS: Final = ("frozen", "black", "loop", "still_photo")


def sightless(name: str, pictures: Sequence[Image], *, seconds: float, fps: float) -> Iterator[tuple[float, Image]]:
    """Pictures that show nothing true any more, after ten good seconds. `name` is one of `SIGHTLESS`."""
    rng = np.random.default_rng(5)
    good = list(to_and_fro(pictures, seconds=10, fps=fps))
    yield from good
    frozen, recorded = good[-1][1], [picture for _, picture in good[-int(6 * fps) :]]
    height, width = frozen.shape[:2]
    for index in range(int((seconds - 10) * fps)):
        second = 10 + index / fps
        if name == "frozen":
            yield second, frozen
        elif name == "black":
            yield second, _bounded(rng.normal(3, 1.5, frozen.shape))
        elif name == "loop":
            yield second, recorded[index % len(recorded)]
        else:
            sway = np.array([6 * np.sin(second * 1.1), 4 * np.cos(second * 0.8)]) + rng.normal(0, 0.7, 2)
            move = cv2.getRotationMatrix2D((width / 2, height / 2), float(0.8 * np.sin(second * 0.7)), 1.06)
            move[:, 2] += sway
            photo = cv2.warpAffine(frozen, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
            yield (
                second,
                _bounded(photo.astype(np.float32) * 0.92 + 9 + rng.normal(0, 1.5, (height, width))[:, :, None]),
            )
