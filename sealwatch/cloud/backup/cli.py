"""`sealwatch cloud backup` and `sealwatch cloud restore`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sealwatch.base import text
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.base.text import Language
from sealwatch.cloud.backup import make, restore
from sealwatch.cloud.backup.manifest import Manifest
from sealwatch.cloud.config import data_dir, load_cloud
from sealwatch.cloud.db.place import database_url


def configure(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    out = commands.add_parser("backup", help="copy everything the service keeps into a folder, while it runs")
    out.add_argument("target", type=Path, metavar="FOLDER", help="where backups lie; each gets a folder of its own")
    out.add_argument("--keep", type=int, metavar="N", help="afterwards remove all but the newest N backups")
    out.set_defaults(run=_backup)
    checked = commands.add_parser("backup-check", help="whether every file of a backup is what it was")
    checked.add_argument("folder", type=Path, metavar="BACKUP")
    checked.set_defaults(run=_check)
    back = commands.add_parser("restore", help="put a backup into an empty data folder (and an empty database)")
    back.add_argument(
        "folder", type=Path, metavar="BACKUP", help="the folder of one backup, such as 2026-01-31T02-00-00Z"
    )
    back.set_defaults(run=_restore)
    for command in (out, back):
        command.add_argument("--config", type=Path, required=True, metavar="cloud.toml")


def _backup(arguments: argparse.Namespace) -> int:
    settings, language = load_cloud(arguments.config), text.terminal_language()
    if arguments.keep is not None and arguments.keep < 1:
        raise UsageError("--keep must be at least 1: the backup just made is never removed")
    folder = data_dir(settings, arguments.config)
    database = database_url(settings.database, folder)
    made = make.make(folder, database, arguments.target, arguments.config, now_ms=SystemClock().wall_ms())
    manifest = restore.check(made)
    print(_said(language, "cloud.backup.made", made, manifest))
    if manifest.altered:
        print(text.say(language, "cloud.backup.altered", count=len(manifest.altered), first=manifest.altered[0]))
    for gone in make.prune(arguments.target, arguments.keep) if arguments.keep else ():
        print(text.say(language, "cloud.backup.removed", folder=gone))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    manifest = restore.check(arguments.folder)
    print(_said(text.terminal_language(), "cloud.backup.whole", arguments.folder, manifest))
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    settings, language = load_cloud(arguments.config), text.terminal_language()
    folder = data_dir(settings, arguments.config)
    manifest = restore.restore(arguments.folder, folder, database_url(settings.database, folder))
    print(_said(language, "cloud.backup.restored", folder, manifest))
    return 0


def _said(language: Language, key: str, folder: Path, manifest: Manifest) -> str:
    megabytes = f"{manifest.size_bytes / 1e6:.1f}"
    return text.say(
        language, key, folder=folder, files=len(manifest.files), megabytes=megabytes, schema=manifest.schema
    )
