"""What every telemetry store asks of the columns it is given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sealwatch.cloud.ports import Columns

__all__ = ["Columns", "check", "finite"]


def check(at_ms: Sequence[int], values: Mapping[str, Sequence[float | None]]) -> None:
    """Raises ValueError where a column is not as long as its times."""
    for metric, column in values.items():
        if len(column) != len(at_ms):
            raise ValueError(f"{metric}: {len(column)} values for {len(at_ms)} times; each time wants one value")


def finite(value: float | None) -> float | None:
    """The value, or a gap for what is no number: NaN and infinity are a broken reading, not a measurement."""
    return value if value is None or math.isfinite(value) else None
