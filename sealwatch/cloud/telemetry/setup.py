"""What each engine needs before the first point: `sealwatch telemetry init`. Every step may be repeated.

                     InfluxDB 1.x           2.x                    3.x Core              VictoriaMetrics
raw points           database, duration     bucket, retention      database, retention   one storage
roll-ups             continuous queries     tasks (Flux)           our own job           our own job
InfluxQL at /query   as it is               DBRP mapping           as it is              -
retention            set                    set                    set where it can be   checked: -retentionPeriod

Continuous queries and tasks see only what arrives in time; the job (`sealwatch telemetry retention`) rolls up late
points on every engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import httpx

from sealwatch.cloud.telemetry.influx import name
from sealwatch.cloud.telemetry.reading import Tier
from sealwatch.cloud.telemetry.remote import TelemetryUnavailable, refusal
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry

DAY_S: Final = 86_400
WINDOWS: Final = {Tier.MINUTES: "1m", Tier.HOURS: "1h", Tier.DAYS: "1d"}
SHARD_DAYS: Final = {Tier.RAW: 1, Tier.MINUTES: 28, Tier.HOURS: 182, Tier.DAYS: 3640}
"""A query opens every series once in every shard that its span touches: a year of roll-ups should touch few."""
EVERY: Final = {Tier.MINUTES: "1m", Tier.HOURS: "1h", Tier.DAYS: "1h"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long each table lives, in days; 0 keeps it for ever."""

    raw_days: int = 30
    minutes_days: int = 1825
    hours_days: int = 0

    def days(self, tier: Tier) -> int:
        """Days of one table."""
        kept = {Tier.RAW: self.raw_days, Tier.MINUTES: self.minutes_days}
        return kept.get(tier, self.hours_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was looked at: `outcome` is made, kept, changed, checked or cannot; `detail` says what."""

    outcome: str
    what: str
    detail: str = ""


_HOURLY: Final = Step(outcome="cannot", what="tasks", detail="run `sealwatch telemetry retention` each hour instead")


def engine(client: httpx.Client) -> tuple[str, str]:
    """Which engine answers: ("influxdb1" | "influxdb2" | "influxdb3" | "victoria", version). Raises as `ask` does."""
    answer = call(client, "GET", "/ping")
    version = str(answer.headers.get("X-Influxdb-Version", "")).lstrip("v")
    if not version and answer.headers.get("content-type", "").startswith("application/json") and answer.text:
        version = str(answer.json().get("version", ""))
    if not version:
        return "victoria", ""
    return {"1": "influxdb1", "2": "influxdb2", "3": "influxdb3"}.get(version[:1], "influxdb2"), version


def call(client: httpx.Client, method: str, path: str, **how: Any) -> httpx.Response:
    """One request. Raises TelemetryUnavailable, PointsRefused."""
    try:
        answer = client.request(method, path, **how)
    except httpx.TransportError as error:
        raise TelemetryUnavailable("unreachable", f"{client.base_url}: {type(error).__name__}: {error}") from None
    if answer.status_code >= 400:
        raise refusal(answer.status_code, answer.text, str(client.base_url))
    return answer


def database(bucket: str, tier: Tier) -> str:
    """Name of the bucket (or database) of one table."""
    return bucket if tier is Tier.RAW else f"{bucket}_{tier}"


def set_up(client: httpx.Client, *, bucket: str, org: str, retention: Retention) -> list[Step]:
    """Make what is missing on an InfluxDB of any version. Raises TelemetryUnavailable, PointsRefused."""
    kind, _version = engine(client)
    match kind:
        case "influxdb1":
            return _influx1(client, bucket, retention)
        case "influxdb3":
            return _influx3(client, bucket, retention)
        case "influxdb2":
            return Influx2(client, org=org).set_up(bucket, retention)
    raise ValueError(f'{client.base_url} is no InfluxDB; set engine = "victoria" under [telemetry]')


def _influx1(client: httpx.Client, bucket: str, retention: Retention) -> list[Step]:
    def run(statement: str) -> list[dict[str, Any]]:
        result = call(client, "POST", "/query", data={"q": statement}).json()["results"][0]
        if "error" in result:
            raise ValueError(f"{client.base_url}: {statement}: {result['error']}")
        return list(result.get("series", []))

    steps = []
    there = {str(row[0]) for series in run("SHOW DATABASES") for row in series.get("values", [])}
    for tier in Tier:
        base, days = database(bucket, tier), retention.days(tier)
        duration = f"{days}d" if days else "INF"
        if base not in there:
            shard = f"{SHARD_DAYS[tier]}d"
            run(f"CREATE DATABASE {name(base)} WITH DURATION {duration} SHARD DURATION {shard} NAME {name('kept')}")
            steps.append(Step(outcome="made", what=f"database {base}", detail=f"kept {duration}"))
        else:
            policies = [row for series in run(f"SHOW RETENTION POLICIES ON {name(base)}") for row in series["values"]]
            policy = next(str(row[0]) for row in policies if row[-1])
            run(f"ALTER RETENTION POLICY {name(policy)} ON {name(base)} DURATION {duration}")
            steps.append(Step(outcome="kept", what=f"database {base}", detail=f"kept {duration}"))
    for tier, window in WINDOWS.items():
        query = f"{bucket}_to_{tier}"
        into = f"{name(database(bucket, tier))}..{name(tier)}"
        run(f"DROP CONTINUOUS QUERY {name(query)} ON {name(bucket)}")
        # The window before the newest is computed again: points are usually late by seconds, not by minutes.
        rolled = f"SELECT min(*), max(*), mean(*) INTO {into} FROM {name(Tier.RAW)}"  # noqa: S608 - quoted by `name`
        run(
            f"CREATE CONTINUOUS QUERY {name(query)} ON {name(bucket)} "
            f"RESAMPLE EVERY {EVERY[tier]} FOR {_twice(window)} "
            f"BEGIN {rolled} GROUP BY time({window}), * END"
        )
        steps.append(Step(outcome="made", what=f"continuous query {query}", detail=f"min, max, mean each {window}"))
    return steps


def _twice(window: str) -> str:
    return f"{2 * int(window[:-1])}{window[-1]}"


def flux_task(bucket: str, tier: Tier, org: str) -> str:
    """The Flux script that rolls raw points up; one yield for each of min, max and mean."""
    every = WINDOWS[tier]
    parts = "\n".join(
        f"""data
  |> aggregateWindow(every: {every}, fn: {function}, timeSrc: "_start", createEmpty: false)
  |> map(fn: (r) => ({{r with _field: "{function}_" + r._field, _measurement: "{tier}"}}))
  |> to(bucket: "{database(bucket, tier)}", org: "{org}")
  |> yield(name: "{function}")
"""
        for function in ("min", "max", "mean")
    )
    # offset: points are usually late by seconds; range: two windows, so that the one before is computed again.
    return (
        'import "date"\nimport "strings"\n'
        f'option task = {{name: "{bucket}_to_{tier}", every: {EVERY[tier]}, offset: 30s}}\n'
        f'data = from(bucket: "{bucket}")\n'
        f"  |> range(start: date.truncate(t: date.sub(d: {_twice(every)}, from: now()), unit: {every}), "
        f"stop: now())\n"
        f'  |> filter(fn: (r) => r._measurement == "{Tier.RAW}")\n'
        '  |> filter(fn: (r) => not strings.hasSuffix(v: r._field, suffix: "_gap"))\n'
        f"{parts}\n"
    )


class Influx2:
    """The management API of InfluxDB 2.x (`/api/v2`), as far as set-up needs it."""

    def __init__(self, client: httpx.Client, *, org: str) -> None:
        self._client, self._org = client, org

    def set_up(self, bucket: str, retention: Retention) -> list[Step]:
        """Buckets, DBRP mappings and tasks."""
        org_id = self._org_id()
        steps = []
        for tier in Tier:
            base, days = database(bucket, tier), retention.days(tier)
            bucket_id, step = self._bucket(org_id, base, days, SHARD_DAYS[tier])
            steps += [step, self._mapping(org_id, base, bucket_id)]
        steps += [self._task(org_id, f"{bucket}_to_{tier}", flux_task(bucket, tier, self._org)) for tier in WINDOWS]
        return steps

    def _org_id(self) -> str:
        found = call(self._client, "GET", "/api/v2/orgs", params={"org": self._org}).json().get("orgs", [])
        if not found:
            raise ValueError(f"{self._client.base_url}: there is no organisation {self._org!r}; name one of yours")
        return str(found[0]["id"])

    def _bucket(self, org_id: str, base: str, days: int, shard_days: int) -> tuple[str, Step]:
        shard = {"shardGroupDurationSeconds": shard_days * DAY_S}
        rules = [{"type": "expire", "everySeconds": days * DAY_S} | shard]  # 0 seconds: for ever
        asked = {"name": base, "orgID": org_id}
        found = call(self._client, "GET", "/api/v2/buckets", params=asked).json().get("buckets", [])
        kept = f"kept {days} days" if days else "kept for ever"
        if not found:
            made = call(self._client, "POST", "/api/v2/buckets", json={**asked, "retentionRules": rules}).json()
            return str(made["id"]), Step(outcome="made", what=f"bucket {base}", detail=kept)
        bucket_id = str(found[0]["id"])
        seconds = [rule.get("everySeconds", 0) for rule in found[0].get("retentionRules", [])] or [0]
        if seconds[0] == days * DAY_S:
            return bucket_id, Step(outcome="kept", what=f"bucket {base}", detail=kept)
        call(self._client, "PATCH", f"/api/v2/buckets/{bucket_id}", json={"retentionRules": rules})
        return bucket_id, Step(outcome="changed", what=f"bucket {base}", detail=kept)

    def _mapping(self, org_id: str, base: str, bucket_id: str) -> Step:
        asked = {"orgID": org_id, "db": base}
        found = call(self._client, "GET", "/api/v2/dbrps", params=asked).json().get("content", [])
        if any(mapping.get("bucketID") == bucket_id and mapping.get("default") for mapping in found):
            return Step(outcome="kept", what=f"DBRP mapping {base}")
        body = {"orgID": org_id, "bucketID": bucket_id, "database": base, "retention_policy": "kept", "default": True}
        call(self._client, "POST", "/api/v2/dbrps", json=body)
        return Step(outcome="made", what=f"DBRP mapping {base}", detail="InfluxQL reads the bucket at /query")

    def _task(self, org_id: str, task: str, flux: str) -> Step:
        found = (
            call(self._client, "GET", "/api/v2/tasks", params={"name": task, "orgID": org_id}).json().get("tasks", [])
        )
        if not found:
            call(self._client, "POST", "/api/v2/tasks", json={"orgID": org_id, "flux": flux, "status": "active"})
            return Step(outcome="made", what=f"task {task}", detail="min, max, mean")
        if found[0].get("flux") == flux and found[0].get("status") == "active":
            return Step(outcome="kept", what=f"task {task}")
        call(self._client, "PATCH", f"/api/v2/tasks/{found[0]['id']}", json={"flux": flux, "status": "active"})
        return Step(outcome="changed", what=f"task {task}")


def _influx3(client: httpx.Client, bucket: str, retention: Retention) -> list[Step]:
    there = {
        str(row.get("iox::database", ""))
        for row in call(client, "GET", "/api/v3/configure/database", params={"format": "json"}).json()
    }
    steps = []
    for tier in Tier:
        base, days = database(bucket, tier), retention.days(tier)
        if base in there:
            steps.append(Step(outcome="kept", what=f"database {base}"))
            continue
        body = {"db": base} | ({"retention_period": f"{days}d"} if days else {})
        call(client, "POST", "/api/v3/configure/database", json=body)
        steps.append(Step(outcome="made", what=f"database {base}", detail=f"kept {days or 'for ever'}"))
    steps.append(
        Step(
            outcome="cannot",
            what="tasks",
            detail="InfluxDB 3 Core has none; run `sealwatch telemetry retention` each hour instead",
        )
    )
    return steps


def check_victoria(store: VictoriaTelemetry) -> list[Step]:
    """VictoriaMetrics is set up by its command line: say what fits and what does not. Raises TelemetryUnavailable."""
    if store.is_cluster:
        store.check()
        return [
            Step(outcome="checked", what="queries", detail="the cluster answers at telemetry.query_url"),
            Step(
                outcome="cannot",
                what="options of the cluster",
                detail="its addresses do not tell them: see that every vmstorage has -retentionPeriod=5y, vmstorage "
                "and vmselect have -dedup.minScrapeInterval=1ms, and vminsert has -replicationFactor=2",
            ),
            _HOURLY,
        ]
    flags = store.flags()
    kept = flags.get("retentionPeriod", "1")
    steps = [
        Step(
            outcome="checked" if kept.endswith("y") else "cannot",
            what="retention",
            detail=f"-retentionPeriod={kept}; roll-ups live as long, so years are wanted (5y); there is one retention "
            "for everything, and the free edition has no downsampling of its own",
        )
    ]
    dedup = flags.get("dedup.minScrapeInterval", "0s")
    steps.append(
        Step(
            outcome="checked" if dedup == "1ms" else "cannot",
            what="one point a moment",
            detail=f"-dedup.minScrapeInterval={dedup}; 1ms is wanted, so that a point sent twice counts once",
        )
    )
    steps.append(_HOURLY)
    return steps
