"""Migrations lead exactly to the models, once, and never into somebody else's database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from sealwatch.base.errors import UsageError
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_engine, sqlite_url
from sealwatch.cloud.db.tables import Base


@pytest.fixture
def bare_engine(bare_url: str) -> Iterator[Engine]:
    """Both databases in turn, without a table."""
    engine = open_engine(bare_url)
    yield engine
    engine.dispose()


def test_the_migrations_lead_to_the_models(bare_engine: Engine) -> None:
    assert migrate.migrate(bare_engine) == (None, migrate.newest_revision())
    with bare_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        difference = compare_metadata(context, Base.metadata)
    assert difference == [], 'write the step with: python -m sealwatch.cloud.db.migrate "what changes"'


def test_migrating_a_file_twice_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "db.sqlite"
    engine = open_engine(sqlite_url(file))
    migrate.migrate(engine)
    assert not migrate.is_behind(engine)
    before = file.read_bytes()
    newest = migrate.newest_revision()
    assert migrate.migrate(engine) == (newest, newest)
    assert file.read_bytes() == before


def test_a_newer_database_is_left_alone(bare_engine: Engine) -> None:
    migrate.migrate(bare_engine)
    with bare_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match="schema 9999"):
        migrate.is_behind(bare_engine)


def test_a_strangers_database_is_left_alone(bare_engine: Engine) -> None:
    with bare_engine.begin() as connection:
        connection.execute(text("CREATE TABLE invoices (id INTEGER)"))
    with pytest.raises(UsageError, match="invoices"):
        migrate.migrate(bare_engine)


def test_an_interrupted_migration_leaves_nothing_behind(bare_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    real = op.create_table
    calls: list[str] = []

    def third_fails(name: str, *columns: object, **options: object) -> object:
        calls.append(name)
        if len(calls) == 3:
            raise OSError("the disk went away")
        return real(name, *columns, **options)  # type: ignore[arg-type]  # handed through as it came

    monkeypatch.setattr(op, "create_table", third_fails)
    with pytest.raises(OSError, match="disk"):
        migrate.migrate(bare_engine)
    monkeypatch.undo()
    assert migrate.current_revision(bare_engine) is None
    migrate.migrate(bare_engine)
    assert not migrate.is_behind(bare_engine)
