"""What came in and what became of it: running totals since the start of this process."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any


class IngestCounters:
    """Safe for any number of threads. Once nothing is under way::

    received = stored + duplicate + quarantined
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: Counter[str] = Counter()
        self._stored: Counter[str] = Counter()
        self._duplicate: Counter[str] = Counter()
        self._quarantined: Counter[str] = Counter()
        self._retried: Counter[str] = Counter()

    def add_received(self, channels: Counter[str]) -> None:
        """Messages were taken into a lane: how many by channel."""
        with self._lock:
            self._received.update(channels)

    def add_settled(self, *, stored: Counter[str], duplicate: Counter[str], quarantined: Counter[str]) -> None:
        """Messages were committed: by channel, the quarantined ones by reason."""
        with self._lock:
            self._stored.update(stored)
            self._duplicate.update(duplicate)
            self._quarantined.update(quarantined)

    def add_retried(self, lane: str) -> None:
        """A batch of this lane could not be stored and is tried again."""
        with self._lock:
            self._retried[lane] += 1

    def as_dict(self) -> dict[str, Any]:
        """Totals, and each of them by channel, reason or lane, as plain JSON values."""
        with self._lock:
            return {
                "received": self._received.total(),
                "stored": self._stored.total(),
                "duplicate": self._duplicate.total(),
                "quarantined": self._quarantined.total(),
                "retried_batches": self._retried.total(),
                "received_by_channel": dict(self._received),
                "stored_by_channel": dict(self._stored),
                "duplicate_by_channel": dict(self._duplicate),
                "quarantined_by_reason": dict(self._quarantined),
                "retried_batches_by_lane": dict(self._retried),
            }

    def flat(self) -> dict[str, int]:
        """The same under one flat name each (``stored``, ``stored_alarm`` …), as metrics want it."""
        totals: dict[str, int] = {}
        for name, value in self.as_dict().items():
            if isinstance(value, dict):
                prefix = name.partition("_by_")[0]
                totals |= {f"{prefix}_{key}": count for key, count in value.items()}
            else:
                totals[name] = value
        return totals
