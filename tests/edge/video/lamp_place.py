"""A place with a lamp, lit honestly: light adds up before the sensor's curve, exposure follows, noise comes last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from sealwatch.base.clock import ManualClock
from sealwatch.edge.ports import Frame, Image
from sealwatch.edge.video.challenger import Challenger
from sealwatch.edge.video.liveness import Doubt
from tests.edge.video import clips

_GAMMA = 2.2
FPS = 5


@dataclass
class TwinLamp:
    """The lamp's twin: remembers when it was lit."""

    clock: ManualClock
    lit_s: list[tuple[float, float]] = field(default_factory=list)
    refuses: bool = False
    busy: bool = False

    def light(self, seconds: float) -> bool:
        if not self.refuses:
            now_s = self.clock.monotonic_s()
            self.lit_s.append((now_s, now_s + seconds))
        return not self.refuses

    def lit(self) -> bool:
        return self.busy or self.shone(self.clock.monotonic_s())

    def shone(self, at_s: float) -> bool:
        return any(begin_s <= at_s < end_s for begin_s, end_s in self.lit_s)


@dataclass
class Place:
    """`strength`: the lamp's light at the middle of its spot, in parts of what else is there; `exposure_s`: how fast
    the camera's exposure follows (0: not at all)."""

    clock: ManualClock
    lamp: TwinLamp
    scene: Callable[[float], Image]
    strength: float = 0.5
    spot: tuple[float, float, float] = (0.6, 0.65, 0.25)
    delay_s: float = 0.7
    exposure_s: float = 1.5
    noise: float = 2.0
    flood: float = 0.0
    """A floodlight at the left that adds so many times the light that is there, least at the right."""
    _gain: float = 1.0
    _rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def picture(self) -> Image:
        """What the camera sends at this moment."""
        scene = self.scene(self.clock.monotonic_s())
        light = (scene.astype(np.float32) / 255.0) ** _GAMMA
        light *= 1.0 + self.flood * np.linspace(1.0, 0.3, scene.shape[1], dtype=np.float32)
        if self.lamp.shone(self.clock.monotonic_s() - self.delay_s):
            height, width = scene.shape[:2]
            ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
            x, y, radius = self.spot
            fall = 1.0 / (1.0 + (((xs / width - x) / radius) ** 2 + ((ys / height - y) / radius) ** 2) ** 2)
            light += (scene.astype(np.float32) / 255.0) ** _GAMMA * self.strength * fall
        if self.exposure_s:
            target = 0.2 / max(1e-3, float(light.mean()))
            self._gain += (target - self._gain) * min(1.0, 1.0 / FPS / self.exposure_s)
        shown = 255.0 * np.clip(light * self._gain, 0.0, 1.0) ** (1 / _GAMMA)
        shown += self._rng.normal(0.0, self.noise, shown.shape)
        sent: Image = np.clip(shown, 0, 255).astype(np.uint8)
        return sent


def still(picture: Image) -> Callable[[float], Image]:
    """A scene in which nothing happens; grey."""
    grey: Image = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if picture.ndim == 3 else picture
    return lambda _at_s: grey


def frame(grey: Image, clock: ManualClock) -> Frame:
    made = clips.frame_of(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), clock.monotonic_s())
    return Frame(
        grey=grey,
        colour=made.colour,
        pts_s=clock.monotonic_s(),
        captured_at_ms=clock.wall_ms(),
        monotonic_s=clock.monotonic_s(),
    )


def watch(challenger: Challenger, clock: ManualClock, sent: Callable[[], Image], seconds: float) -> list[Doubt]:
    """Show pictures for so long; the doubts that were told. While it rests, key frames alone come, as in life."""
    told: list[Doubt] = []
    end_s = clock.monotonic_s() + seconds
    while clock.monotonic_s() < end_s:
        doubt = challenger.look(frame(sent(), clock), quiet=True)
        if doubt is not None:
            told.append(doubt)
        clock.advance(1 / FPS if challenger.wants_all else 4.0)
    return told
