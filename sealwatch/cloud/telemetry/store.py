"""Which store a configuration means, opened."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sealwatch.base import settings as settings_
from sealwatch.base.clock import Clock
from sealwatch.base.settings import SettingsError
from sealwatch.cloud.config import TelemetrySettings
from sealwatch.cloud.telemetry.guard import Limits
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.setup import Retention
from sealwatch.cloud.telemetry.spool import Spool
from sealwatch.cloud.telemetry.spooled import GuardedTelemetry, SpooledTelemetry
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry

EMBEDDED: Final = "telemetry.sqlite"
SPOOL: Final = "telemetry-spool.sqlite"


def retention(settings: TelemetrySettings) -> Retention:
    """How long each table lives."""
    return Retention(raw_days=settings.raw_days, minutes_days=settings.minutes_days, hours_days=settings.hours_days)


def token(settings: TelemetrySettings) -> str:
    """The token that the reference names, or none. Raises SettingsError."""
    return settings_.secret(settings.token) if settings.token else ""


def open_server(settings: TelemetrySettings, *, clock: Clock | None = None) -> InfluxTelemetry | VictoriaTelemetry:
    """The configured server itself, without its spool. Raises SettingsError."""
    if settings.engine == "embedded":
        raise SettingsError('telemetry: engine is embedded; this needs engine = "influxdb" or "victoria" and a url')
    try:
        if settings.engine == "victoria":
            return VictoriaTelemetry(
                settings.url,
                query_url=settings.query_url,
                token=token(settings),
                county=settings.county,
                raw_days=settings.raw_days,
                clock=clock,
            )
        return InfluxTelemetry(
            settings.url,
            bucket=settings.bucket,
            token=token(settings),
            org=settings.org,
            county=settings.county,
            raw_days=settings.raw_days,
            clock=clock,
        )
    except ValueError as error:
        raise SettingsError(f"telemetry.url: {error}") from None


def open_for_reading(
    settings: TelemetrySettings, folder: Path, *, clock: Clock | None = None
) -> SqliteTelemetry | InfluxTelemetry | VictoriaTelemetry:
    """The store beside a service that writes to it: nothing is sent. Raises SettingsError, OSError."""
    return SqliteTelemetry(folder / EMBEDDED) if settings.engine == "embedded" else open_server(settings, clock=clock)


def open_store(
    settings: TelemetrySettings, folder: Path, *, clock: Clock | None = None
) -> GuardedTelemetry | SpooledTelemetry:
    """The store behind the bound on series; a server stands behind its spool in `folder`, and sending begins.

    Raises SettingsError, OSError.
    """
    limits = Limits(unknown_metrics=settings.unknown_metrics, sources_per_site=settings.sources_per_site)
    if settings.engine == "embedded":
        store = SqliteTelemetry(folder / EMBEDDED)
        return GuardedTelemetry(store, store.names(), limits)
    server = open_server(settings, clock=clock)
    spooled = SpooledTelemetry(
        server, Spool(folder / SPOOL, max_bytes=settings.spool_mib * 2**20), limits=limits, clock=clock
    )
    spooled.start()
    return spooled
