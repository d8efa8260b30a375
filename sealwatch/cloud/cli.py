"""`sealwatch cloud`: the county's service on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from sealwatch.cloud.config import CloudSettings, data_dir, load_cloud
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_engine, sqlite_url


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this room's commands."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    schema = commands.add_parser("migrate", help="bring the database to the newest schema")
    schema.add_argument("--config", type=Path, required=True, metavar="cloud.toml")
    schema.set_defaults(run=_migrate)


def database_url(settings: CloudSettings, path: Path) -> str:
    """The URL of the service's database."""
    return sqlite_url(data_dir(settings, path) / "cloud.sqlite")


def _migrate(arguments: argparse.Namespace) -> int:
    settings = load_cloud(arguments.config)
    data_dir(settings, arguments.config).mkdir(parents=True, exist_ok=True)
    engine = open_engine(database_url(settings, arguments.config))
    before, after = migrate.migrate(engine)
    engine.dispose()
    print(f"schema {after}, nothing to do" if before == after else f"schema {before or 'none'} -> {after}")
    return 0
