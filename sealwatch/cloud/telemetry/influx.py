"""InfluxDB as the telemetry store: line protocol in at `/api/v2/write`, InfluxQL out at `/query`.

That pair is what 1.8, 2.x and 3.x have in common; 1.6 has it behind the nginx map of `deploy/influxdb`. Raw points are
in the bucket itself, roll-ups in the buckets ``<bucket>_minutes`` and ``<bucket>_hours`` (`sealwatch telemetry init`
makes them). Layout: one measurement, a field for each metric, tags `county`, `site_id`, `node_id`, `source_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sealwatch.base.clock import Clock, SystemClock
from sealwatch.cloud.ports import Series
from sealwatch.cloud.telemetry import reading
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.lines import GAP, encode
from sealwatch.cloud.telemetry.reading import DAY_MS, RECENT_MS, Query, Tier, extremes
from sealwatch.cloud.telemetry.remote import LineWriter, ask, reader
from sealwatch.cloud.telemetry.thinning import Point

MS_IN_NS = 1_000_000


def name(value: str) -> str:
    """An InfluxQL identifier in double quotes."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def text(value: str) -> str:
    """An InfluxQL string in single quotes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class InfluxTelemetry:
    """Safe for any number of threads. Every write is one synchronous request; no batching happens out of sight."""

    corrects = True  # a point written again takes the newer value
    hold_s = 0.0  # the answer comes after the write-ahead log was synced

    def __init__(
        self,
        url: str,
        *,
        bucket: str,
        token: str = "",
        org: str = "sealwatch",
        county: str = "",
        raw_days: int = 30,
        clock: Clock | None = None,
    ) -> None:
        """`token`: of 2.x and 3.x, or ``user:password`` of 1.x; empty where the server asks for none.

        Raises ValueError for a URL that is none.
        """
        self._bucket, self._county, self._raw_ms = bucket, county, raw_days * DAY_MS
        self._clock = clock or SystemClock()
        self._reader = reader(url, token)
        self._writer = LineWriter(url, token=token, org=org)

    def database(self, tier: Tier) -> str:
        """The bucket of raw points or of one kind of roll-up."""
        return self._bucket if tier is Tier.RAW else f"{self._bucket}_{tier}"

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
        self._writer.send(self.database(tier), lines)

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
            self,
            query,
            max_points=max_points,
            raw_from_ms=now_ms - self._raw_ms,
            rolled_to_ms=now_ms - RECENT_MS,
        )

    def exact(self, query: Query, limit: int) -> dict[str, list[Point]] | None:
        """Every raw point by source; None where a source has more than `limit`."""
        metric, gap = name(query.metric), name(query.metric + GAP)
        rows = self._select(f"{metric}, {gap}", Tier.RAW, query, f'GROUP BY "source_id" LIMIT {limit + 1}')
        found: dict[str, list[Point]] = {}
        for source, values in rows.items():
            if len(values) > limit:
                return None
            found[source] = [(at, _number(value)) for at, value, _gap in values]
        return {source: _merged(points) for source, points in found.items()}

    def windows(self, query: Query, tier: Tier, width_ms: int) -> dict[str, list[Point]]:
        """Smallest and largest value of each window, by source."""
        if tier is Tier.RAW:
            low = high = name(query.metric)
            gap = f", count({name(query.metric + GAP)})"
        else:
            low, high, gap = name(f"min_{query.metric}"), name(f"max_{query.metric}"), ""
        group = f'GROUP BY time({width_ms}ms, {query.from_ms % width_ms}ms), "source_id" fill(none)'
        rows = self._select(f"min({low}), max({high}){gap}", tier, query, group)
        return {
            source: [
                point
                for at, lowest, highest, *gaps in values
                for point in extremes(at, width_ms, _number(lowest), _number(highest), gap=bool(gaps and gaps[0]))
            ]
            for source, values in rows.items()
        }

    def aggregates(self, metric: str, tier: Tier, from_ms: int, to_ms: int) -> list[Columns]:
        """Roll-ups of ``[from_ms, to_ms)`` computed from raw points, ready for `write_blocks(tier=tier)`."""
        field = name(metric)
        answer = self.query(
            f'SELECT min({field}), max({field}), mean({field}) FROM "{Tier.RAW}" '  # noqa: S608 - quoted by `name`
            f"WHERE {self._mine()}time >= {from_ms}ms AND time < {to_ms}ms "
            f'GROUP BY time({tier.width_ms}ms), "site_id", "node_id", "source_id" fill(none)',
            self.database(Tier.RAW),
        )
        return [
            Columns(
                site_id=series["tags"]["site_id"],
                node_id=series["tags"]["node_id"],
                source_id=series["tags"]["source_id"],
                at_ms=[row[0] for row in series["values"]],
                values={
                    f"{kind}_{metric}": [row[i] for row in series["values"]]
                    for i, kind in enumerate(("min", "max", "mean"), start=1)
                },
            )
            for series in answer
        ]

    def metrics(self) -> list[str]:
        """Names of the metrics that have raw points."""
        answer = self.query(f'SHOW FIELD KEYS FROM "{Tier.RAW}"', self.database(Tier.RAW))
        fields = {str(row[0]) for series in answer for row in series["values"]}
        return sorted(field for field in fields if not field.endswith(GAP))

    def query(self, influxql: str, database: str) -> list[dict[str, Any]]:
        """The series of one InfluxQL statement. Raises TelemetryUnavailable, PointsRefused."""
        parameters = {"db": database, "epoch": "ms", "q": influxql}
        result = ask(self._reader, "/query", parameters).json()["results"][0]
        if "error" in result:
            raise ValueError(f"InfluxDB can't answer {influxql!r}: {result['error']}")
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    def _mine(self) -> str:
        return f'"county" = {text(self._county)} AND ' if self._county else ""

    def _select(self, columns: str, tier: Tier, query: Query, group: str) -> dict[str, list[list[Any]]]:
        source = f'"source_id" = {text(query.source_id)} AND ' if query.source_id is not None else ""
        answer = self.query(
            f'SELECT {columns} FROM "{tier}" WHERE {self._mine()}"site_id" = {text(query.site_id)} AND {source}'  # noqa: S608 - quoted by `name` and `text`
            f"time >= {query.from_ms}ms AND time <= {query.to_ms}ms {group}",
            self.database(tier),
        )
        return {str(series["tags"]["source_id"]): series["values"] for series in answer}

    def started(self) -> str:
        """Not asked: nothing is held for this store."""
        return ""

    def close(self) -> None:
        """Drop the connections."""
        self._reader.close()
        self._writer.close()


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _merged(points: list[Point]) -> list[Point]:
    """One point a moment (two nodes may have told the same one): a measurement before a gap."""
    best: dict[int, float | None] = {}
    for at, value in points:
        if best.get(at) is None:
            best[at] = value
    return sorted(best.items()) if len(best) < len(points) else points
