"""From an older version's database to this one's with everything in it, and back again by the documented way.

An older version is its schema with a row or two in every table that it had: each migration meets filled tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Column, Engine, MetaData, Table, make_url, select
from sqlalchemy.types import JSON, Boolean, Float, Integer, LargeBinary

from sealwatch.base.errors import UsageError
from sealwatch.cli import main
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_database, open_engine, sqlite_url
from sealwatch.cloud.db.tables import Base
from tests.cloud.conftest import PostgresDatabases

ROWS = 2
REVISIONS = [one.revision for one in ScriptDirectory.from_config(migrate._config()).walk_revisions()][::-1]


def bring_to(engine: Engine, revision: str) -> None:
    """As the version with this schema left it."""
    config = migrate._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def value(table: Table, column: Column[Any], number: int) -> Any:
    """Something that fits the column and, for a reference, the row it refers to."""
    for reference in column.foreign_keys:
        return value(reference.column.table, reference.column, number)
    length = getattr(column.type, "length", None)
    match column.type:
        case Boolean():
            return bool(number)
        case Integer():
            return number + 1
        case Float():
            return number + 0.5
        case LargeBinary():
            return f"{table.name} {number}".encode()
        case JSON():
            return {"number": number}
    return f"{number}{column.name}"[: length or 100]


def fill(engine: Engine) -> None:
    """Rows in every table that is there."""
    found = MetaData()
    found.reflect(engine)
    with engine.begin() as connection:
        for table in found.sorted_tables:
            if table.name != "alembic_version":
                rows = [{c.name: value(table, c, number) for c in table.columns} for number in range(ROWS)]
                connection.execute(table.insert(), rows)


def content(engine: Engine) -> dict[str, dict[str, list[Any]]]:
    """Every column of every table, rows in the order of their text."""
    found = MetaData()
    found.reflect(engine)
    with engine.connect() as connection:
        return {
            table.name: {c.name: sorted(connection.scalars(select(c)).all(), key=repr) for c in table.columns}
            for table in found.sorted_tables
            if table.name != "alembic_version"
        }


def config(folder: Path, url: URL) -> str:
    file = folder / "cloud.toml"
    lines = f'data_dir = "{folder / "data"}"\n[mqtt]\nurl = "mqtt://127.0.0.1:1883"\n'
    if url.drivername != "sqlite":
        lines += f'[database]\nurl = "{url.render_as_string(hide_password=False)}"\n'
    file.write_text(lines, encoding="utf-8")
    return str(file)


@pytest.fixture(params=["sqlite", "postgresql"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[URL, URL]]:
    """Where the service's records are, and an empty place to restore them to."""
    if request.param == "sqlite":
        url = make_url(sqlite_url(tmp_path / "data" / "cloud.sqlite"))
        (tmp_path / "data").mkdir()
        yield url, url
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
    names = [databases.create("template1") for _ in range(2)]
    (tmp_path / "data").mkdir()
    yield make_url(databases.server.url(names[0])), make_url(databases.server.url(names[1]))
    for name in names:
        databases.drop(name)


@pytest.mark.parametrize("revision", [REVISIONS[0], REVISIONS[len(REVISIONS) // 2], REVISIONS[-2]])
def test_an_older_database_is_brought_up_with_everything_in_it_and_taken_back(
    revision: str, places: tuple[URL, URL], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, elsewhere = places
    engine = open_engine(url)
    bring_to(engine, revision)
    fill(engine)
    before = content(engine)
    file = config(tmp_path, url)
    assert main(["cloud", "backup", str(tmp_path / "backups"), "--config", file]) == 0, capsys.readouterr().err
    assert main(["cloud", "migrate", "--config", file]) == 0, capsys.readouterr().err

    after = content(engine)
    for table, columns in before.items():
        assert {name: after[table][name] for name in columns} == columns, f"{table} is as it was"
    database = open_database(url)
    with database.read() as session:
        for mapper in Base.registry.mappers:
            rows = session.scalars(select(mapper)).all()
            assert len(rows) == (ROWS if mapper.local_table.name in before else 0)  # type: ignore[attr-defined]
    database.close()
    engine.dispose()

    # The documented way back: the backup taken before, with the program of then.
    (tmp_path / "data").rename(tmp_path / "data.new")
    file = config(tmp_path, elsewhere)
    (made,) = (tmp_path / "backups").iterdir()
    assert main(["cloud", "restore", str(made), "--config", file]) == 0, capsys.readouterr().err
    engine = open_engine(elsewhere)
    assert migrate.current_revision(engine) == revision
    assert content(engine) == before
    assert main(["cloud", "migrate", "--config", file]) == 0, "and forward once more"
    assert migrate.current_revision(engine) == migrate.newest_revision()
    engine.dispose()


def test_a_row_that_refers_to_nothing_stops_the_upgrade_and_nothing_is_altered(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "cloud.sqlite"))
    bring_to(engine, REVISIONS[-2])
    fill(engine)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        driver.execute("DELETE FROM accounts WHERE rowid = 1")
        driver.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(UsageError, match="refers to one of accounts that is not there; nothing was altered"):
        migrate.migrate(engine)
    assert migrate.current_revision(engine) == REVISIONS[-2]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1, "watched again from now on"
    engine.dispose()
