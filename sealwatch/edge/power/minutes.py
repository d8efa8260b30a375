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
    """Collects samples; gives a minute once a later one has begun."""

    def __init__(self) -> None:
        self._t: Array = np.empty(0)
        self._p: Array = np.empty(0)

    def feed(self, t_s: Array, power_w: Array) -> list[Minute]:
        """Minutes completed by these samples, in order."""
        if not len(t_s):
            return []
        t = np.concatenate((self._t, t_s))
        p = np.concatenate((self._p, power_w))
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
