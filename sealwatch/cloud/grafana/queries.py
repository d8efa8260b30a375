"""The three query languages behind the foundation SDK's query interface.

The SDK has no builder for InfluxDB or PostgreSQL; a small class with its `Dataquery` interface is the way it offers.
A `Measure` says what a panel wants of the time series once; `targets` words it for the chosen engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from sealwatch.cloud.telemetry.reading import Tier


class Engine(StrEnum):
    """Which time-series store the dashboards read."""

    INFLUXDB = "influxdb"
    VICTORIA = "victoria"


PLUGIN: Final = {Engine.INFLUXDB: "influxdb", Engine.VICTORIA: "prometheus"}
RECORDS: Final = "records"
"""Name of the data source over the relational tables."""

Aggregate = Literal["mean", "max", "min", "sum", "count", "last"]
_METRICSQL: Final[dict[Aggregate, tuple[str, str]]] = {
    # over the window of one series, then over the series of one group
    "mean": ("avg_over_time", "avg"),
    "max": ("max_over_time", "max"),
    "min": ("min_over_time", "min"),
    "sum": ("sum_over_time", "sum"),
    "count": ("count_over_time", "sum"),
    "last": ("last_over_time", "max"),
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Data sources of one county: their uids end in its code."""

    engine: Engine
    county: str

    def series(self, tier: Tier = Tier.RAW) -> DataSourceRef:
        """Raw points or roll-ups."""
        return DataSourceRef(type_val=PLUGIN[self.engine], uid=self.uid(str(tier)))

    def records(self) -> DataSourceRef:
        """The relational tables. `postgres` is the type that every version from 9.3 on understands."""
        return DataSourceRef(type_val="postgres", uid=self.uid(RECORDS))

    def uid(self, name: str) -> str:
        """At most 40 characters of letters, digits, `-` and `_`, as Grafana wants."""
        return f"sealwatch-{name}-{self.county}" if self.county else f"sealwatch-{name}"


class InfluxQuery(Dataquery, Builder["InfluxQuery"]):
    """InfluxQL as text (`rawQuery`)."""

    def __init__(self, query: str, source: DataSourceRef, *, ref_id: str, alias: str = "", table: bool = False) -> None:
        self.query, self.source, self.ref_id, self.alias, self.table = query, source, ref_id, alias, table

    def build(self) -> InfluxQuery:
        """The query is its own model."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana's InfluxDB data source reads it."""
        found: dict[str, object] = {
            "refId": self.ref_id,
            "datasource": self.source,
            "query": self.query,
            "rawQuery": True,
            "resultFormat": "table" if self.table else "time_series",
        }
        if self.alias:
            found["alias"] = self.alias
        return found


class MetricsQuery(Dataquery, Builder["MetricsQuery"]):
    """MetricsQL through Grafana's Prometheus data source."""

    def __init__(
        self, expr: str, source: DataSourceRef, *, ref_id: str, legend: str = "", instant: bool = False
    ) -> None:
        self.expr, self.source, self.ref_id, self.legend, self.instant = expr, source, ref_id, legend, instant

    def build(self) -> MetricsQuery:
        """The query is its own model."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana's Prometheus data source reads it."""
        return {
            "refId": self.ref_id,
            "datasource": self.source,
            "expr": self.expr,
            "legendFormat": self.legend,
            "instant": self.instant,
            "range": not self.instant,
            "format": "table" if self.instant else "time_series",
            "editorMode": "code",
        }


