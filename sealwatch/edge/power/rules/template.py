"""Similarity of a stop-period day to a stored production day: the same shape by night and day gives work away.

Both are 24 hourly means (W). Level does not count, shape does: the correlation of what stands above each day's lowest
hour. A flat day has no shape and is like nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ALIKE = 0.85
"""Correlation from which on days are called alike."""
LEAST_SWING_W = 1500.0
"""The least difference between a day's hours that is a shape at all: the smallest winches."""


def similarity(day_w: Sequence[float], production_w: Sequence[float]) -> float:
    """From 0 (nothing in common) to 1 (the same shape). Raises ValueError unless both have 24 hours."""
    day, production = np.asarray(day_w, dtype=float), np.asarray(production_w, dtype=float)
    if day.shape != (24,) or production.shape != (24,):
        raise ValueError("a day is 24 hourly means")
    if np.ptp(day) < LEAST_SWING_W or np.ptp(production) < LEAST_SWING_W:
        return 0.0
    return float(max(0.0, np.corrcoef(day, production)[0, 1]))


def alike(day_w: Sequence[float], production_w: Sequence[float]) -> bool:
    """Whether a day has the shape of production."""
    return similarity(day_w, production_w) >= ALIKE
