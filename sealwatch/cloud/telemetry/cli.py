"""`sealwatch telemetry`: set the store up, keep it in bounds, say how it is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import CommandFailed
from sealwatch.cloud.config import CloudSettings, TelemetrySettings, data_dir, load_cloud
from sealwatch.cloud.telemetry import job, setup
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.remote import PointsRefused, TelemetryUnavailable, reader
from sealwatch.cloud.telemetry.setup import Step
from sealwatch.cloud.telemetry.spool import Spool
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry
from sealwatch.cloud.telemetry.store import EMBEDDED, SPOOL, open_server, retention, token
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this room's commands."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary, run in (
        ("init", "make buckets, retention, roll-ups and mappings; may be repeated", _init),
        ("retention", "roll up what is whole, delete what is past its time; meant for once an hour", _retention),
        ("status", "what the store says, what waits on disk, what was refused", _status),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--config", type=Path, required=True, metavar="cloud.toml")
        command.set_defaults(run=run)


def _load(arguments: argparse.Namespace) -> tuple[CloudSettings, Path]:
    cloud = load_cloud(arguments.config)
    return cloud, data_dir(cloud, arguments.config)


def _init(arguments: argparse.Namespace) -> int:
    cloud, folder = _load(arguments)
    settings = cloud.telemetry
    if settings.engine == "embedded":
        SqliteTelemetry(folder / EMBEDDED).close()
        print(f"embedded store {folder / EMBEDDED}: ready, nothing else to set up")
        return 0
    try:
        steps = _set_up(settings)
    except (TelemetryUnavailable, PointsRefused, ValueError) as error:
        raise CommandFailed(f"telemetry init: {error}") from None
    for step in steps:
        print(f"{step.outcome:8} {step.what}" + (f": {step.detail}" if step.detail else ""))
    return 0


def _set_up(settings: TelemetrySettings) -> Sequence[Step]:
    if settings.engine == "victoria":
        store = open_server(settings)
        try:
            return [] if isinstance(store, InfluxTelemetry) else setup.check_victoria(store)
        finally:
            store.close()
    with reader(settings.url, token(settings)) as client:
        return setup.set_up(client, bucket=settings.bucket, org=settings.org, retention=retention(settings))


def _retention(arguments: argparse.Namespace) -> int:
    cloud, folder = _load(arguments)
    now_ms = SystemClock().wall_ms()
    if cloud.telemetry.engine == "embedded":
        embedded = SqliteTelemetry(folder / EMBEDDED)
        done = embedded.maintain(now_ms=now_ms, retention=retention(cloud.telemetry))
        embedded.close()
        print(
            f"rolled up, {done.late_hours} late hours again; deleted {done.deleted_points} points "
            f"and {done.deleted_rows} roll-ups"
        )
        return 0
    store = open_server(cloud.telemetry)
    spool = Spool(folder / SPOOL)
    try:
        report = job.run(store, spool, now_ms=now_ms)
    except (TelemetryUnavailable, PointsRefused, ValueError) as error:
        raise CommandFailed(f"telemetry retention: {error}") from None
    finally:
        spool.close()
        store.close()
    print(f"rolled up {report.hours} hours ({report.late_hours} of them late) into {report.points} values")
    print("old points are deleted by the server itself (see `sealwatch telemetry init`)")
    return 0


def _engine(settings: TelemetrySettings) -> tuple[str, str]:
    """What answers. Raises TelemetryUnavailable, PointsRefused."""
    if settings.query_url:
        store = open_server(settings)
        try:
            if isinstance(store, VictoriaTelemetry):
                store.check()
        finally:
            store.close()
        return "victoria", "(cluster)"
    with reader(settings.url, token(settings)) as client:
        return setup.engine(client)


def _status(arguments: argparse.Namespace) -> int:
    cloud, folder = _load(arguments)
    settings = cloud.telemetry
    if settings.engine == "embedded":
        path = folder / EMBEDDED
        size_mib = path.stat().st_size / 2**20 if path.exists() else 0.0
        print(f"embedded store {path}: {size_mib:.1f} MiB")
        return 0
    healthy = True
    try:
        kind, version = _engine(settings)
        print(f"{settings.url}: {kind} {version}".rstrip())
    except (TelemetryUnavailable, PointsRefused) as error:
        healthy = False
        print(f"{settings.url}: does not answer: {error}")
    spool = Spool(folder / SPOOL)
    state = spool.state()
    spool.close()
    print(f"waiting on disk: {state.points} points in {state.blocks} blocks, {state.size_bytes / 2**20:.1f} MiB")
    for name, value in sorted(state.counts.items()):
        print(f"{name}: {value}")
    if not healthy:
        raise CommandFailed("the telemetry store does not answer; points wait on disk until it does")
    return 0
