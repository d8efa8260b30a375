"""Backups taken while the service writes, checked, and put back: the restored service knows what the first one knew."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url, select, text
from sqlalchemy.engine import Connection

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.cli import main
from sealwatch.cloud.backup import make, manifest, postgres, restore
from sealwatch.cloud.db.engine import open_database, open_engine, sqlite_url
from sealwatch.cloud.db.tables import AlarmTransition, Base
from sealwatch.cloud.evidence.store import FileEvidence
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry
from tests.cloud.conftest import PostgresDatabases
from tests.cloud.world import World

NOW_MS = 1_800_000_000_000
CLIP = b"a clip that a court will see" * 100
SHA256 = hashlib.sha256(CLIP).hexdigest()


class County:
    """A service's data folder with a little of everything, and the database that belongs to it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder / "data", make_url(url)
        self.folder.mkdir()
        if self.url.drivername == "sqlite":
            shutil.copy(str(self.url.database), self.folder / "cloud.sqlite")
            self.url = make_url(sqlite_url(self.folder / "cloud.sqlite"))
        self.world = World(self.url.render_as_string(hide_password=False))
        self.world.push(self.world.alarm(), self.world.alarm("vehicle"))
        self.telemetry = SqliteTelemetry(self.folder / "telemetry.sqlite")
        self.telemetry.write(site_id="s1", node_id="n1", source_id="m", at_ms=[1], values={"active_power_w": [3.0]})
        FileEvidence(self.folder / "evidence").put(SHA256, CLIP)
        (self.folder / "service.secret").write_bytes(b"secret")
        (self.folder / "service.lock").write_bytes(b"")
        (self.folder / "uploads").mkdir()
        (self.folder / "uploads" / "half").write_bytes(b"half of a file")
        self.config = folder / "cloud.toml"
        self.config.write_text("data_dir = 'data'\n")

    def back_up(self, target: Path, now_ms: int = NOW_MS) -> Path:
        return make.make(self.folder, self.url, target, self.config, now_ms=now_ms)

    def close(self) -> None:
        self.world.close()
        self.telemetry.close()


def rows(url: URL) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    engine = open_engine(url)

    def of(connection: Connection, name: str) -> list[tuple[object, ...]]:
        return sorted((tuple(row) for row in connection.execute(text(f'SELECT * FROM "{name}"'))), key=repr)

    with engine.connect() as connection:
        found = {name: of(connection, name) for name in Base.metadata.tables}
    engine.dispose()
    return found


@pytest.fixture
def county(tmp_path: Path, database_url: str) -> Iterator[County]:
    made = County(tmp_path, database_url)
    yield made
    made.close()


@pytest.fixture
def empty_place(request: pytest.FixtureRequest, tmp_path: Path, county: County) -> Callable[[], tuple[Path, URL]]:
    """Another machine: an empty folder and, for PostgreSQL, an empty database."""

    def made() -> tuple[Path, URL]:
        folder = tmp_path / "restored"
        if county.url.drivername == "sqlite":
            return folder, make_url(sqlite_url(folder / "cloud.sqlite"))
        databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
        return folder, make_url(databases.server.url(databases.create("template1")))

    return made


def test_what_was_backed_up_is_there_after_the_restore(
    county: County, empty_place: Callable[[], tuple[Path, URL]], tmp_path: Path
) -> None:
    made = county.back_up(tmp_path / "backups")
    folder, url = empty_place()
    restore.restore(made, folder, url)
    assert rows(url) == rows(county.url)
    assert rows(url)["alarms"]
    assert FileEvidence(folder / "evidence").get(SHA256) == CLIP
    assert (folder / "service.secret").read_bytes() == b"secret"
    assert not (folder / "uploads").exists()
    assert not (folder / "service.lock").exists()
    telemetry = SqliteTelemetry(folder / "telemetry.sqlite")
    assert telemetry.read(site_id="s1", metric="active_power_w", from_ms=0, to_ms=2)["m"].values == [3.0]
    telemetry.close()
    assert oct(folder.stat().st_mode & 0o777) == "0o700"


