"""The last half hour of what the meters said, so that a clip carries the power of the same seconds."""

from __future__ import annotations

import csv
import io
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

KEEP_MS: Final = 30 * 60 * 1000
COLUMN: Final = "active_power_w"


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading."""

    at_ms: int
    source_id: str
    active_power_w: float | None


class PowerSeries:
    """Keeps readings as they pass by. Callable from any thread."""

    def __init__(self, *, keep_ms: int = KEEP_MS) -> None:
        self._keep_ms = keep_ms
        self._samples: deque[Sample] = deque()
        self._lock = threading.Lock()

    def samples(self, source_id: str, at_ms: Sequence[int], values: Mapping[str, Sequence[float | None]]) -> None:
        """Take measurements, as `Sink.samples` gets them; those without power are not kept."""
        column = values.get(COLUMN)
        if column is None or len(column) != len(at_ms):
            return
        with self._lock:
            self._samples.extend(Sample(at, source_id, watt) for at, watt in zip(at_ms, column, strict=True))
            newest = self._samples[-1].at_ms if self._samples else 0
            while self._samples and not 0 <= newest - self._samples[0].at_ms <= self._keep_ms:
                self._samples.popleft()  # too old, or from before the clock was set back

    def between(self, from_ms: int, to_ms: int) -> list[Sample]:
        """Readings in a window, oldest first."""
        with self._lock:
            return sorted(
                (s for s in self._samples if from_ms <= s.at_ms <= to_ms), key=lambda s: (s.at_ms, s.source_id)
            )


def as_csv(samples: Sequence[Sample]) -> bytes:
    """Second by second: ``at_ms,source_id,active_power_w``; an empty field is a reading that failed."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["at_ms", "source_id", COLUMN])
    writer.writerows(
        (s.at_ms, s.source_id, "" if s.active_power_w is None else f"{s.active_power_w:.1f}") for s in samples
    )
    return out.getvalue().encode()
