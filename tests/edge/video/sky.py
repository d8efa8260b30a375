"""Days and nights over a picture of a place: the sun's height lights it, clouds and rain come by, lamps are lit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sealwatch.base.clock import ManualClock
from sealwatch.edge.config_light import PositionSettings
from sealwatch.edge.ports import Frame, Image
from sealwatch.edge.video import sun
from sealwatch.edge.video.liveness import Doubt
from sealwatch.edge.video.sun_watch import EVERY_S, SunWatch
from tests.edge.video import clips

HERE = PositionSettings(latitude_deg=41.2, longitude_deg=123.9)
MIDNIGHT_MS = 1_718_899_200_000  # 2024-06-21 00:00 UTC+8
_SIZE = (96, 72)
_GAMMA = 2.2
Light = npt.NDArray[Any]


def place() -> Image:
    """Drawn ground under a sky, in colour."""
    grey = cv2.resize(cv2.cvtColor(clips.wall(3), cv2.COLOR_BGR2GRAY), _SIZE)
    ground: Image = cv2.merge([(grey * 0.7).astype(np.uint8), grey, (grey * 0.9).astype(np.uint8)])
    ground[: _SIZE[1] // 4] = (235, 200, 170)
    return ground


@dataclass
class Site:
    """`infrared`: at night the camera is grey and lit by its own lamp; `floodlit`: the dates (from 0) on whose nights a
    floodlight burns; `indoors`: lamps alone, at all hours."""

    scene: Image = field(default_factory=place)
    infrared: bool = True
    floodlit: tuple[int, ...] = ()
    indoors: bool = False
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def picture(self, at_ms: int) -> Image:
        """What a camera with auto-exposure sends at a moment."""
        light: Light = (self.scene.astype(np.float32) / 255) ** _GAMMA
        height_deg = sun.elevation_deg(at_ms, latitude_deg=HERE.latitude_deg, longitude_deg=HERE.longitude_deg)
        across = np.linspace(0, 1, _SIZE[0], dtype=np.float32)[None, :, None]
        night = height_deg < -4
        if self.indoors:
            light *= 0.3 + 0.7 * np.exp(-((across - 0.5) ** 2) * 6)
        elif not night:
            clouds = self.rng.uniform(0.0, 1.0)  # more of them: less shadow
            hour = at_ms / 3_600_000 % 24
            light *= 1.0 + (1 - clouds) * 0.8 * np.cos(2 * np.pi * (across - hour / 24))
        else:
            light = self._at_night(light, across, (at_ms - MIDNIGHT_MS) // 86_400_000)
        light *= 0.2 / max(1e-4, float(light.mean())) * self.rng.uniform(0.85, 1.15)
        if self.infrared and night and not self.indoors:
            light = np.repeat(light.mean(axis=2, keepdims=True), 3, axis=2)
        shown = 255 * np.clip(light, 0, 1) ** (1 / _GAMMA) + self.rng.normal(0, 2, light.shape)
        sent: Image = np.clip(shown, 0, 255).astype(np.uint8)
        return sent

    def _at_night(self, light: Light, across: Light, date: int) -> Light:
        down = np.linspace(0, 1, _SIZE[1], dtype=np.float32)[:, None, None]
        light = light * np.clip((down - 0.2) * 4, 0.02, 1)  # no light comes from the sky
        lamp: Light = 0.02 + np.exp(-((across - 0.5) ** 2 + (down - 0.6) ** 2) * 8) * self.rng.uniform(0.9, 1.1)
        if date in self.floodlit:
            lamp = 0.1 + np.exp(-((across - 0.2) ** 2 + (down - 0.7) ** 2) * 5)
        lit: Light = light * lamp
        return lit


def frame(picture: Image, clock: ManualClock) -> Frame:
    grey: Image = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return Frame(
        grey=grey, colour=lambda: picture, pts_s=0.0, captured_at_ms=clock.wall_ms(), monotonic_s=clock.monotonic_s()
    )


def live(watch: SunWatch, clock: ManualClock, site: Site, days: float, *, shift_h: float = 0.0) -> list[Doubt]:
    """Let days pass; with `shift_h` the camera shows what was there so many hours before, as a recording does."""
    told = []
    for _ in range(round(days * 86_400 / EVERY_S)):
        picture = site.picture(clock.wall_ms() - round(shift_h * 3_600_000))
        doubt = watch.look(frame(picture, clock), quiet=False, trusted=True)
        told += [doubt] if doubt is not None else []
        clock.advance(EVERY_S)
    return told