def test_a_backup_while_alarms_come_in_is_one_state(
    county: County, empty_place: Callable[[], tuple[Path, URL]], tmp_path: Path
) -> None:
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            county.world.push(county.world.alarm(alarm_id=f"storm-{number}"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = county.back_up(tmp_path / "backups")
    finally:
        ended.set()
        writer.join()
    folder, url = empty_place()
    restore.restore(made, folder, url)
    database = open_database(url)
    with database.read() as session:
        transitions = {(t.node_id, t.boot_id, t.seq) for t in session.scalars(select(AlarmTransition))}
        received = {tuple(row) for row in session.execute(text("SELECT node_id, boot_id, seq FROM received"))}
    database.close()
    assert transitions
    assert transitions == received


def test_a_second_backup_shares_the_evidence_of_the_first(county: County, tmp_path: Path) -> None:
    first = county.back_up(tmp_path / "backups")
    second = county.back_up(tmp_path / "backups", NOW_MS + 1000)
    there = f"data/evidence/{SHA256[:2]}/{SHA256[2:4]}/{SHA256}"
    assert (first / there).stat().st_ino == (second / there).stat().st_ino
    (first / there).write_bytes(b"rotten")  # the disk altered it: the third takes the service's own copy again
    third = county.back_up(tmp_path / "backups", NOW_MS + 2000)
    assert (third / there).read_bytes() == CLIP
    assert restore.check(third).altered == []
    with pytest.raises(CommandFailed, match="wrong_size"):
        restore.check(first)


def test_evidence_that_the_service_itself_has_lost_is_told(county: County, tmp_path: Path) -> None:
    (county.folder / "evidence" / SHA256[:2] / SHA256[2:4] / SHA256).write_bytes(b"altered")
    made = county.back_up(tmp_path / "backups")
    assert restore.check(made).altered == [f"data/evidence/{SHA256[:2]}/{SHA256[2:4]}/{SHA256}"]


def test_only_the_newest_backups_are_kept_and_never_none(county: County, tmp_path: Path) -> None:
    target = tmp_path / "backups"
    made = [county.back_up(target, NOW_MS + 1000 * number) for number in range(3)]
    assert make.prune(target, 2) == made[:1]
    assert make.backups(target) == made[1:]


def test_a_damaged_backup_is_refused_before_anything_is_touched(
    county: County, empty_place: Callable[[], tuple[Path, URL]], tmp_path: Path
) -> None:
    made = county.back_up(tmp_path / "backups")
    secret = made / "data" / "service.secret"
    folder, url = empty_place()
    secret.write_bytes(b"sEcret")
    with pytest.raises(CommandFailed, match=r"service\.secret \(altered\)"):
        restore.restore(made, folder, url)
    secret.unlink()
    with pytest.raises(CommandFailed, match=r"service\.secret \(missing\)"):
        restore.restore(made, folder, url)
    assert not folder.exists()


def test_nothing_is_overwritten(county: County, empty_place: Callable[[], tuple[Path, URL]], tmp_path: Path) -> None:
    made = county.back_up(tmp_path / "backups")
    folder, url = empty_place()
    folder.mkdir()
    (folder / "something").touch()
    with pytest.raises(UsageError, match="not empty"):
        restore.restore(made, folder, url)
    if county.url.drivername != "sqlite":
        (folder / "something").unlink()
        with pytest.raises(UsageError, match="tables already"):
            restore.restore(made, folder, county.url)


def test_a_backup_cut_off_is_none_and_the_next_one_clears_it_away(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "backups"

    class PowerGone(BaseException):
        pass

    def cut(*_args: object) -> None:
        raise PowerGone

    for step in ("_records", "_files", "_entries", "replace_file"):
        with monkeypatch.context() as patched:
            patched.setattr(make, step, cut)
            with pytest.raises(PowerGone):
                county.back_up(target)
        assert make.backups(target) == []
    assert make.backups(target) == []
    made = county.back_up(target)
    assert sorted(target.iterdir()) == [made]
    restore.check(made)


def test_a_restore_cut_off_begins_anew(
    county: County, empty_place: Callable[[], tuple[Path, URL]], tmp_path: Path
) -> None:
    made = county.back_up(tmp_path / "backups")
    folder, url = empty_place()
    half = folder.with_name(f".{folder.name}.restoring")
    half.mkdir()
    (half / "left over").touch()
    restore.restore(made, folder, url)
    assert not (folder / "left over").exists()


def test_a_manifest_never_leads_out_of_the_backup(county: County, tmp_path: Path) -> None:
    made = county.back_up(tmp_path / "backups")
    file = made / manifest.FILE
    file.write_text(file.read_text().replace("data/service.secret", "data/../../x"))
    with pytest.raises(UsageError, match="cannot be read"):
        restore.check(made)


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match="postgresql-client"):
        postgres.dump(make_url("postgresql+psycopg://a@127.0.0.1:1/b"), tmp_path / "dump")


def test_the_commands_back_up_check_and_restore(
    county: County, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if county.url.drivername != "sqlite":
        pytest.skip("the command reads [database] as the service does; what it calls is tested on both")
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    county.config.write_text('data_dir = "data"\nmqtt.url = "mqtt://127.0.0.1:1"\n')
    target = tmp_path / "backups"
    assert main(["cloud", "backup", str(target), "--keep", "1", "--config", str(county.config)]) == 0
    assert "已备份并校验" in capsys.readouterr().out
    [made] = make.backups(target)
    assert main(["cloud", "backup-check", str(made)]) == 0
    assert main(["cloud", "restore", str(made), "--config", str(county.config)]) == 2
    assert "not empty" in capsys.readouterr().err
    county.close()
    county.folder.rename(tmp_path / "old")
    assert main(["cloud", "restore", str(made), "--config", str(county.config)]) == 0
    assert "已恢复到" in capsys.readouterr().out
    with sqlite3.connect(county.folder / "cloud.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM alarms").fetchone()[0] == 2
    connection.close()
    assert main(["cloud", "backup", str(target), "--keep", "0", "--config", str(county.config)]) == 2
