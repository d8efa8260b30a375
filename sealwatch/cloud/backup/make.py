"""A backup while the service runs: everything in `data_dir`, and the database where that is a server.

The records are copied before the evidence: a file is durable before the row that names it, so every file that the
copied records name is in the backup. Evidence never changes once it is there, so it is linked to the newest earlier
backup where that lies on the same disk; a daily backup then costs what the day brought. A file is named by its hash:
one that the earlier backup's disk has altered is copied anew, one that is altered at the service itself is told.

A backup is made under a name that begins with a dot and gets its own when it is whole and synced.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import URL

from sealwatch import __version__
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.files import replace_file, sync_folder
from sealwatch.cloud.backup import manifest as manifests
from sealwatch.cloud.backup import postgres
from sealwatch.cloud.backup.manifest import DATA, DUMP, Entry, Manifest
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_engine
from sealwatch.cloud.db.place import is_server

EVIDENCE: Final = "evidence"
_NOT_KEPT: Final = frozenset({"service.lock", "uploads"})
"""The lock is this process's; a node begins an upload that was cut off anew."""
_SQLITE_TAILS: Final = ("-wal", "-shm", "-journal")
_PARTIAL: Final = ".partial-"
_NAME: Final = "%Y-%m-%dT%H-%M-%SZ"


def make(data_dir: Path, database: URL, target: Path, config: Path, *, now_ms: int) -> Path:
    """One backup below `target`; its folder. Raises UsageError and CommandFailed."""
    if not data_dir.is_dir():
        raise UsageError(f"{data_dir}: there is no data to back up; see data_dir")
    name = datetime.fromtimestamp(now_ms / 1000, UTC).strftime(_NAME)
    partial, whole = target / f"{_PARTIAL}{name}", target / name
    if whole.exists():
        raise UsageError(f"{whole}: there is a backup of this second already")
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_over in target.glob(f"{_PARTIAL}*"):
            shutil.rmtree(left_over)
        previous = max(backups(target), default=None)
        (partial / DATA).mkdir(mode=0o700, parents=True)
        schema = _records(data_dir, database, partial)
        _files(data_dir, partial / DATA, previous)
        shutil.copyfile(config, partial / "cloud.toml")
        files = _entries(data_dir, partial)
        found = Manifest(
            made_at_ms=now_ms,
            version=__version__,
            database="postgresql" if is_server(database) else "sqlite",
            schema=schema,
            files=files,
            altered=[one.path for one in files if _is_altered(one)],
        )
        for path in _walk(partial):
            _sync(path)
        replace_file(partial / manifests.FILE, msgspec.json.format(msgspec.json.encode(found)))
        partial.rename(whole)
        sync_folder(target)
    except OSError as error:
        raise CommandFailed(f"{target}: the backup could not be made: {error}") from None
    return whole


def _entries(data_dir: Path, partial: Path) -> list[Entry]:
    found = []
    for path in _walk(partial):
        one = manifests.entry(partial, path)
        if _is_altered(one):
            path.unlink()
            shutil.copyfile(data_dir / path.relative_to(partial / DATA), path)
            one = manifests.entry(partial, path)
        found.append(one)
    return sorted(found, key=lambda entry: entry.path)


def _is_altered(entry: Entry) -> bool:
    """Evidence whose content is not what its name says."""
    return entry.path.startswith(f"{DATA}/{EVIDENCE}/") and Path(entry.path).name != entry.sha256


def backups(target: Path) -> list[Path]:
    """Whole backups below a folder, the oldest first. Raises OSError."""
    return sorted(path.parent for path in target.glob(f"[0-9]*/{manifests.FILE}"))


def prune(target: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep` whole backups; those that went. Raises CommandFailed."""
    gone = backups(target)[:-keep]
    for folder in gone:
        try:
            (folder / manifests.FILE).unlink()  # from now on it is no whole backup, whatever happens next
            shutil.rmtree(folder)
        except OSError as error:
            raise CommandFailed(f"{folder}: could not be removed: {error}") from None
    return gone


def _records(data_dir: Path, database: URL, partial: Path) -> str:
    """The relational records; the schema they have."""
    engine = open_engine(database)
    try:
        schema = migrate.current_revision(engine)
    finally:
        engine.dispose()
    if schema is None:
        raise UsageError("the database has no tables yet; there is nothing to back up")
    if is_server(database):
        postgres.dump(database, partial / DUMP)
    for path in sorted(data_dir.glob("*.sqlite")):
        _copy_sqlite(path, partial / DATA / path.name)
    return schema


def _copy_sqlite(source: Path, target: Path) -> None:
    """A whole, consistent copy of a database that others are writing to (SQLite's online backup)."""
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without companions
    except sqlite3.Error as error:
        raise CommandFailed(f"{source}: cannot be copied: {error}") from None


def _files(data_dir: Path, target: Path, previous: Path | None) -> None:
    for path in _walk(data_dir):
        relative = path.relative_to(data_dir)
        if relative.parts[0] in _NOT_KEPT or _is_sqlite(relative) or relative.parts[:2] == (EVIDENCE, "incoming"):
            continue
        copy = target / relative
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if relative.parts[0] == EVIDENCE and previous is not None and _linked(previous / DATA / relative, copy):
            continue
        try:
            shutil.copyfile(path, copy)
        except FileNotFoundError:  # retention took it away in the meantime
            continue
        copy.chmod(0o600)


def _is_sqlite(relative: Path) -> bool:
    return len(relative.parts) == 1 and (
        relative.suffix == ".sqlite" or relative.name.endswith(tuple(f".sqlite{tail}" for tail in _SQLITE_TAILS))
    )


def _linked(earlier: Path, copy: Path) -> bool:
    try:
        os.link(earlier, copy)
    except OSError:  # not there, another disk, or a file system without links: it is copied
        return False
    return True


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name != manifests.FILE:
            yield path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)