class SqlQuery(Dataquery, Builder["SqlQuery"]):
    """SQL over the views of schema `grafana`, which show one county only."""

    def __init__(self, sql: str, source: DataSourceRef, *, ref_id: str, time_series: bool = False) -> None:
        self.sql, self.source, self.ref_id, self.time_series = sql, source, ref_id, time_series

    def build(self) -> SqlQuery:
        """The query is its own model."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana's PostgreSQL data source reads it."""
        return {
            "refId": self.ref_id,
            "datasource": self.source,
            "rawSql": self.sql,
            "rawQuery": True,
            "editorMode": "code",
            "format": "time_series" if self.time_series else "table",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One metric as a panel wants it.

    `by`: the tag that makes one line each ("" joins all). `site`: only the chosen site. `window`: "" follows the
    panel's interval. `whole`: one value for the whole span, as a table row for each `by`. `legend`: a word for the
    line; ``{by}`` in it stands for the tag's value.
    """

    metric: str
    aggregate: Aggregate
    by: Literal["source_id", "site_id", "node_id", ""] = "source_id"
    site: bool = True
    tier: Tier = Tier.RAW
    window: str = ""
    whole: bool = False
    legend: str = ""

    def _field(self, tier: Tier) -> str:
        """The stored field: of a roll-up the one that fits the aggregate."""
        if tier is Tier.RAW:
            return self.metric
        return f"{self.aggregate if self.aggregate in {'min', 'max', 'mean'} else 'mean'}_{self.metric}"

    def target(self, sources: Sources, ref_id: str) -> InfluxQuery | MetricsQuery:
        """Worded for the engine."""
        if sources.engine is Engine.INFLUXDB:
            return self._influx(sources, ref_id)
        return self._metrics(sources, ref_id)

    def _influx(self, sources: Sources, ref_id: str) -> InfluxQuery:
        where = "\"county\" = '$county'" + (" AND \"site_id\" = '$site'" if self.site else "")
        groups = [] if self.whole else [f"time({self.window or '$__interval'})"]
        if self.by:
            groups.append(f'"{self.by}"')
        group = f" GROUP BY {', '.join(groups)}" if groups else ""
        fill = "" if self.whole else " fill(none)"
        query = (
            f'SELECT {self.aggregate}("{self._field(self.tier)}") AS "value" FROM "{self.tier}" '  # noqa: S608 - names of ours
            f"WHERE {where} AND $timeFilter{group}{fill}"
        )
        alias = (self.legend or "{by}").replace("{by}", f"$tag_{self.by}" if self.by else "")
        return InfluxQuery(
            query, sources.series(self.tier), ref_id=ref_id, alias="" if self.whole else alias, table=self.whole
        )

    def _metrics(self, sources: Sources, ref_id: str) -> MetricsQuery:
        over_time, over_series = _METRICSQL[self.aggregate]
        # Fast enough without roll-ups of days; those of minutes come once an hour, too late for a day's view.
        tier = {Tier.DAYS: Tier.HOURS, Tier.MINUTES: Tier.RAW}.get(self.tier, self.tier)
        labels = 'county="$county"' + (',site_id="$site"' if self.site else "")
        window = "$__range" if self.whole else self.window or "$__interval"
        by = f" by ({self.by})" if self.by else ""
        expr = f"{over_series}({over_time}({tier}_{self._field(tier)}{{{labels}}}[{window}])){by}"
        legend = (self.legend or "{by}").replace("{by}", f"{{{{{self.by}}}}}" if self.by else "")
        return MetricsQuery(expr, sources.series(tier), ref_id=ref_id, legend=legend, instant=self.whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """A question to the relational tables. `{name}` in the text stands for the language's column (zh or en)."""

    sql: str
    time_series: bool = False

    def target(self, sources: Sources, ref_id: str, language: str) -> SqlQuery:
        """With the language filled in."""
        sql = " ".join(self.sql.split()).replace("{lang}", language)
        return SqlQuery(sql, sources.records(), ref_id=ref_id, time_series=self.time_series)


Question = Measure | Records


def targets(
    questions: Sequence[Question], sources: Sources, language: str
) -> list[InfluxQuery | MetricsQuery | SqlQuery]:
    """All questions of a panel, named A, B, C."""
    return [
        question.target(sources, chr(ord("A") + i), language)
        if isinstance(question, Records)
        else question.target(sources, chr(ord("A") + i))
        for i, question in enumerate(questions)
    ]
