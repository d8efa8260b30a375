"""A backup put back, checked first, into an empty place: nothing that is there is ever overwritten."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.files import sync_folder
from sealwatch.cloud.backup import manifest as manifests
from sealwatch.cloud.backup import postgres
from sealwatch.cloud.backup.manifest import DATA, DUMP, Manifest
from sealwatch.cloud.db.place import is_server

_SHOWN: Final = 3


def check(folder: Path) -> Manifest:
    """The manifest of a backup in which every file is what it was. Raises UsageError and CommandFailed."""
    manifest = manifests.read(folder)
    found = manifests.damaged(folder, manifest)
    if found:
        shown = ", ".join(f"{path} ({reason})" for path, reason in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise CommandFailed(f"{folder}: damaged: {shown}{more}; take another backup")
    for path in sorted((folder / DATA).glob("*.sqlite")):
        _check_sqlite(path)
    return manifest


def restore(folder: Path, data_dir: Path, database: URL) -> Manifest:
    """Put a checked backup into `data_dir` and, for PostgreSQL, into an empty database.

    Raises UsageError and CommandFailed.
    The folder of data gets its name last: what was cut off before that is begun anew.
    """
    manifest = check(folder)
    kind = "postgresql" if is_server(database) else "sqlite"
    if manifest.database != kind:
        raise UsageError(f"{folder}: holds a {manifest.database} database, but cloud.toml names {kind}; see [database]")
    if data_dir.exists() and any(data_dir.iterdir()):
        raise UsageError(f"{data_dir}: is not empty; stop the service, move the folder away, and restore again")
    if is_server(database):
        postgres.refuse_filled(database)
    draft = data_dir.with_name(f".{data_dir.name}.restoring")
    try:
        if draft.exists():
            shutil.rmtree(draft)
        shutil.copytree(folder / DATA, draft, copy_function=_copy)
        draft.chmod(0o700)
        if is_server(database):
            postgres.restore(database, folder / DUMP)
        if data_dir.exists():
            data_dir.rmdir()
        draft.rename(data_dir)
        sync_folder(data_dir.parent)
    except OSError as error:
        raise CommandFailed(f"{data_dir}: could not be restored: {error}") from None
    return manifest


def _copy(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    path = Path(target)
    path.chmod(0o600)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_sqlite(path: Path) -> None:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        raise CommandFailed(f"{path}: the database in it is damaged ({answer}); take another backup")
