"""The motion gate: whether something moves, and where, on a small grey picture, before anything dear is computed.

Brightness is taken as a logarithm, so that a lamp, a cloud or the camera's own exposure adds a smooth offset, which is
subtracted; a person who appears together with the light stays. Every pixel learns how restless it is and how often it
moved lately, so that noise at night and leaves raise their own threshold. What moves must be there twice in a row at
about the same place; while much of the picture is gone again in the next look, as in rain and snow, in the very same
place and larger, because drops and flakes are seen once in a place and bodies overlap themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from sealwatch.edge.ports import Image
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.pyramid import shrink

Grid = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]

LONG_SIDE_PX: Final = 160
_LOG: Final = (np.log(np.arange(256, dtype=np.float32) + 12.0) * 64.0).astype(np.float32)  # about 64 units per e-fold


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """Tuning, in units of the logarithmic picture (64 per factor e of brightness) and parts of the picture."""

    calibration_s: float = 1.0  # silent while the first background is learnt
    noise_factor: float = 4.0  # a pixel moves when it is this many times further off than it usually is
    least_change: float = 4.0  # ... and at least this far
    learn_s: float = 8.0  # time constant of the background where nothing moves
    absorb_s: float = 20.0  # something new that stays this long without a change becomes background
    stir_most: float = 2.0  # the threshold of a pixel that moves more than one look in twenty rises up to so many times
    stir_rise_s: float = 2.0  # ... and takes so long for it
    stir_fall_s: float = 40.0
    least_area: float = 0.0005  # smaller things do not count
    flicker_ratio: float = 0.012  # so much of the picture gone again each time is rain or snow
    flicker_s: float = 2.0  # time constant of what usually is gone again
    flicker_area: float = 0.0015  # smaller things do not count then: two flakes may meet by chance
    switch_ratio: float = 0.5  # more of the picture at once is a switch of the scene, not motion


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What the gate says about one picture, and why.

    `reason` is one of ``calibrating``, ``still``, ``moved``, ``not_confirmed`` (seen once only), ``scene_switched``.
    """

    moving: bool
    reason: str
    motion_ratio: float
    regions: tuple[Box, ...] = ()
    noise: float = 0.0
    changed: bool = True
    mask: Mask = field(repr=False, compare=False, default_factory=lambda: np.zeros((1, 1), np.uint8))

    def share_moving(self, box: Box) -> float:
        """Part of `box` (0 to 1) that moves."""
        height, width = self.mask.shape
        x1, y1, x2, y2 = box.pixels(width, height)
        part = self.mask[y1:y2, x1:x2]
        return float(cv2.countNonZero(part)) / part.size if part.size else 0.0


