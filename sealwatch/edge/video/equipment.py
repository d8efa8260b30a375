"""Whether a winch drum, head sheave, rope or belt runs, told from the picture of its region alone.

The region is divided into cells. A cell works when it differs from the look before by clearly more than its own usual
noise; the machine runs when enough cells work for long enough. Where the brightness comes round, its period is given.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sealwatch.contract.codes import Phase
from sealwatch.edge.config import RegionSettings
from sealwatch.edge.ports import Image
from sealwatch.edge.video import delays
from sealwatch.edge.video.delays import Delayed
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.pyramid import halve_below

Grid = npt.NDArray[np.float32]

_CELLS: Final = 4  # across and down
_SHARE: Final = 0.3  # of the cells
_FACTOR: Final = 2.5  # times the usual noise
_LEAST: Final = 1.5  # grey levels
_ON_DELAY_S: Final = 2.0
_OFF_DELAY_S: Final = 4.0
_LONG_SIDE_PX: Final = 128
_SIGNAL_LOOKS: Final = 128
_PERIODIC: Final = 0.6  # correlation of the signal with itself one period later


@dataclass(frozen=True, slots=True)
class EquipmentChange:
    """It starts to run, or has stopped. `period_s` is 0 where no period shows."""

    phase: Phase
    share: float
    period_s: float
    since_ms: int


class EquipmentWatch:
    """One region. `look` takes pictures in the order of their time."""

    def __init__(self, settings: RegionSettings) -> None:
        self.settings, self.name = settings, settings.name
        xs, ys = [x for x, _ in settings.polygon], [y for _, y in settings.polygon]
        self._box = Box(min(xs), min(ys), max(xs), max(ys))
        self._before: Grid | None = None
        self._noise = np.full((_CELLS, _CELLS), 1.0, np.float32)
        self._state = Delayed()
        self._signal: deque[tuple[float, float]] = deque(maxlen=_SIGNAL_LOOKS)

    @property
    def running(self) -> bool:
        """Whether its alarm stands."""
        return self._state.standing

    @property
    def since_ms(self) -> int:
        """Since when it runs."""
        return self._state.since_ms

    def look(self, grey: Image, *, now_s: float, now_ms: int) -> EquipmentChange | None:
        """Judge one picture."""
        x1, y1, x2, y2 = self._box.pixels(grey.shape[1], grey.shape[0])
        part = halve_below(grey[y1:y2, x1:x2], _LONG_SIDE_PX).astype(np.float32)
        if min(part.shape) < 2 * _CELLS:
            return None  # too small to see anything in
        high, wide = part.shape[0] // _CELLS, part.shape[1] // _CELLS
        part = part[: high * _CELLS, : wide * _CELLS]
        before, self._before = self._before, part
        self._signal.append((now_s, float(part[high : 3 * high, wide : 3 * wide].mean())))
        if before is None or before.shape != part.shape:
            return None
        share = self._share(part - before, high, wide)
        self._state, phase = delays.step(
            self._state, share >= _SHARE, on_delay_s=_ON_DELAY_S, off_delay_s=_OFF_DELAY_S, now_s=now_s, now_ms=now_ms
        )
        if phase is None:
            return None
        return EquipmentChange(phase, round(share, 3), period_s(list(self._signal)), self._state.since_ms)

    def _share(self, difference: Grid, high: int, wide: int) -> float:
        """Part of the cells that work; light alone moves all pixels by the same and is taken out."""
        change = np.abs(difference - np.median(difference))
        energy = change.reshape(_CELLS, high, _CELLS, wide).mean(axis=(1, 3))
        works = energy > np.maximum(_LEAST, _FACTOR * self._noise)
        rate = np.where(energy < self._noise, 0.3, np.where(works, 0.0, 0.02))
        self._noise += (rate * (energy - self._noise)).astype(np.float32)
        return float(np.count_nonzero(works)) / (_CELLS * _CELLS)


def period_s(signal: list[tuple[float, float]]) -> float:
    """The shortest period (seconds) of evenly taken (second, value) pairs; 0 where there is none."""
    if len(signal) < 24:
        return 0.0
    step_s = (signal[-1][0] - signal[0][0]) / (len(signal) - 1)
    values = np.array([value for _, value in signal]) - np.mean([value for _, value in signal])
    if step_s <= 0 or float(values.std()) < 0.5:
        return 0.0
    likeness: list[float] = [
        float(np.corrcoef(values[:-lag], values[lag:])[0, 1])
        if values[:-lag].std() > 0 and values[lag:].std() > 0
        else 0.0
        for lag in range(2, len(values) // 2)
    ]
    for index in range(1, len(likeness) - 1):
        here = likeness[index]
        if here >= _PERIODIC and here >= likeness[index - 1] and here >= likeness[index + 1]:
            return round((index + 2) * step_s, 2)
    return 0.0
