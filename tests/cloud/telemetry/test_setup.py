"""`telemetry init` on each engine: a real InfluxDB 1, and the documented management API of 2 and 3 in a local twin."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.reading import Tier
from sealwatch.cloud.telemetry.remote import TelemetryUnavailable, reader
from sealwatch.cloud.telemetry.setup import Retention, check_victoria, engine, flux_task, set_up
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry
from tests.servers import Influx1, Victoria

HOUR = 1_700_006_400_000


class Influx2Twin:
    """Buckets, DBRP mappings and tasks as InfluxDB's HTTP API documents them (`/api/v2`)."""

    def __init__(self) -> None:
        self.buckets: list[dict[str, Any]] = []
        self.mappings: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self._ids = (f"{n:016x}" for n in itertools.count(1))

    def client(self) -> httpx.Client:
        return httpx.Client(base_url="http://influx2", transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, asked = request.url.path, dict(request.url.params)
        body = json.loads(request.content) if request.content else {}
        routes: dict[str, Callable[[], Any]] = {
            "GET /ping": dict,
            "GET /api/v2/orgs": lambda: {"orgs": [{"id": "0e", "name": "gov"}] if asked["org"] == "gov" else []},
            "GET /api/v2/buckets": lambda: {"buckets": [b for b in self.buckets if b["name"] == asked["name"]]},
            "POST /api/v2/buckets": lambda: self._add(self.buckets, body),
            "GET /api/v2/dbrps": lambda: {"content": [m for m in self.mappings if m["database"] == asked["db"]]},
            "POST /api/v2/dbrps": lambda: self._add(self.mappings, body),
            "GET /api/v2/tasks": lambda: {"tasks": [t for t in self.tasks if t["name"] == asked["name"]]},
            "POST /api/v2/tasks": lambda: self._add(self.tasks, body | {"name": _task_name(body["flux"])}),
        }
        if request.method == "PATCH":
            rows = self.buckets if "/buckets/" in path else self.tasks
            row = next(r for r in rows if r["id"] == path.rsplit("/", 1)[1])
            row.update(body)
            return httpx.Response(200, json=row)
        return httpx.Response(200, json=routes[f"{request.method} {path}"](), headers={"X-Influxdb-Version": "v2.7.10"})

    def _add(self, rows: list[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        rows.append(body | {"id": next(self._ids)})
        return rows[-1]


def _task_name(flux: str) -> str:
    return flux.split('name: "', 1)[1].split('"', 1)[0]


def test_a_fresh_influxdb_2_gets_buckets_mappings_and_tasks_and_the_second_time_nothing() -> None:
    twin = Influx2Twin()
    first = set_up(twin.client(), bucket="seal", org="gov", retention=Retention())
    assert {step.outcome for step in first} == {"made"}
    assert {b["name"]: b["retentionRules"] for b in twin.buckets} == {
        name: [{"type": "expire", "everySeconds": kept * 86_400, "shardGroupDurationSeconds": shard * 86_400}]
        for name, kept, shard in (
            ("seal", 30, 1),
            ("seal_minutes", 1825, 28),
            ("seal_hours", 0, 182),
            ("seal_days", 0, 3640),
        )
    }
    assert {m["database"]: m["bucketID"] for m in twin.mappings} == {b["name"]: b["id"] for b in twin.buckets}
    assert all(m["default"] for m in twin.mappings)
    assert [t["name"] for t in twin.tasks] == ["seal_to_minutes", "seal_to_hours", "seal_to_days"]
    second = set_up(twin.client(), bucket="seal", org="gov", retention=Retention())
    assert {step.outcome for step in second} == {"kept"}
    assert (len(twin.buckets), len(twin.mappings), len(twin.tasks)) == (4, 4, 3)


def test_another_retention_changes_the_bucket_and_an_edited_task_is_put_right() -> None:
    twin = Influx2Twin()
    set_up(twin.client(), bucket="seal", org="gov", retention=Retention())
    twin.tasks[0]["flux"] = "option task = {}"
    steps = set_up(twin.client(), bucket="seal", org="gov", retention=Retention(raw_days=7))
    assert [step.what for step in steps if step.outcome == "changed"] == ["bucket seal", "task seal_to_minutes"]
    assert twin.buckets[0]["retentionRules"][0]["everySeconds"] == 7 * 86_400
    assert twin.tasks[0]["flux"] == flux_task("seal", Tier.MINUTES, "gov")


def test_an_organisation_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no organisation 'nobody'"):
        set_up(Influx2Twin().client(), bucket="seal", org="nobody", retention=Retention())


def test_influxdb_3_gets_databases_and_is_told_to_have_no_tasks() -> None:
    made: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/ping":
            return httpx.Response(200, json={"version": "3.2.1", "revision": "x"})
        assert request.url.path == "/api/v3/configure/database"
        if request.method == "GET":
            return httpx.Response(200, json=[{"iox::database": row["db"]} for row in made])
        made.append(json.loads(request.content))
        return httpx.Response(200, json={})

    client = httpx.Client(base_url="http://influx3", transport=httpx.MockTransport(answer))
    steps = set_up(client, bucket="seal", org="", retention=Retention())
    assert made == [
        {"db": "seal", "retention_period": "30d"},
        {"db": "seal_minutes", "retention_period": "1825d"},
        {"db": "seal_hours"},
        {"db": "seal_days"},
    ]
    assert steps[-1].outcome == "cannot"
    again = set_up(client, bucket="seal", org="", retention=Retention())
    assert [step.outcome for step in again] == ["kept", "kept", "kept", "kept", "cannot"]


def test_a_real_influxdb_1_gets_databases_and_queries_that_roll_up(influx1: Influx1) -> None:
    with reader(influx1.url, "") as client:
        assert engine(client)[0] == "influxdb1"
        set_up(client, bucket="county1", org="", retention=Retention(raw_days=0))
        again = set_up(client, bucket="county1", org="", retention=Retention(raw_days=0))
        assert [step.outcome for step in again[:3]] == ["kept", "kept", "kept"]
    store = InfluxTelemetry(influx1.url, bucket="county1", clock=ManualClock(wall_ms=HOUR))
    [listed] = [s for s in store.query("SHOW CONTINUOUS QUERIES", "county1") if s["name"] == "county1"]
    queries = dict(listed["values"])
    assert set(queries) == {"county1_to_minutes", "county1_to_hours", "county1_to_days"}
    assert _durations(store, "county1_minutes") == ["43800h0m0s"]
    store.write(
        site_id="s1",
        node_id="n1",
        source_id="m1",
        at_ms=[HOUR + i * 20_000 for i in range(360)],
        values={"active_power_w": [float(i) for i in range(360)]},
    )
    # The server runs them by the wall clock; here the same statement runs once over the hours that were written.
    statement = queries["county1_to_hours"].split(" BEGIN ", 1)[1].rsplit(" END", 1)[0]
    select, group = statement.split(" GROUP BY ")
    store.query(f"{select} WHERE time >= {HOUR}ms AND time < {HOUR + 7_200_000}ms GROUP BY {group}", "county1")
    rolled = store.query('SELECT * FROM "hours"', "county1_hours")
    [mine] = store.aggregates("active_power_w", Tier.HOURS, HOUR, HOUR + 7_200_000)
    names = rolled[0]["columns"]
    for column, values in mine.values.items():
        assert [row[names.index(column)] for row in rolled[0]["values"]] == pytest.approx(list(values))
    store.close()


def _durations(store: InfluxTelemetry, database: str) -> list[str]:
    [series] = store.query(f'SHOW RETENTION POLICIES ON "{database}"', database)
    return [row[1] for row in series["values"]]


def test_victoriametrics_is_checked_by_its_options(victoria: Victoria) -> None:
    with reader(victoria.url, "") as client:
        assert engine(client) == ("victoria", "")
        with pytest.raises(ValueError, match="is no InfluxDB"):
            set_up(client, bucket="seal", org="", retention=Retention())
    store = VictoriaTelemetry(victoria.url)
    steps = {step.what: step for step in check_victoria(store)}
    store.close()
    assert steps["retention"].outcome == "checked"
    assert "100y" in steps["retention"].detail
    assert steps["one point a moment"].outcome == "checked"


def test_a_server_that_is_away_is_said_as_such() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    client = httpx.Client(base_url="http://nowhere", transport=httpx.MockTransport(answer))
    with pytest.raises(TelemetryUnavailable):
        set_up(client, bucket="seal", org="", retention=Retention())
