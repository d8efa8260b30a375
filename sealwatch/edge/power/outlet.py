"""What of a meter's readings goes to the service: every second, or minutes and the seconds around an alarm."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sealwatch.edge.ports import Sink
from sealwatch.edge.power.ring import RawRing

BATCH_S = 5.0
"""Samples leave in batches of about this length."""
BEFORE_S, AFTER_S = 120.0, 60.0
"""Raw seconds that go with an alarm."""
_log = logging.getLogger(__name__)

Row = tuple[float, int, Mapping[str, float]]


class Outlet:
    """Takes every reading of one meter; the ring on the disk gets all of them."""

    def __init__(self, sink: Sink, source_id: str, *, per_minute: bool = False, ring: RawRing | None = None) -> None:
        self._sink, self._source_id, self._per_minute, self._ring = sink, source_id, per_minute, ring
        self._rows: list[Row] = []
        self._minute: list[Row] = []
        self._recent: deque[Row] = deque()
        self._raw_from_ms = self._raw_until_ms = 0
        self._raw_sent_ms = -1
        self._ring_ok = True

    def take(self, now_s: float, now_ms: int, values: Mapping[str, float]) -> None:
        """One reading."""
        row = (now_s, now_ms, values)
        if self._per_minute:
            if self._minute and now_ms // 60_000 != self._minute[0][1] // 60_000:
                self._send_minute()
            self._minute.append(row)
            self._recent.append(row)
            while now_s - self._recent[0][0] > BEFORE_S:
                self._recent.popleft()
        self._rows.append(row)
        if now_s - self._rows[0][0] >= BATCH_S:
            self.flush()

    def alarm(self, now_ms: int) -> None:
        """Something began: what led to it and what follows, up to a full minute, is sent second by second."""
        if not self._per_minute:
            return
        if now_ms >= self._raw_until_ms:
            self._raw_from_ms = self._recent[0][1] if self._recent else now_ms
        self._send([row for row in self._recent if row[1] > self._raw_sent_ms])
        self._raw_until_ms = (now_ms + round(AFTER_S * 1000)) // 60_000 * 60_000 + 60_000

    def flush(self) -> None:
        """Send and keep what is waiting."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        if self._ring is not None:
            self._keep(self._ring, rows)
        if not self._per_minute:
            self._send(rows)
        else:
            self._send([row for row in rows if self._raw_sent_ms < row[1] < self._raw_until_ms])

    def kept(self, from_ms: int, to_ms: int) -> npt.NDArray[np.void] | None:
        """Raw readings of a span, the latest included; None where the node keeps none or its disk can't be read."""
        if self._ring is None:
            return None
        self.flush()
        try:
            return self._ring.read(from_ms, to_ms)
        except OSError as error:
            _log.warning("raw readings of %s cannot be read: %s", self._source_id, error)
            return None

    def close(self) -> None:
        """Send everything, the running minute included."""
        self.flush()
        if self._minute:
            self._send_minute()

    def _keep(self, ring: RawRing, rows: list[Row]) -> None:
        try:
            ring.append([row[1] for row in rows], [row[2] for row in rows])
        except OSError as error:
            if self._ring_ok:
                _log.warning("raw readings of %s cannot be kept: %s", self._source_id, error)
            self._ring_ok = False
        else:
            self._ring_ok = True

    def _send(self, rows: list[Row]) -> None:
        if not rows:
            return
        names = sorted({name for _, _, values in rows for name in values})
        columns = {name: [values.get(name) for _, _, values in rows] for name in names}
        self._raw_sent_ms = rows[-1][1]
        self._sink.samples(self._source_id, [row[1] for row in rows], columns)

    def _send_minute(self) -> None:
        rows, self._minute = self._minute, []
        columns: dict[str, list[float | None]] = {}
        for name in sorted({name for _, _, values in rows for name in values}):
            found = [values[name] for _, _, values in rows if name in values]
            columns[name] = [sum(found) / len(found)]
        if rows[0][1] >= self._raw_from_ms and rows[-1][1] < self._raw_until_ms:
            columns.clear()  # its seconds were sent: a mean among them would be drawn as a spike
        powers = [values["active_power_w"] for _, _, values in rows]
        columns |= {
            "active_power_min_w": [min(powers)],
            "active_power_max_w": [max(powers)],
            "readings": [float(len(rows))],
        }
        # At the moment of its first reading: should an alarm send that minute's seconds later, the mean is replaced.
        self._sink.samples(self._source_id, [rows[0][1]], columns)
