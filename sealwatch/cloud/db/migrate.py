"""Schema migrations: the only place that creates or alters tables."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from sealwatch.base.errors import UsageError
from sealwatch.cloud.db.engine import hold_alone, open_engine, sqlite_url

_SCRIPTS = Path(__file__).parents[1] / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def newest_revision() -> str:
    """The revision that this version of the service works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise UsageError("this installation carries no migrations; install the package again")
    return head


def current_revision(engine: Engine) -> str | None:
    """The revision of the database, or None where it has no tables yet."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_behind(engine: Engine) -> bool:
    """Whether `migrate` has work to do. Raises UsageError where the database is newer than this program."""
    current = current_revision(engine)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise UsageError(
            f"the database has schema {current}, which this version does not know; install the newer version again"
        )
    return current != newest_revision()


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the schema to the newest revision, in one transaction; (before, after).

    Raises UsageError where the database holds tables that are not this program's.
    """
    if not is_behind(engine):
        return newest_revision(), newest_revision()
    before = current_revision(engine)
    if before is None and (strangers := [t for t in inspect(engine).get_table_names() if t != "alembic_version"]):
        raise UsageError(f"the database already holds tables ({', '.join(strangers[:3])} …); name an empty one")
    config = _config()
    with _altering(engine) as connection:
        hold_alone(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, newest_revision()


@contextmanager
def _altering(engine: Engine) -> Iterator[Connection]:
    """A transaction in which tables are altered, with every reference leading somewhere at its end.

    SQLite alters a table by copying it, and the table is gone for a moment: references are checked once it is back, in
    the order of https://www.sqlite.org/lang_altertable.html#otheralter. Raises UsageError where one leads nowhere.
    """
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            yield connection
        return
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")  # has no effect within a transaction
        try:
            with connection.begin():
                yield connection
                if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone():
                    raise UsageError(
                        f"a row of the table {broken[0]} refers to one of {broken[2]} that is not there; "
                        "nothing was altered; restore the database from a backup"
                    )
        finally:
            driver.execute("PRAGMA foreign_keys=ON")


def draft(message: str) -> None:
    """Write the migration that leads from the newest one to the models, for a developer to read and mend."""
    number = len(list((_SCRIPTS / "versions").glob("[0-9]*.py"))) + 1
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(sqlite_url(Path(folder) / "draft.sqlite"))
        migrate(engine)
        config = _config()
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")
        engine.dispose()


if __name__ == "__main__":  # python -m sealwatch.cloud.db.migrate "what changes"
    draft(sys.argv[1])
