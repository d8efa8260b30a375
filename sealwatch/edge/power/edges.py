"""Where the power changes from one level to another: the events that every rule stands on.

The median of the last few samples (`window`) is compared with that of the next few: medians ignore start-up peaks and
single bad readings, and the delay is a window. What counts as a change grows with the noise of the minute before and
with the level. A meter that is read seldom has shorter windows, down to one sample, because a pause between two trips
is no longer than that. The result does not depend on how the samples are cut into chunks, so that a live meter and a
recorded year are judged by the same code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[np.float64]

WINDOW = 5
"""Samples on each side of a change, at a meter that is read every second or two."""


class _Pace(NamedTuple):
    """How changes are looked for at a meter that is read at least every `interval_s`."""

    interval_s: float
    window: int
    spread: float
    """The deviation of a difference of two medians of a window, in deviations of one sample."""
    percentile: float
    """Of the differences of neighbours, which tells a sample's deviation: where a trip is a few samples long, half of
    all differences may be starts and stops."""
    deviation: float
    """Factor from that percentile to a deviation."""
    level_share: float
    """Motors under steady load scatter about one per cent from second to second; pumps breathe slowly by as much."""


_PACES = (
    _Pace(3.0, WINDOW, 0.76, 50.0, 1.049, 0.012),
    _Pace(6.0, 3, 0.95, 25.0, 2.219, 0.02),
    _Pace(math.inf, 1, 1.41, 25.0, 2.219, 0.03),
)
BLOCK = 60
"""Samples whose noise sets the threshold of the next block."""
MIN_EDGE_W = 350.0
"""Below this a change is a fridge or a lamp: a fifth of the smallest winch (1.5 kW) at half its load."""
_NOISE_FACTOR = 4.0  # deviations of a difference of two medians
_LOCAL_FACTOR = 2.0  # eight differences tell little: only what is clearly noise is dropped
_MAD = 1.4826 / math.sqrt(2)  # median |difference| of neighbours -> standard deviation of one sample
_GAP_INTERVALS = 6.0
_STEEP = 0.8
_THREE_PHASES = 0.2
_ONE_PHASE, _TWO_PHASES = 0.8, 0.3
_NO_PHASES = np.empty((0, 3))


@dataclass(frozen=True, slots=True)
class Edge:
    """A change of level.

    `peak_w` is the highest reading in it (a motor's start), `width_s` how long it took, `noise_w` how much readings
    scattered in the minute before, `gap` that it hides in a gap. `rough_w` is the scatter of the few readings on its
    upper side, slopes left out: an arc flickers, a motor does not. `phases_w` are the changes of the three phases,
    where the meter tells them.
    """

    t_s: float
    before_w: float
    after_w: float
    peak_w: float
    width_s: float = 0.0
    noise_w: float = 0.0
    gap: bool = False
    rough_w: float = 0.0
    phases_w: tuple[float, float, float] | None = None

    @property
    def size_w(self) -> float:
        """Signed: above zero where the power rose."""
        return self.after_w - self.before_w

    @property
    def phases(self) -> str:
        """The phases that changed: ``a``, ``bc``, ``abc`` ...; empty where the meter tells none or they are unclear."""
        if self.phases_w is None or self.size_w == 0:
            return ""
        shares = [w / self.size_w for w in self.phases_w]
        if min(shares) >= _THREE_PHASES:
            return "abc"
        if max(shares) >= _ONE_PHASE:
            return "abc"[shares.index(max(shares))]
        two = [name for name, share in zip("abc", shares, strict=True) if share >= _TWO_PHASES]
        return "".join(two) if len(two) == 2 and sum(shares) - min(shares) >= _ONE_PHASE else ""


def _roughness_w(values: list[float]) -> float:
    """Standard deviation of one reading from the second differences of a few, which a steady slope does not touch."""
    if len(values) < WINDOW:
        return 0.0
    bends = [abs(a - 2 * b + c) for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    return 1.4826 / math.sqrt(6) * sorted(bends)[len(bends) // 2]


def _changes(before_w: Array, after_w: Array) -> tuple[float, float, float] | None:
    """From the median of each phase to that of the next window; None where one is not known."""
    if not (np.isfinite(before_w).all() and np.isfinite(after_w).all()):
        return None
    one, two, three = (np.median(after_w, axis=0) - np.median(before_w, axis=0)).tolist()
    return one, two, three


class EdgeFinder:
    """Feeds on samples in order of time, gives edges. `interval_s` is the meter's usual spacing."""

    def __init__(self, interval_s: float = 1.0) -> None:
        self._gap_s = max(10.0, _GAP_INTERVALS * interval_s)
        self._pace = next(pace for pace in _PACES if interval_s <= pace.interval_s)
        self._window = self._pace.window
        self._t: Array = np.empty(0)
        self._p: Array = np.empty(0)
        self._phases: Array = _NO_PHASES
        self._index = 0  # number of samples before the buffer, for the blocks of the noise
        self._done = 0  # positions in the buffer whose difference has been judged
        self._noise_w: dict[int, float] = {}
        self._level_before_gap_w: float | None = None

    @property
    def horizon_s(self) -> float:
        """Until when every edge has been given out; -inf before the first samples."""
        return float(self._t[self._done - 1]) if self._done else -math.inf

    def feed(self, t_s: Array, power_w: Array, phases_w: Array | None = None) -> list[Edge]:
        """Edges completed by these samples (seconds, watts; finite numbers, time going up). `phases_w`: n x 3, NaN
        where a phase is not known."""
        edges: list[Edge] = []
        if not len(t_s):
            return edges
        if phases_w is None:
            phases_w = np.full((len(t_s), 3), np.nan)
        last_s = self._t[-1] if len(self._t) else t_s[0]
        breaks = np.flatnonzero(np.diff(t_s, prepend=last_s) > self._gap_s)
        for start, stop in zip((0, *breaks), (*breaks, len(t_s)), strict=True):
            if start in breaks:
                self._break()
            if stop > start:
                edges += self._feed_run(t_s[start:stop], power_w[start:stop], phases_w[start:stop])
        return edges

    def _break(self) -> None:
        """A gap: levels cannot be followed through it."""
        if len(self._p):
            self._level_before_gap_w = float(np.median(self._p[-self._window :]))
        self._t, self._p, self._phases = np.empty(0), np.empty(0), _NO_PHASES
        self._index, self._done = 0, 0
        self._noise_w.clear()

    def _feed_run(self, t_s: Array, power_w: Array, phases_w: Array) -> list[Edge]:
        window = self._window
        self._t = np.concatenate((self._t, t_s))
        self._p = np.concatenate((self._p, power_w))
        self._phases = np.concatenate((self._phases, phases_w))
        self._learn_noise()
        edges = self._across_gap()
        n = len(self._p)
        if n < 2 * window:
            return edges
        medians = np.sort(sliding_window_view(self._p, window), axis=1)[:, window // 2]
        # change[k]: from the window before position k + window to the window that begins there.
        change = medians[window:] - medians[:-window]
        over = np.abs(change) > self._thresholds(medians)
        sign = np.where(over, np.sign(change), 0.0)
        first = max(self._done - window, 0)
        bounds = np.flatnonzero(np.diff(sign[first:], prepend=0.0)) + first
        open_from = len(sign)
        for k, start in enumerate(bounds):
            if sign[start] == 0:
                continue
            if k + 1 >= len(bounds):
                open_from = int(start)  # the change may go on in the next chunk
                break
            edge = self._edge(medians, int(start), int(bounds[k + 1]) - 1)
            if edge is not None:
                edges.append(edge)
        self._done = open_from + window
        self._trim()
        return edges

    def _edge(self, medians: Array, start: int, stop: int) -> Edge | None:
        """The edge of one run of changes [start, stop] of one direction; None where it drowns in the noise around."""
        window = self._window
        before_w, after_w = float(medians[start]), float(medians[stop + window])
        # Where it changes most: a load that fades before it is switched off would else seem to end too early.
        moved = np.abs(medians[start + window : stop + 1 + window] - medians[start : stop + 1])
        steep = np.flatnonzero(moved >= _STEEP * moved.max())
        middle = start + (int(steep[0]) + int(steep[-1])) // 2 + window
        around = self._p[start : stop + 2 * window]
        values = around.tolist()
        pairs = [
            *pairwise(values[:window]),
            *pairwise(values[-window:]),
        ]
        calm_w = sorted(abs(b - a) for a, b in pairs)[window - 1] if pairs else 0.0
        if abs(after_w - before_w) < _LOCAL_FACTOR * _MAD * calm_w:
            return None
        width_s = 0.0  # a meter that is read seldom shows no slopes
        if window == WINDOW:
            width_s = float(self._t[stop + window] - self._t[start + window]) * max(0, stop - start + 1 - window)
            width_s /= max(1, stop - start)  # an instant change is seen by `window` medians in a row
        block = (self._index + middle) // BLOCK - 1
        peak_w = float(around[max(0, window - 2) : len(around) - window + 2].max())
        upper = values[-window:] if after_w > before_w else self._p[max(0, middle - window - 1) : middle - 1].tolist()
        return Edge(
            float(self._t[middle]),
            before_w,
            after_w,
            peak_w,
            width_s,
            self._noise_w.get(block, 0.0),
            rough_w=_roughness_w(upper),
            phases_w=_changes(self._phases[start : start + window], self._phases[stop + window : stop + 2 * window]),
        )

    def _across_gap(self) -> list[Edge]:
        if self._level_before_gap_w is None or len(self._p) < self._window:
            return []
        before_w, self._level_before_gap_w = self._level_before_gap_w, None
        after_w = float(np.median(self._p[: self._window]))
        if abs(after_w - before_w) < max(MIN_EDGE_W, self._pace.level_share * max(abs(before_w), abs(after_w))):
            return []
        return [Edge(float(self._t[0]), before_w, after_w, after_w, gap=True)]

    def _learn_noise(self) -> None:
        """Noise of every block that has just become complete."""
        first = -(-self._index // BLOCK)
        last = (self._index + len(self._p)) // BLOCK
        while first < last and first in self._noise_w:
            first += 1
        if first >= last:
            return
        start = first * BLOCK - self._index
        blocks = self._p[start : start + (last - first) * BLOCK].reshape(-1, BLOCK)
        noise = self._pace.deviation * np.percentile(np.abs(np.diff(blocks, axis=1)), self._pace.percentile, axis=1)
        self._noise_w |= zip(range(first, last), noise.tolist(), strict=True)

    def _thresholds(self, medians: Array) -> Array:
        """What each change must exceed."""
        count = len(medians) - self._window
        levels = np.maximum(np.abs(medians[:count]), np.abs(medians[self._window :]))
        blocks = (np.arange(count) + self._index + self._window) // BLOCK - 1
        low, high = int(blocks[0]), int(blocks[-1])
        table = np.array([self._noise_w.get(b, 0.0) for b in range(low, high + 1)])
        noise = table[blocks - low]
        return np.maximum(
            np.maximum(MIN_EDGE_W, self._pace.level_share * levels), _NOISE_FACTOR * self._pace.spread * noise
        )

    def _trim(self) -> None:
        """Forget what no later edge needs; whole blocks, so that their noise is learnt from all their samples."""
        keep_from = max(0, self._done - 3 * self._window)
        keep_from -= (self._index + keep_from) % BLOCK
        if keep_from <= 0:
            return
        self._t, self._p = self._t[keep_from:], self._p[keep_from:]
        self._phases = self._phases[keep_from:]
        self._index += keep_from
        self._done -= keep_from
        oldest = self._index // BLOCK - 1
        self._noise_w = {b: w for b, w in self._noise_w.items() if b >= oldest}
