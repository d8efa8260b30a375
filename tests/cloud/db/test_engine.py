"""Opening the database: what a commit promises, and who waits for whom."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from sealwatch.base.errors import UsageError
from sealwatch.cloud.db.engine import Database, open_database, open_engine, sqlite_url
from sealwatch.cloud.db.tables import Incident, Site


def a_site(site_id: str) -> Site:
    return Site(site_id=site_id, name_zh="井", name_en="pit", declared_status="power_cut")


def test_every_sqlite_connection_is_durable_and_checks_foreign_keys(sqlite_file_url: str) -> None:
    database = open_database(sqlite_file_url)
    with database.write() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA synchronous")) == 2  # FULL
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
    database.close()


def test_what_a_failing_block_wrote_is_gone(database: Database) -> None:
    def add_and_fail() -> None:
        with database.write() as session:
            session.add(a_site("s1"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        add_and_fail()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Site)) == 0


def test_reading_sees_the_state_before_an_unfinished_write(database: Database) -> None:
    with database.write() as writing:
        writing.add(a_site("s1"))
        writing.flush()
        with database.read() as reading:
            assert reading.scalar(select(func.count()).select_from(Site)) == 0
    with database.read() as reading:
        assert reading.scalar(select(func.count()).select_from(Site)) == 1


def test_writers_that_read_first_queue_up_and_lose_no_update(database: Database) -> None:
    with database.write() as session:
        session.add(a_site("s1"))

    def add_one() -> None:
        for _ in range(20):
            with database.write() as session:
                site = session.get_one(Site, "s1", with_for_update=True)
                site.township_en = str(int(site.township_en or "0") + 1)

    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.get_one(Site, "s1").township_en == "80"


def test_two_programs_on_one_database_see_each_others_commits(database_url: str, database: Database) -> None:
    other = open_database(database_url)
    with database.write() as session:
        session.add(a_site("s1"))
    with other.write() as session:
        assert session.get_one(Site, "s1").name_en == "pit"
        session.add(a_site("s2"))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Site)) == 2
    other.close()


def test_opening_creates_no_file(tmp_path: Path) -> None:
    open_engine(sqlite_url(tmp_path / "cloud.sqlite"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["not a url", "nosuchdb://host/db"])
def test_a_bad_url_is_one_sentence(url: str) -> None:
    with pytest.raises(UsageError, match="database URL"):
        open_engine(url)


def test_a_site_has_one_open_incident_at_most(database: Database) -> None:
    def incident(incident_id: str, state: str) -> Incident:
        return Incident(
            incident_id=incident_id,
            site_id="s1",
            level="red",
            state=state,
            verdict="person",
            reason="person",
            opened_at_ms=1,
            updated_at_ms=1,
            ladder={},
        )

    with database.write() as session:
        session.add(a_site("s1"))
        session.flush()
        session.add_all([incident("i1", "closed"), incident("i2", "closed"), incident("i3", "notified")])
    with pytest.raises(Exception, match=r"(?i)unique"), database.write() as session:
        session.add(incident("i4", "detected"))
