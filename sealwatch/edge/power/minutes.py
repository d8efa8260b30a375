"""Power minute by minute: what rules about minutes and hours stand on, and what is sent to the service."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sealwatch.edge.power.edges import Array

MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Minute:
    """All samples of one minute of the given time axis; `count` tells how many there were."""

    start_s: float
    mean_w: float
    min_w: float
    max_w: float
    count: int


class Minutes:
    """Collects samples; gives a minute once a later one has begun.

    A meter that is read less often than once a minute stands for the minutes until its next reading.
    """

    def __init__(self, interval_s: float = 1.0) -> None:
        self._t: Array = np.empty(0)
        self._p: Array = np.empty(0)
        self._hold = round(interval_s / MINUTE_S)
        self._longest = 2 * self._hold

    def feed(self, t_s: Array, power_w: Array) -> list[Minute]:
        """Minutes completed by these samples, in order."""
        if not len(t_s):
            return []
        t = np.concatenate((self._t, t_s))
        p = np.concatenate((self._p, power_w))
        if self._hold > 1:
            return self._held(t, p)
        index = (t // MINUTE_S).astype(np.int64)
        starts = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
        last = int(starts[-1])
        self._t, self._p = t[last:], p[last:]
        if len(starts) < 2:
            return []
        done = starts[:-1]
        counts = np.diff(starts)
        sums = np.add.reduceat(p[:last], done)
        lows, highs = np.minimum.reduceat(p[:last], done), np.maximum.reduceat(p[:last], done)
        rows = zip(
            (index[done] * MINUTE_S).tolist(),
            (sums / counts).tolist(),
            lows.tolist(),
            highs.tolist(),
            counts.tolist(),
            strict=True,
        )
        return [Minute(float(a), b, c, d, e) for a, b, c, d, e in rows]

    def _held(self, t_s: Array, power_w: Array) -> list[Minute]:
        """Minutes between readings that are further apart than a minute; a gap is not bridged."""
        self._t, self._p = t_s[-1:], power_w[-1:]
        found = []
        for start_s, end_s, value_w in zip(t_s[:-1].tolist(), t_s[1:].tolist(), power_w[:-1].tolist(), strict=True):
            first, last = int(start_s // MINUTE_S), int(end_s // MINUTE_S)
            stop = last if last - first <= self._longest else first + self._hold
            found += [Minute(float(k * MINUTE_S), value_w, value_w, value_w, 1) for k in range(first, stop)]
        return found
