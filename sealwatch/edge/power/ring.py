"""The last seven days of raw readings on the node's own disk: one small file per meter and day.

A record is 20 bytes: Unix milliseconds (int64), total active power and that of the phases (float32, W; NaN where the
meter gives none), little endian: 1.7 MB a day at one reading a second. A record torn by a power cut is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

DAYS = 7
RECORD = np.dtype([("at_ms", "<i8"), ("active_power_w", "<f4"), ("a_w", "<f4"), ("b_w", "<f4"), ("c_w", "<f4")])
_COLUMNS = ("active_power_w", "active_power_a_w", "active_power_b_w", "active_power_c_w")
_DAY_MS = 86_400_000
_NAME = re.compile(r"^(.+)-(\d+)\.raw$")


class RawRing:
    """Raw readings of one meter below `folder`. One thread writes; reading is possible from any."""

    def __init__(self, folder: Path, meter_id: str, *, days: int = DAYS) -> None:
        self._folder, self._meter_id, self._days = folder, meter_id, days
        folder.mkdir(parents=True, exist_ok=True)
        self._today: int | None = None

    def append(self, at_ms: Sequence[int], values: Sequence[Mapping[str, float]]) -> None:
        """Add readings in order of time; days that are too old are deleted. Raises OSError when the disk is full."""
        if not at_ms:
            return
        records = np.empty(len(at_ms), RECORD)
        records["at_ms"] = at_ms
        for name, column in zip(RECORD.names[1:] if RECORD.names else (), _COLUMNS, strict=True):
            records[name] = [reading.get(column, np.nan) for reading in values]
        days = records["at_ms"] // _DAY_MS
        for day in np.unique(days).tolist():
            with self._path(day).open("ab") as file:
                torn = file.tell() % RECORD.itemsize
                if torn:
                    file.truncate(file.tell() - torn)
                file.write(records[days == day].tobytes())
            if day != self._today:
                self._today = day
                self._forget(day)

    def read(self, from_ms: int, to_ms: int) -> npt.NDArray[np.void]:
        """Records with from_ms <= at_ms < to_ms, in the order in which they were written."""
        parts = [np.empty(0, RECORD)]
        for day in range(from_ms // _DAY_MS, to_ms // _DAY_MS + 1):
            path = self._path(day)
            if path.exists():
                data = path.read_bytes()
                records = np.frombuffer(data[: len(data) - len(data) % RECORD.itemsize], RECORD)
                parts.append(records[(records["at_ms"] >= from_ms) & (records["at_ms"] < to_ms)])
        return np.concatenate(parts)

    def _path(self, day: int) -> Path:
        return self._folder / f"{self._meter_id}-{day}.raw"

    def _forget(self, today: int) -> None:
        for path in self._folder.iterdir():
            match = _NAME.match(path.name)
            if match and match[1] == self._meter_id and int(match[2]) <= today - self._days:
                path.unlink(missing_ok=True)
