"""Which database the configuration means, and what an operator reads where it can't be used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from sealwatch.base import settings as settings_
from sealwatch.base.broker import free_port
from sealwatch.base.errors import UsageError
from sealwatch.base.text import Language
from sealwatch.cli import main
from sealwatch.cloud import check
from sealwatch.cloud.config import DatabaseSettings, load_cloud
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_engine
from sealwatch.cloud.db.place import database_url, open_for_service
from sealwatch.cloud.service import Service
from tests.cloud.conftest import PostgresDatabases


@pytest.fixture
def bare_postgres(postgres_databases: PostgresDatabases) -> str:
    """The URL of a PostgreSQL database without a table, as it stands in a configuration."""
    return postgres_databases.server.url(postgres_databases.create("template1"))


@pytest.fixture(autouse=True)
def no_broker_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none in these tests."""
    monkeypatch.setattr(check, "WAIT_S", 0.05)


def cloud_toml(folder: Path, url: str, more: str = "") -> Path:
    file = folder / "cloud.toml"
    file.write_text(
        f'data_dir = "data"\nmqtt.url = "mqtt://127.0.0.1:1883"\n[database]\nurl = "{url}"\n{more}', encoding="utf-8"
    )
    return file


def refusal(settings: DatabaseSettings, folder: Path) -> str:
    with pytest.raises(UsageError) as refused:
        open_for_service(settings, folder)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


def test_without_a_url_it_is_a_file_in_the_data_folder_and_is_migrated_at_once(tmp_path: Path) -> None:
    database, moved = open_for_service(DatabaseSettings(), tmp_path)
    assert moved == (None, migrate.newest_revision())
    database.close()
    assert (tmp_path / "cloud.sqlite").exists()


def test_the_password_comes_from_its_reference_and_is_shown_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("a/b@c\n", encoding="utf-8")
    settings = DatabaseSettings(url="postgresql://seal@127.0.0.1:1/records", password=f"file:{secret}")
    url = database_url(settings, tmp_path)
    assert (url.drivername, url.password) == ("postgresql+psycopg", "a/b@c")
    sentence = refusal(settings, tmp_path)
    assert "127.0.0.1:1, database records" in sentence
    assert "start the server" in sentence
    assert "a/b@c" not in sentence


def test_a_password_in_the_url_is_refused_without_repeating_it(tmp_path: Path) -> None:
    sentence = refusal(DatabaseSettings(url="postgresql+psycopg://seal:hunter2@db.example/records"), tmp_path)
    assert "database.password" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize("url", ["mysql://db/records", "postgresql+psycopg://db.example"])
def test_another_kind_of_url_is_refused_by_the_configuration(tmp_path: Path, url: str) -> None:
    with pytest.raises(settings_.SettingsError, match=r"database\.url"):
        load_cloud(cloud_toml(tmp_path, url))


def test_a_missing_driver_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    sentence = refusal(DatabaseSettings(url=f"postgresql+psycopg://seal@127.0.0.1:{free_port()}/records"), tmp_path)
    assert "psycopg" in sentence
    assert "install it" in sentence


def test_a_database_that_is_not_on_the_server_is_one_sentence(
    tmp_path: Path, postgres_databases: PostgresDatabases
) -> None:
    url = postgres_databases.server.url("nowhere")
    assert 'database "nowhere" does not exist' in refusal(DatabaseSettings(url=url), tmp_path)


def test_a_server_that_wants_a_password_is_one_sentence(tmp_path: Path, postgres_databases: PostgresDatabases) -> None:
    url = postgres_databases.server.url("newest", user="stranger")
    assert "no password supplied" in refusal(DatabaseSettings(url=url), tmp_path)


def test_the_service_never_migrates_a_server_and_says_what_to_run(
    tmp_path: Path, bare_postgres: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = cloud_toml(tmp_path, bare_postgres)
    with pytest.raises(UsageError, match=r"no tables yet; run `sealwatch cloud migrate` first"):
        Service(load_cloud(file), file)
    assert main(["cloud", "migrate", "--config", str(file)]) == 0
    assert migrate.newest_revision() in capsys.readouterr().out
    Service(load_cloud(file), file).close()
    engine = open_engine(bare_postgres)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        connection.execute(text("DROP TABLE pages"))
    engine.dispose()
    with pytest.raises(UsageError, match="run `sealwatch cloud migrate`"):
        Service(load_cloud(file), file)


def test_migrate_and_check_say_what_is_wrong_with_a_server_that_is_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = cloud_toml(tmp_path, "postgresql+psycopg://seal@127.0.0.1:1/records")
    assert main(["cloud", "migrate", "--config", str(file)]) == 2
    assert "127.0.0.1:1, database records: cannot be used" in capsys.readouterr().err
    found = {finding.part: finding for finding in check.run(load_cloud(file), file, Language.EN)}
    assert not found["database"].ok
    assert "database records" in found["database"].sentence


def test_check_tells_a_server_that_is_behind_from_one_that_is_ready(tmp_path: Path, bare_postgres: str) -> None:
    file = cloud_toml(tmp_path, bare_postgres)
    settings = load_cloud(file)
    before = {finding.part: finding for finding in check.run(settings, file, Language.EN)}["database"]
    assert (before.ok, "run sealwatch cloud migrate first" in before.sentence) == (False, True)
    main(["cloud", "migrate", "--config", str(file)])
    assert {finding.part: finding for finding in check.run(settings, file, Language.EN)}["database"].ok
