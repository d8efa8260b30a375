"""The step on the store of measurements: first user and tokens of an InfluxDB 2, then what every engine needs."""

from __future__ import annotations

from typing import Any

import httpx

from sealwatch.base.files import replace_file
from sealwatch.cloud.config import TelemetrySettings, load_cloud
from sealwatch.cloud.setup.plan import Plan
from sealwatch.cloud.setup.steps import Told, done, skipped
from sealwatch.cloud.telemetry import setup
from sealwatch.cloud.telemetry.reading import Tier
from sealwatch.cloud.telemetry.remote import reader
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry
from sealwatch.cloud.telemetry.store import EMBEDDED, retention
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry

SERVICE_TOKEN, GRAFANA_TOKEN = "influx-token", "grafana-series-token"


def make_series(plan: Plan) -> Told:
    """Buckets, retention, roll-ups and tokens. Raises TelemetryUnavailable, PointsRefused, ValueError."""
    settings = TelemetrySettings() if plan.engine == "embedded" else load_cloud(plan.config).telemetry
    if plan.engine == "embedded":
        there = (plan.data / EMBEDDED).exists()
        SqliteTelemetry(plan.data / EMBEDDED).close()
        return (skipped if there else done)("series.embedded", file=plan.data / EMBEDDED)
    if plan.engine == "victoria":
        store = VictoriaTelemetry(settings.url, query_url=settings.query_url)
        try:
            wrong = [step.detail for step in setup.check_victoria(store) if step.outcome == "cannot"]
        finally:
            store.close()
        return skipped("series.victoria", url=settings.url, wrong="; ".join(wrong) or "-")
    with reader(settings.url, "") as client:
        kind, version = setup.engine(client)
    if kind == "influxdb2":
        return influx2(plan, settings)
    # 1.x and 3.x bring users of their own or none: no token of ours until the administrator puts one there.
    _placeholder(plan, SERVICE_TOKEN)
    _placeholder(plan, GRAFANA_TOKEN)
    with reader(settings.url, plan.secret(SERVICE_TOKEN).read_text(encoding="utf-8").strip()) as client:
        steps = setup.set_up(client, bucket=settings.bucket, org=settings.org, retention=retention(settings))
    made = [step for step in steps if step.outcome == "made" and not step.what.startswith("continuous")]
    key = "series.made" if made else "series.there"
    return (done if made else skipped)(key, url=settings.url, version=version, count=len(made))


def _placeholder(plan: Plan, name: str) -> None:
    if not plan.secret(name).exists():
        replace_file(plan.secret(name), b"\n")


def influx2(plan: Plan, settings: TelemetrySettings, *, client: httpx.Client | None = None) -> Told:
    """First user, buckets and tokens of an InfluxDB 2; `client` stands in for the server's own address."""
    admin = plan.secret("influx-admin-token").read_text(encoding="ascii").strip()
    first = _first_user(client or reader(settings.url, ""), plan, settings, admin)
    authorised = client or reader(settings.url, admin)
    steps = setup.set_up(authorised, bucket=settings.bucket, org=settings.org, retention=retention(settings))
    made = sum(step.outcome == "made" for step in steps) + first
    buckets = [setup.database(settings.bucket, tier) for tier in Tier]
    for name, actions in ((SERVICE_TOKEN, ("read", "write")), (GRAFANA_TOKEN, ("read",))):
        if not plan.secret(name).exists():
            token = _authorise(authorised, settings.org, buckets, actions, f"sealwatch {name}")
            replace_file(plan.secret(name), token.encode() + b"\n")
            made += 1
    key = "series.made" if made else "series.there"
    return (done if made else skipped)(key, url=settings.url, version="2", count=made)


def _first_user(client: httpx.Client, plan: Plan, settings: TelemetrySettings, token: str) -> bool:
    """Claim a server that nobody has set up yet; whether there was something to claim."""
    if not setup.call(client, "GET", "/api/v2/setup").json().get("allowed"):
        return False
    password = plan.secret("influx-password").read_text(encoding="ascii").strip()
    body = {"username": "sealwatch", "password": password, "org": settings.org, "token": token}
    days = retention(settings).days(Tier.RAW)
    body |= {"bucket": settings.bucket, "retentionPeriodSeconds": days * setup.DAY_S}  # type: ignore[dict-item]  # one is a number
    setup.call(client, "POST", "/api/v2/setup", json=body)
    return True


def _authorise(client: httpx.Client, org: str, buckets: list[str], actions: tuple[str, ...], name: str) -> str:
    """A token that can do these things with these buckets and nothing else."""
    org_id = setup.call(client, "GET", "/api/v2/orgs", params={"org": org}).json()["orgs"][0]["id"]
    permissions: list[dict[str, Any]] = []
    for bucket in buckets:
        found = setup.call(client, "GET", "/api/v2/buckets", params={"name": bucket, "orgID": org_id}).json()
        resource = {"type": "buckets", "id": found["buckets"][0]["id"], "orgID": org_id}
        permissions += [{"action": action, "resource": resource} for action in actions]
    # Reading in InfluxQL goes through the mappings of databases to buckets.
    permissions.append({"action": "read", "resource": {"type": "dbrp", "orgID": org_id}})
    body = {"orgID": org_id, "description": name, "permissions": permissions}
    return str(setup.call(client, "POST", "/api/v2/authorizations", json=body).json()["token"])