class MotionGate:
    """One camera's gate. `look` takes pictures in the order of their time."""

    def __init__(self, settings: GateSettings | None = None) -> None:
        self._set = settings or GateSettings()
        self._shape: tuple[int, ...] = ()
        self._small: Image = np.zeros((0, 0), np.uint8)
        self._background: Grid
        self._restless: Grid
        self._previous: Grid
        self._stirred: Grid  # 1 to `stir_most`
        self._away_s: Grid
        self._before: Mask
        self._raw: Mask
        self._flicker = 0.0
        self._last_s = 0.0
        self._ready_s = 0.0

    def look(self, grey: Image, now_s: float) -> GateResult:
        """Judge one picture (rows x columns, 0-255) taken at `now_s` (monotonic seconds)."""
        small = shrink(grey, LONG_SIDE_PX)
        if grey.shape != self._shape:
            self._shape = grey.shape
            self._begin(small, now_s)
            return GateResult(moving=False, reason="calibrating", motion_ratio=0.0)
        elapsed_s = min(max(now_s - self._last_s, 0.01), 2.0)
        self._last_s = now_s
        changed = not np.array_equal(small, self._small)
        self._small = small
        log: Grid = cv2.LUT(small, _LOG)
        rest = self._unlit(log)
        threshold = np.maximum(self._restless * self._set.noise_factor, self._set.least_change) * self._stirred
        distance = np.abs(rest)
        mask: Mask = cv2.compare(cv2.blur(distance, (3, 3)), threshold, cv2.CMP_GT)
        calibrating = now_s < self._ready_s
        ratio = cv2.countNonZero(mask) / mask.size
        if ratio > self._set.switch_ratio:
            self._begin(small, now_s, keep_noise=True)
            return GateResult(moving=False, reason="scene_switched", motion_ratio=ratio, changed=changed)
        self._learn(log, rest, distance, mask, elapsed_s, calibrating=calibrating)
        return self._judge(self._without_drops(mask, elapsed_s), calibrating=calibrating, changed=changed)

    @property
    def _flickers(self) -> bool:
        """Whether it rains or snows."""
        return self._flicker > self._set.flicker_ratio

    def _without_drops(self, mask: Mask, elapsed_s: float) -> Mask:
        """What moves, less what was not in its place in the look before, while much of the picture flickers."""
        lasting: Mask = cv2.bitwise_and(mask, self._raw)
        gone = (cv2.countNonZero(self._raw) - cv2.countNonZero(lasting)) / mask.size
        self._raw = mask
        self._flicker += (gone - self._flicker) * min(1.0, elapsed_s / self._set.flicker_s)
        if not self._flickers:
            return mask
        solid: Mask = cv2.medianBlur(lasting, 3)
        return solid

    def _begin(self, small: Image, now_s: float, *, keep_noise: bool = False) -> None:
        log: Grid = cv2.LUT(small, _LOG)
        self._small, self._background, self._previous = small, log.copy(), log
        if not keep_noise or self._restless.shape != log.shape:
            self._restless = np.full(log.shape, 2.0, np.float32)
            self._stirred = np.ones(log.shape, np.float32)
        self._away_s = np.zeros(log.shape, np.float32)
        self._before = self._raw = np.zeros(log.shape, np.uint8)
        self._last_s, self._ready_s = now_s, now_s + self._set.calibration_s

    def _unlit(self, log: Grid) -> Grid:
        """The difference to the background without what light alone does to it (smooth over the picture)."""
        difference = log - self._background
        height, width = difference.shape
        coarse = cv2.resize(difference, (max(3, width // 16), max(3, height // 16)), interpolation=cv2.INTER_AREA)
        smooth = cv2.medianBlur(coarse, 5)
        light: Grid = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
        self._background += light * 0.2  # follow the light at once, the things slowly
        return difference - light

    def _learn(self, log: Grid, rest: Grid, distance: Grid, mask: Mask, elapsed_s: float, *, calibrating: bool) -> None:
        rate = elapsed_s / self._set.learn_s if not calibrating else 0.3
        quiet = mask == 0
        step = rest * np.float32(min(rate, 0.5))
        self._background += np.where(quiet, step, step * np.float32(0.05))
        clipped = np.minimum(distance, self._restless * 3.0 + 1.0)
        self._restless += (clipped - self._restless) * np.float32(min(0.5, 0.04 if not calibrating else 0.2))
        fall, rise = 1.0 - elapsed_s / self._set.stir_fall_s, 1.0 + elapsed_s / self._set.stir_rise_s
        factor = np.where(quiet, np.float32(fall), np.float32(rise))
        self._stirred = np.clip(self._stirred * factor, np.float32(1.0), np.float32(self._set.stir_most))
        steady = np.abs(log - self._previous) < self._restless * 3.0 + 2.0
        self._previous = log
        self._away_s = np.where(~quiet & steady, self._away_s + np.float32(elapsed_s), np.float32(0.0))
        absorbed = self._away_s > self._set.absorb_s
        if absorbed.any():
            self._background[absorbed] += rest[absorbed]
            self._away_s[absorbed] = 0.0

    def _judge(self, mask: Mask, *, calibrating: bool, changed: bool) -> GateResult:
        noise = float(np.mean(self._restless))
        near = cv2.dilate(self._before, _NEAR)
        self._before = mask
        ratio = cv2.countNonZero(mask) / mask.size
        if calibrating:
            return GateResult(
                moving=False, reason="calibrating", motion_ratio=ratio, noise=noise, changed=changed, mask=mask
            )
        boxes, seen_once = self._boxes(mask, near)
        if not boxes:
            return GateResult(
                moving=False,
                reason="not_confirmed" if seen_once else "still",
                motion_ratio=ratio,
                noise=noise,
                changed=changed,
                mask=mask,
            )
        return GateResult(
            moving=True, reason="moved", motion_ratio=ratio, regions=boxes, noise=noise, changed=changed, mask=mask
        )

    def _boxes(self, mask: Mask, near: Mask) -> tuple[tuple[Box, ...], bool]:
        """Regions that are large enough and were about there in the picture before; whether others were not."""
        height, width = mask.shape
        if not mask.any():
            return (), False
        joined = cv2.dilate(mask, _JOIN)[::2, ::2]  # half of it is enough once it is joined, and four times faster
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            np.ascontiguousarray(joined), connectivity=4, ltype=cv2.CV_16U
        )
        least_area = self._set.flicker_area if self._flickers else self._set.least_area
        least_px = max(4.0, least_area * mask.size)
        spots = np.flatnonzero(mask)
        named = labels[spots // width // 2, spots % width // 2]
        own = np.bincount(named, minlength=count)
        confirmed = np.bincount(named[near.reshape(-1)[spots] > 0], minlength=count)
        large = own >= least_px
        large[0] = False
        there = large & (confirmed * 4 >= own)
        found = [
            Box(2 * x / width, 2 * y / height, min(1.0, 2 * (x + w) / width), min(1.0, 2 * (y + h) / height))
            for x, y, w, h in (stats[index, :4].tolist() for index in np.flatnonzero(there))
        ]
        seen_once = bool((large & ~there).any())
        return tuple(found), seen_once


_NEAR: Any = cv2.getStructuringElement(cv2.MORPH_RECT, (7, 7))  # rectangles are separable, and so cheap
_JOIN: Any = cv2.getStructuringElement(cv2.MORPH_RECT, (5, 5))
