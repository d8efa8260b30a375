"""The telemetry store inside one process: the twin that tests and short runs use."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from sealwatch.cloud.ports import Series
from sealwatch.cloud.telemetry import columns
from sealwatch.cloud.telemetry.thinning import thin

_Key = tuple[str, str, str, str]  # site_id, source_id, metric, node_id


class MemoryTelemetry:
    """Keeps every point in a dictionary; nothing survives the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._points: dict[_Key, dict[int, float | None]] = {}

    def write(
        self,
        *,
        site_id: str,
        node_id: str,
        source_id: str,
        at_ms: Sequence[int],
        values: Mapping[str, Sequence[float | None]],
    ) -> None:
        """Store columns of measurements. Raises ValueError where a column and its times differ in length."""
        self.write_blocks(
            [columns.Columns(site_id=site_id, node_id=node_id, source_id=source_id, at_ms=at_ms, values=values)]
        )

    def write_blocks(self, blocks: Sequence[columns.Columns]) -> None:
        """Store many blocks at once. Raises ValueError where a column and its times differ in length."""
        for block in blocks:
            columns.check(block.at_ms, block.values)
        with self._lock:
            for block in blocks:
                self._keep(block)

    def _keep(self, block: columns.Columns) -> None:
        for metric, column in block.values.items():
            series = self._points.setdefault((block.site_id, block.source_id, metric, block.node_id), {})
            for moment, raw in zip(block.at_ms, column, strict=True):
                value = columns.finite(raw)
                if value is not None or moment not in series:
                    series[moment] = value

    def read(
        self,
        *,
        site_id: str,
        metric: str,
        from_ms: int,
        to_ms: int,
        source_id: str | None = None,
        max_points: int = 600,
    ) -> dict[str, Series]:
        """Series by source_id with points in ``[from_ms, to_ms]``, thinned; sources without any are left out."""
        by_source: dict[str, list[tuple[int, float | None]]] = {}
        with self._lock:
            for (site, source, name, _node), points in sorted(self._points.items()):
                if (site, name) == (site_id, metric) and source_id in {None, source}:
                    inside = [(at, value) for at, value in points.items() if from_ms <= at <= to_ms]
                    by_source.setdefault(source, []).extend(inside)
        found = {}
        for source, points_ in by_source.items():
            points_.sort(key=lambda point: point[0])
            kept = thin(points_, from_ms=from_ms, to_ms=to_ms, max_points=max_points)
            if kept:
                found[source] = Series(metric=metric, at_ms=[p[0] for p in kept], values=[p[1] for p in kept])
        return found

    def close(self) -> None:
        """Nothing to release."""
