"""A filled InfluxDB, a filled VictoriaMetrics and a filled PostgreSQL, once for all tests of this folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from sealwatch.cloud.db.engine import open_database
from sealwatch.cloud.grafana.queries import Engine
from sealwatch.cloud.grafana.records import role_sql, schema_sql
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.reading import DAY_MS, HOUR_MS, Tier
from sealwatch.cloud.telemetry.remote import ask, reader
from sealwatch.cloud.telemetry.setup import Retention, database, set_up
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry
from tests.cloud.conftest import PostgresDatabases
from tests.cloud.grafana import macros, world
from tests.servers import Postgres, influx1_or_skip, victoria_or_skip

BUCKET = "dashboards"
Rows = list[dict[str, Any]]
"""What a data source gave: a row for each point, with tags and value by name."""


@dataclass(frozen=True)
class Asked:
    """A span as Grafana would ask it."""

    from_ms: int
    to_ms: int
    interval: str = "10m"

    @property
    def span(self) -> macros.Span:
        return macros.Span(county=world.COUNTY, site="s1", from_ms=self.from_ms, to_ms=self.to_ms)


@dataclass(frozen=True)
class Source:
    """Sends a target to the store that its data source means."""

    engine: Engine
    series: Callable[[dict[str, Any], Asked], Rows]
    records: Callable[[dict[str, Any], Asked], Rows]

    def __call__(self, target: dict[str, Any], asked: Asked) -> Rows:
        return (self.records if target["datasource"]["type"] == "postgres" else self.series)(target, asked)


@pytest.fixture(scope="session")
def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(scope="session")
def ask_influx(now_ms: int) -> Iterator[Callable[[dict[str, Any], Asked], Rows]]:
    with influx1_or_skip() as server, reader(server.url, "") as client:
        set_up(client, bucket=BUCKET, org="", retention=Retention())
        for tier in (Tier.MINUTES, Tier.HOURS, Tier.DAYS):  # the world brings its own roll-ups, whatever the hour
            statement = f'DROP CONTINUOUS QUERY "{BUCKET}_to_{tier}" ON "{BUCKET}"'
            client.post("/query", data={"q": statement}).raise_for_status()
        store = InfluxTelemetry(server.url, bucket=BUCKET, county=world.COUNTY)
        _fill(store, now_ms)

        def run(target: dict[str, Any], asked: Asked) -> Rows:
            query = macros.influxql(target["query"], asked.span, interval=asked.interval)
            tier = next(tier for tier in Tier if f"-{tier}-" in target["datasource"]["uid"])
            return [
                {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
                for series in store.query(query, database(BUCKET, tier))
                for row in series["values"]
            ]

        yield run
        store.close()


@pytest.fixture(scope="session")
def ask_victoria(now_ms: int) -> Iterator[Callable[[dict[str, Any], Asked], Rows]]:
    with victoria_or_skip() as server, reader(server.url, "") as client:
        store = VictoriaTelemetry(server.url, county=world.COUNTY)
        _fill(store, now_ms)
        server.flush()

        def run(target: dict[str, Any], asked: Asked) -> Rows:
            query = macros.metricsql(target["expr"], asked.span, interval=asked.interval)
            if target["instant"]:
                parameters = {"query": query, "time": f"{asked.to_ms / 1000:.3f}"}
                found = ask(client, "/api/v1/query", parameters).json()["data"]["result"]
                return [{**row["metric"], "value": float(row["value"][1])} for row in found]
            parameters = {
                "query": query,
                "start": f"{asked.from_ms / 1000:.3f}",
                "end": f"{asked.to_ms / 1000:.3f}",
                "step": asked.interval,
            }
            found = ask(client, "/api/v1/query_range", parameters).json()["data"]["result"]
            return [{**row["metric"], "time": at, "value": float(v)} for row in found for at, v in row["values"]]

        yield run
        store.close()


def _fill(store: InfluxTelemetry | VictoriaTelemetry, now_ms: int) -> None:
    store.write_blocks(list(world.raw_points(now_ms)))
    store.write_blocks(list(world.rolled_points(now_ms, 6 * HOUR_MS)), tier=Tier.HOURS)
    if isinstance(store, InfluxTelemetry):
        store.write_blocks(list(world.rolled_points(now_ms, DAY_MS)), tier=Tier.DAYS)
        store.write_blocks(list(world.rolled_points(now_ms, HOUR_MS)), tier=Tier.MINUTES)


@pytest.fixture(scope="session")
def records_database(now_ms: int, postgres_databases: PostgresDatabases) -> str:
    """The service's own tables, made by its migrations, and a read-only role for each of two counties; its name."""
    name, server = postgres_databases.create(), postgres_databases.server
    opened = open_database(server.url(name))
    with opened.write() as session:
        world.fill(session, now_ms)
    opened.close()
    with psycopg.connect(_dsn(server, name, "sealwatch"), autocommit=True) as owner:
        owner.execute(schema_sql().encode())
        for county in (world.COUNTY, world.OTHER):
            made = role_sql(f"grafana_{county}", county, f"it's {county}").encode()
            owner.execute(made)
            owner.execute(made)  # a second time changes nothing
    return name


def _dsn(server: Postgres, name: str, user: str, password: str = "") -> str:
    return psycopg.conninfo.make_conninfo(
        host="127.0.0.1", port=server.port, dbname=name, user=user, password=password or None
    )


@pytest.fixture(scope="session")
def as_county(
    records_database: str, postgres_databases: PostgresDatabases
) -> Iterator[Callable[[str], psycopg.Connection[Any]]]:
    """Connections as the read-only role of a county."""
    opened: dict[str, psycopg.Connection[Any]] = {}

    def connect(county: str) -> psycopg.Connection[Any]:
        if county not in opened:
            dsn = _dsn(postgres_databases.server, records_database, f"grafana_{county}", f"it's {county}")
            opened[county] = psycopg.connect(dsn, autocommit=True)
        return opened[county]

    yield connect
    for connection in opened.values():
        connection.close()


@pytest.fixture(scope="session")
def ask_records(as_county: Callable[[str], psycopg.Connection[Any]]) -> Callable[[dict[str, Any], Asked], Rows]:
    def run(target: dict[str, Any], asked: Asked) -> Rows:
        query = macros.sql(target["rawSql"], asked.span)
        cursor = as_county(world.COUNTY).execute(query.encode())
        assert cursor.description is not None
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    return run


@pytest.fixture(params=[str(engine) for engine in Engine])
def source(request: pytest.FixtureRequest) -> Source:
    """Both engines in turn, with the relational tables beside them."""
    engine = Engine(request.param)
    series = request.getfixturevalue("ask_influx" if engine is Engine.INFLUXDB else "ask_victoria")
    return Source(engine, series, request.getfixturevalue("ask_records"))


def span(board_from: str, panel_from: str | None, now_ms: int) -> Asked:
    """The dashboard's own time, or the panel's."""
    given = panel_from or board_from.removeprefix("now-")
    if given == "now/d":
        return Asked(now_ms - DAY_MS, now_ms)
    length_ms = int(given[:-1]) * {"h": 3_600_000, "d": DAY_MS}[given[-1]]
    interval = "10m" if length_ms <= DAY_MS else "1h" if length_ms < 60 * DAY_MS else "1d"
    return Asked(now_ms - length_ms, now_ms, interval)
