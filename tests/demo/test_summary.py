"""The ledger finds what is missing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sealwatch.demo import summary


def books(folder: Path, *, stored: list[tuple[str, int]], held: list[tuple[str, int]], numbered: int) -> summary.Ledger:
    for name, table, pairs in (("s.sqlite", "received", stored), ("o.sqlite", "message", held)):
        with closing(sqlite3.connect(folder / name)) as db:
            db.execute(f"CREATE TABLE {table} (boot_id TEXT, seq INTEGER, channel TEXT)")
            db.executemany(f"INSERT INTO {table} VALUES (?, ?, 'alarm')", pairs)
            db.execute(f"INSERT INTO {table} VALUES ('a', 99, 'samples')")
            if table == "message":
                db.execute("CREATE TABLE tally (name TEXT, value INTEGER)")
                db.execute("INSERT INTO tally VALUES ('numbered_alarm', ?), ('numbered_samples', 1)", (numbered,))
            db.commit()
    return summary.ledger(service=folder / "s.sqlite", outbox=folder / "o.sqlite")


def test_everything_stored_or_waiting_is_nothing_lost(tmp_path: Path) -> None:
    book = books(tmp_path, stored=[("a", 1), ("a", 2), ("b", 1)], held=[("a", 2), ("a", 3)], numbered=4)
    assert (book.sent, book.stored, book.waiting, book.lost) == (4, 3, 1, 0)


def test_one_that_was_numbered_and_is_nowhere_is_lost(tmp_path: Path) -> None:
    assert books(tmp_path, stored=[("a", 1), ("a", 3), ("b", 2)], held=[], numbered=5).lost == 2
