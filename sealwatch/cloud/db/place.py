"""Which database the configuration means, and whether it can be used: what `serve`, `migrate` and `check` share."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from sealwatch.base import settings as settings_
from sealwatch.base.errors import UsageError
from sealwatch.base.settings import SettingsError
from sealwatch.cloud.config import DatabaseSettings
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import Database, open_database, sqlite_url

SQLITE_FILE = "cloud.sqlite"


def database_url(settings: DatabaseSettings, folder: Path) -> URL:
    """The configured PostgreSQL, its password looked up, or else the SQLite file in `folder`. Raises SettingsError."""
    if not settings.url:
        return make_url(sqlite_url(folder / SQLITE_FILE))
    try:
        url = make_url(settings.url)
    except (ArgumentError, ValueError):
        raise SettingsError("database.url cannot be read; wanted is postgresql+psycopg://user@host:5432/db") from None
    if url.password is not None:
        raise SettingsError("database.url holds a password; take it out and name a file of it in database.password")
    password = settings_.secret(settings.password) if settings.password else None
    return url.set(drivername="postgresql+psycopg", password=password)


def is_server(url: URL) -> bool:
    """Whether it is a server that other services may share, not a file of our own."""
    return not url.drivername.startswith("sqlite")


def describe(url: URL) -> str:
    """The database in an error sentence, without its password."""
    if not is_server(url):
        return str(url.database)
    return f"PostgreSQL {url.host or 'on this machine'}:{url.port or 5432}, database {url.database}"


def open_for_service(settings: DatabaseSettings, folder: Path) -> tuple[Database, tuple[str | None, str] | None]:
    """The database with the newest schema, and (before, after) where it had to be brought there.

    A SQLite file is migrated at once; a server never, because other services may be working on it. Raises UsageError
    where the database cannot be used.
    """
    url = database_url(settings, folder)
    database = open_database(url)
    try:
        if not migrate.is_behind(database.engine):
            return database, None
        if not is_server(url):
            return database, migrate.migrate(database.engine)
        revision = migrate.current_revision(database.engine)
        state = f"has schema {revision}, which is behind" if revision else "has no tables yet"
        raise UsageError(f"{describe(url)}: {state}; run `sealwatch cloud migrate` first")
    except DatabaseError as error:
        database.close()
        raise UsageError(unusable(url, error)) from None
    except UsageError:
        database.close()
        raise


def open_for_shell(settings: DatabaseSettings, folder: Path) -> Database:
    """The database of a service that may be running, for a command beside it; nothing is made or migrated.

    Raises UsageError where there is none, or one of another version.
    """
    url = database_url(settings, folder)
    if not is_server(url) and not Path(str(url.database)).exists():
        raise UsageError(f"{describe(url)}: there is no database yet; start the service first")
    database = open_database(url)
    try:
        if migrate.is_behind(database.engine):
            raise UsageError(f"{describe(url)}: its schema is behind; run `sealwatch cloud migrate` first")
    except DatabaseError as error:
        database.close()
        raise UsageError(unusable(url, error)) from None
    except UsageError:
        database.close()
        raise
    return database


def unusable(url: URL, error: DatabaseError) -> str:
    """The sentence for a database that cannot be used."""
    if not is_server(url):
        return f"{describe(url)}: cannot be used as the database ({error.orig}); restore it from a backup"
    lines = [line.strip() for line in str(error.orig).splitlines() if line.strip()]
    return f"{describe(url)}: cannot be used ({lines[0]}); start the server, or correct [database] in cloud.toml"
