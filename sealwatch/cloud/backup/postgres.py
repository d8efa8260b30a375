"""PostgreSQL's own tools: a dump in the custom format out, and back into an empty database."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sqlalchemy import URL, create_engine, inspect
from sqlalchemy.exc import DatabaseError

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.cloud.db.place import describe, unusable

_HOW = "install the distribution's package postgresql-client, of the server's version or a newer one"


def dump(url: URL, file: Path) -> None:
    """One consistent state of the database into `file`. Raises CommandFailed."""
    _run(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={file}"], url)


def restore(url: URL, file: Path) -> None:
    """The dump into the empty database of `url`: all of it or nothing. Raises UsageError and CommandFailed."""
    refuse_filled(url)
    _run(
        ["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", str(file)],
        url,
        database_option=True,
    )


def refuse_filled(url: URL) -> None:
    """Raises UsageError where the database has tables already."""
    engine = create_engine(url)
    try:
        tables = inspect(engine).get_table_names()
    except DatabaseError as error:
        raise UsageError(unusable(url, error)) from None
    finally:
        engine.dispose()
    if tables:
        raise UsageError(f"{describe(url)}: has {len(tables)} tables already; restore into an empty database")


def _run(command: list[str], url: URL, *, database_option: bool = False) -> None:
    where = [f"--host={url.host}"] if url.host else []
    where += [f"--port={url.port}"] if url.port else []
    where += [f"--username={url.username}"] if url.username else []
    where += [f"--dbname={url.database}"] if database_option else []
    last = [] if database_option else [str(url.database)]
    # The password goes by the environment: a command line can be read by every user of the machine.
    environment = os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {})
    try:
        done = subprocess.run(
            [command[0], *where, *command[1:], *last], env=environment, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise CommandFailed(f"{command[0]} is not on this machine; {_HOW}") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise CommandFailed(f"{describe(url)}: {lines[0] if lines else command[0] + ' failed'}")
