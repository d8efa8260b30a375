"""`sealwatch grafana`: write the dashboards to files, or install them in a running Grafana."""

from __future__ import annotations

import argparse
from pathlib import Path

from sealwatch.base import settings
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.cloud.grafana import render as files_
from sealwatch.cloud.grafana.datasources import Access
from sealwatch.cloud.grafana.panels import Look
from sealwatch.cloud.grafana.queries import Engine, Sources
from sealwatch.cloud.grafana.records import role_sql, schema_sql
from sealwatch.cloud.grafana.sync import County, GrafanaRefusedError, Sync

_SECRET = "reference to a secret: file:/path or env:NAME"  # noqa: S105 - a help text


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this room's commands."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    render = commands.add_parser("render", help="write dashboards, data sources and rules for file provisioning")
    render.add_argument("folder", type=Path, metavar="FOLDER")
    render.add_argument("--county", default="", metavar="CODE", help="county code that points and sites carry")
    render.add_argument("--service-url", default="http://127.0.0.1:8000", help="where incident pages are")
    render.set_defaults(run=_render)
    sync = commands.add_parser("sync", help="install them through Grafana's API; may be repeated")
    sync.add_argument("--url", required=True, metavar="http://grafana:3000")
    sync.add_argument("--token", required=True, metavar="REF", help=f"service account of an administrator; {_SECRET}")
    sync.add_argument("--county", action="append", required=True, metavar="CODE:NAME[:TEAM]", help="may be repeated")
    sync.add_argument("--engine", choices=[str(e) for e in Engine], default="influxdb")
    sync.add_argument("--lang", choices=["zh", "en"], default="zh")
    sync.add_argument("--service-url", default="http://127.0.0.1:8000", help="where incident pages are")
    sync.add_argument("--series-url", required=True, help="the time-series server as Grafana reaches it")
    sync.add_argument("--series-token", default="", metavar="REF", help=_SECRET)
    sync.add_argument("--bucket", default="sealwatch")
    sync.add_argument("--records-host", default="127.0.0.1:5432", help="PostgreSQL as Grafana reaches it")
    sync.add_argument("--records-database", default="sealwatch")
    sync.add_argument("--records-user", default="grafana_{county}", help="role; {county} stands for the code")
    sync.add_argument("--records-password", default="", metavar="REF", help=_SECRET)
    sync.add_argument("--records-sslmode", default="require", choices=["disable", "require", "verify-full"])
    sync.set_defaults(run=_sync)
    sql = commands.add_parser("sql", help="print the SQL that makes the views and one county's read-only role")
    sql.add_argument("--role", required=True)
    sql.add_argument("--county", required=True, metavar="CODE")
    sql.add_argument("--password", required=True, metavar="REF", help=_SECRET)
    sql.set_defaults(run=_sql)


def _render(arguments: argparse.Namespace) -> int:
    written = files_.files(county=arguments.county, service_url=arguments.service_url)
    for name, content in written.items():
        path = arguments.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    print(f"{len(written)} files under {arguments.folder}")
    return 0


def parse_county(given: str) -> County:
    """CODE:NAME[:TEAM]; the team is named after the county where none is given. Raises UsageError."""
    code, _, rest = given.partition(":")
    name, _, team = rest.partition(":")
    if not name:
        raise UsageError(f"--county {given}: give it as CODE:NAME, for example 210423:清原县")
    return County(code=code, name=name, team=team or name)


def _sync(arguments: argparse.Namespace) -> int:
    counties = [parse_county(given) for given in arguments.county]
    grafana = Sync(arguments.url, settings.secret(arguments.token))
    password = settings.secret(arguments.records_password) if arguments.records_password else ""
    series_token = settings.secret(arguments.series_token) if arguments.series_token else ""
    try:
        for county in counties:
            sources = Sources(Engine(arguments.engine), county.code)
            access = Access(
                series_url=arguments.series_url,
                series_token=series_token,
                bucket=arguments.bucket,
                records_host=arguments.records_host,
                records_database=arguments.records_database,
                records_user=arguments.records_user.replace("{county}", county.code),
                records_password=password,
                records_sslmode=arguments.records_sslmode,
            )
            look = Look(sources=sources, language=arguments.lang, service_url=arguments.service_url)
            for done in grafana.county(county, look, access):
                print(f"{done.outcome:8} {done.what}")
    except GrafanaRefusedError as error:
        raise CommandFailed(str(error)) from None
    return 0


def _sql(arguments: argparse.Namespace) -> int:
    try:
        role = role_sql(arguments.role, arguments.county, settings.secret(arguments.password))
    except ValueError as error:
        raise UsageError(str(error)) from None
    print(schema_sql() + role)
    return 0
