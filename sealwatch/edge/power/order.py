"""Which rows of a recording stay where its clock jumped or its rows are in no order."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from sealwatch.edge.power.edges import Array

MIXED = 0.1
"""From this share of rows out of order on, the rows were never in order of time and are sorted."""


def ascending(t_s: Array, after_s: float) -> NDArray[np.int64]:
    """Places of rows whose times rise strictly from `after_s` on.

    A few rows out of order are a clock that jumped, forwards or back: the fewest rows that put the rest in order go.
    """
    later = np.flatnonzero(t_s > after_s)
    times = t_s[later]
    if len(times) < 2 or (np.diff(times) > 0).all():
        return later
    kept = _longest_rise(times)
    if len(kept) >= (1 - MIXED) * len(np.unique(times)):
        return later[kept]
    _, firsts = np.unique(times, return_index=True)
    return later[firsts]


def _longest_rise(times: Array) -> NDArray[np.int64]:
    """Places of the longest strictly rising subsequence (patience sorting)."""
    tails: list[float] = []
    places: list[int] = []
    before = np.full(len(times), -1, dtype=np.int64)
    for k, value in enumerate(times.tolist()):
        at = bisect_left(tails, value)
        if at < len(tails) and tails[at] == value:
            continue  # of two rows with one time the first stays
        before[k] = places[at - 1] if at else -1
        if at == len(tails):
            tails.append(value)
            places.append(k)
        else:
            tails[at], places[at] = value, k
    kept, k = [], places[-1]
    while k >= 0:
        kept.append(k)
        k = int(before[k])
    return np.array(kept[::-1], dtype=np.int64)
