"""VictoriaMetrics as the telemetry store: the same line protocol in, its own query API out.

A field becomes a metric named ``<measurement>_<field>``: ``samples_active_power_w``, ``hours_max_active_power_w``.
Start it with ``-retentionPeriod`` as long as roll-ups shall live and ``-dedup.minScrapeInterval=1ms``, so that a point
sent twice counts once. Which of two different values for the same moment it keeps is its own choice (`corrects` is
False); there is one retention for everything, and roll-ups are made by `sealwatch telemetry retention`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sealwatch.base.clock import Clock, SystemClock
from sealwatch.cloud.ports import Series
from sealwatch.cloud.telemetry import reading
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.lines import GAP, encode
from sealwatch.cloud.telemetry.reading import DAY_MS, RECENT_MS, Query, Tier, extremes
from sealwatch.cloud.telemetry.remote import LineWriter, ask, reader
from sealwatch.cloud.telemetry.thinning import Point

MAX_STEPS = 10_000  # well below the server's limit of 30,000 points a series


def text(value: str) -> str:
    """A MetricsQL string in double quotes."""
    return json.dumps(value, ensure_ascii=False)


class VictoriaTelemetry:
    """Safe for any number of threads. What was written shows in queries within about a second."""

    corrects = False
    # It answers from memory and writes to disk within seconds: what it was given last is kept here for so long.
    hold_s = 60.0

    def __init__(
        self,
        url: str,
        *,
        query_url: str = "",
        token: str = "",
        county: str = "",
        raw_days: int = 30,
        clock: Clock | None = None,
    ) -> None:
        """`token` is for a proxy before it; the server itself asks for none.

        A cluster is written to at `url` (``http://vminsert:8480/insert/0/influx``) and asked at `query_url`
        (``http://vmselect:8481/select/0/prometheus``). Raises ValueError for a bad URL.
        """
        self.is_cluster = bool(query_url)
        self._county, self._raw_ms = county, raw_days * DAY_MS
        self._clock = clock or SystemClock()
        self._reader = reader(query_url or url, token)
        self._writer = LineWriter(url, token=token, org="sealwatch")

    def write(
        self,
        *,
        site_id: str,
        node_id: str,
        source_id: str,
        at_ms: Sequence[int],
        values: Mapping[str, Sequence[float | None]],
    ) -> None:
        """Store columns of measurements. Raises ValueError, PointsRefused, TelemetryUnavailable."""
        self.write_blocks([Columns(site_id=site_id, node_id=node_id, source_id=source_id, at_ms=at_ms, values=values)])

    def write_blocks(self, blocks: Sequence[Columns], *, tier: Tier = Tier.RAW) -> None:
        """Store all blocks in one request. Raises ValueError, PointsRefused, TelemetryUnavailable."""
        lines = [line for block in blocks for line in encode(block, county=self._county, measurement=tier)]
        self._writer.send("sealwatch", lines)

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
        """Series by source_id, thinned. Raises TelemetryUnavailable."""
        now_ms = self._clock.wall_ms()
        query = Query(site_id=site_id, metric=metric, from_ms=from_ms, to_ms=to_ms, source_id=source_id)
        return reading.read(
            self, query, max_points=max_points, raw_from_ms=now_ms - self._raw_ms, rolled_to_ms=now_ms - RECENT_MS
        )

    def exact(self, query: Query, limit: int) -> dict[str, list[Point]] | None:
        """Every raw point by source; None where a source has more than `limit`."""
        if query.to_ms < query.from_ms:
            return {}
        span_ms = query.to_ms - query.from_ms + 1
        picked = self._selector(f"{Tier.RAW}_{query.metric}", query)
        counted = self._instant(f"sum(count_over_time({picked}[{span_ms}ms])) by (source_id)", query.to_ms)
        if any(count > limit for _labels, count in counted):
            return None
        found: dict[str, dict[int, float | None]] = {}
        # Gaps first: a measurement of the same moment takes their place.
        for field, is_gap in ((query.metric + GAP, True), (query.metric, False)):
            for labels, at_ms, values in self._export(self._selector(f"{Tier.RAW}_{field}", query), query):
                points = found.setdefault(labels.get("source_id", ""), {})
                points.update((at, None if is_gap else value) for at, value in zip(at_ms, values, strict=True))
        return {source: sorted(points.items()) for source, points in found.items()}

    def windows(self, query: Query, tier: Tier, width_ms: int) -> dict[str, list[Point]]:
        """Smallest and largest value of each window, by source."""
        low, high = (f"{tier}_{query.metric}",) * 2
        if tier is not Tier.RAW:
            low, high = f"{tier}_min_{query.metric}", f"{tier}_max_{query.metric}"
        lows = self._range(
            f"min(min_over_time({self._selector(low, query)}[{width_ms}ms])) by (source_id)", query, width_ms
        )
        highs = self._range(
            f"max(max_over_time({self._selector(high, query)}[{width_ms}ms])) by (source_id)", query, width_ms
        )
        gaps: dict[str, dict[int, float]] = {}
        if tier is Tier.RAW:
            picked = self._selector(low + GAP, query)
            gaps = self._range(f"sum(count_over_time({picked}[{width_ms}ms])) by (source_id)", query, width_ms)
        found: dict[str, list[Point]] = {}
        for source in {**lows, **gaps}:
            moments = sorted({**lows.get(source, {}), **gaps.get(source, {})})
            found[source] = [
                point
                for at in moments
                for point in extremes(
                    at,
                    width_ms,
                    lows.get(source, {}).get(at),
                    highs.get(source, {}).get(at),
                    gap=at in gaps.get(source, {}),
                )
            ]
        return found

    def aggregates(self, metric: str, tier: Tier, from_ms: int, to_ms: int) -> list[Columns]:
        """Roll-ups of ``[from_ms, to_ms)`` computed from raw points, ready for `write_blocks(tier=tier)`."""
        picked = self._selector(f"{Tier.RAW}_{metric}", None)
        by_series: dict[tuple[str, str, str], dict[int, dict[str, float]]] = {}
        whole = Query(site_id="", metric=metric, from_ms=from_ms, to_ms=to_ms - 1)
        for kind, function in (("min", "min"), ("max", "max"), ("mean", "avg")):
            rows = self._matrix(f"{function}_over_time({picked}[{tier.width_ms}ms])", whole, tier.width_ms)
            for labels, values in rows:
                key = (labels.get("site_id", ""), labels.get("node_id", ""), labels.get("source_id", ""))
                for at, value in values.items():
                    by_series.setdefault(key, {}).setdefault(at, {})[kind] = value
        return [
            Columns(
                site_id=key[0],
                node_id=key[1],
                source_id=key[2],
                at_ms=sorted(rows_),
                values={
                    f"{kind}_{metric}": [rows_[at].get(kind) for at in sorted(rows_)] for kind in ("min", "max", "mean")
                },
            )
            for key, rows_ in by_series.items()
        ]

    def metrics(self) -> list[str]:
        """Names of the metrics that have raw points."""
        start = f"{Tier.RAW}_"
        answer = ask(
            self._reader,
            "/api/v1/label/__name__/values",
            {"match[]": self._selector(None, None, extra=f'__name__=~"{start}.+"'), "start": "0"},
        ).json()
        return sorted(
            str(found).removeprefix(start)
            for found in answer["data"]
            if str(found).startswith(start) and not str(found).endswith(GAP)
        )

    def started(self) -> str:
        """When the server was started, in its own words. Raises TelemetryUnavailable.

        Not asked of a cluster, where no address says it for every storage node; what one of them forgets when it is
        killed is what its replicas are for (``-replicationFactor=2`` at ``vminsert``).
        """
        if self.is_cluster:
            return "cluster"
        lines = ask(self._reader, "/metrics", {}).text.splitlines()
        return next((line for line in lines if line.startswith("vm_app_start_timestamp")), "")

    def check(self) -> None:
        """Whether it answers queries. Raises TelemetryUnavailable, PointsRefused."""
        self._instant("1", self._clock.wall_ms())

    def flags(self) -> dict[str, str]:
        """The server's command line options, as it tells them."""
        lines = ask(self._reader, "/flags", {}).text.splitlines()
        pairs = (line.partition("=") for line in lines)
        return {key.strip().lstrip("-"): value.strip().strip('"') for key, _, value in pairs}

    def _selector(self, metric: str | None, query: Query | None, *, extra: str = "") -> str:
        wanted = [extra] if extra else []
        if self._county:
            wanted.append(f"county={text(self._county)}")
        if query is not None:
            wanted.append(f"site_id={text(query.site_id)}")
            if query.source_id is not None:
                wanted.append(f"source_id={text(query.source_id)}")
        return f"{metric or ''}{{{','.join(wanted)}}}"

    def _instant(self, expression: str, at_ms: int) -> list[tuple[dict[str, str], float]]:
        answer = ask(
            self._reader, "/api/v1/query", {"query": expression, "time": f"{at_ms / 1000:.3f}", "nocache": "1"}
        ).json()
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def _export(self, selector: str, query: Query) -> Iterator[tuple[dict[str, str], list[int], list[float]]]:
        parameters = {
            "match[]": selector,
            "start": f"{query.from_ms / 1000:.3f}",
            "end": f"{query.to_ms / 1000:.3f}",
            "reduce_mem_usage": "0",
        }
        for line in ask(self._reader, "/api/v1/export", parameters).text.splitlines():
            row: dict[str, Any] = json.loads(line)
            yield row["metric"], row["timestamps"], row["values"]

    def _matrix(self, expression: str, query: Query, width_ms: int) -> list[tuple[dict[str, str], dict[int, float]]]:
        """Rows by labels; the value that covers ``[t, t + width)`` stands at t."""
        # A look-back of `width` at t covers (t - width, t]: asked one millisecond before its end, it is our window.
        steps = -(-(query.to_ms - query.from_ms + 1) // width_ms)
        if steps > MAX_STEPS:
            raise ValueError(f"{steps} windows in one query; ask for a shorter span or wider windows")
        start_ms = query.from_ms + width_ms - 1
        parameters = {
            "query": expression,
            "start": f"{start_ms / 1000:.3f}",
            "end": f"{(start_ms + (steps - 1) * width_ms) / 1000:.3f}",
            "step": f"{width_ms}ms",
            "nocache": "1",
        }
        answer = ask(self._reader, "/api/v1/query_range", parameters).json()
        return [
            (row["metric"], {round(at * 1000) - width_ms + 1: float(value) for at, value in row["values"]})
            for row in answer["data"]["result"]
        ]

    def _range(self, expression: str, query: Query, width_ms: int) -> dict[str, dict[int, float]]:
        return {labels.get("source_id", ""): row for labels, row in self._matrix(expression, query, width_ms)}

    def close(self) -> None:
        """Drop the connections."""
        self._reader.close()
        self._writer.close()
