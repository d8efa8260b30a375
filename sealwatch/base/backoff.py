"""Capped exponential backoff with full jitter."""

from __future__ import annotations

import random
from collections.abc import Callable


def full_jitter_s(
    attempt: int, *, base_s: float = 1.0, cap_s: float = 60.0, uniform: Callable[[float, float], float] | None = None
) -> float:
    """Seconds to wait before retry number `attempt` (from 0): uniform in (0, min(cap, base * 2**attempt)].

    The lower end is a tenth of the window, so that a retry never follows at once.
    """
    window_s = min(cap_s, base_s * 2.0 ** min(attempt, 32))
    pick = uniform or random.uniform
    return pick(window_s * 0.1, window_s)
