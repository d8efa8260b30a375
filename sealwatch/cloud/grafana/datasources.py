"""The data sources that the dashboards name: raw points, roll-ups, and the relational tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sealwatch.cloud.grafana.queries import PLUGIN, RECORDS, Engine, Sources
from sealwatch.cloud.telemetry.reading import Tier
from sealwatch.cloud.telemetry.setup import database


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the stores are and who asks. Secrets may be Grafana's own references (``$__file{...}``, ``$NAME``)."""

    series_url: str
    series_token: str = ""
    bucket: str = "sealwatch"
    records_host: str = "127.0.0.1:5432"
    records_database: str = "sealwatch"
    records_user: str = "grafana"
    records_password: str = ""
    records_sslmode: str = "disable"


def series(sources: Sources, tier: Tier, access: Access) -> dict[str, Any]:
    """One tier of the time series. VictoriaMetrics keeps all of them in one place: three names, one server."""
    uid = sources.uid(str(tier))
    found: dict[str, Any] = {
        "name": uid,
        "uid": uid,
        "type": PLUGIN[sources.engine],
        "access": "proxy",
        "url": access.series_url,
        "isDefault": False,
        "editable": False,
    }
    if sources.engine is Engine.INFLUXDB:
        base = database(access.bucket, tier)
        found["database"] = base  # Grafana before 9.4 looks here
        found["jsonData"] = {"dbName": base, "httpMode": "GET", "version": "InfluxQL", "timeInterval": "10s"}
    else:
        found["jsonData"] = {"httpMethod": "POST", "timeInterval": "10s"}
    if access.series_token:
        found["jsonData"]["httpHeaderName1"] = "Authorization"
        found["secureJsonData"] = {"httpHeaderValue1": f"Token {access.series_token}"}
    return found


def records(sources: Sources, access: Access) -> dict[str, Any]:
    """The relational tables through the read-only role of the county."""
    uid = sources.uid(RECORDS)
    return {
        "name": uid,
        "uid": uid,
        "type": "postgres",
        "access": "proxy",
        "url": access.records_host,
        "user": access.records_user,
        "database": access.records_database,  # Grafana before 10.2 looks here
        "isDefault": False,
        "editable": False,
        "jsonData": {
            "database": access.records_database,
            "sslmode": access.records_sslmode,
            "maxOpenConns": 10,
            "connMaxLifetime": 14400,
            "postgresVersion": 1300,
            "timescaledb": False,
        },
        "secureJsonData": {"password": access.records_password},
    }


def everything(sources: Sources, access: Access) -> list[dict[str, Any]]:
    """All data sources of one county."""
    tiers = [tier for tier in Tier if sources.engine is Engine.INFLUXDB or tier is not Tier.DAYS]
    return [*(series(sources, tier, access) for tier in tiers), records(sources, access)]
