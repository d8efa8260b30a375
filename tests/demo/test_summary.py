"""The ledger finds what is missing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sealwatch.demo import summary


def books(folder: Path, *, stored: list[tuple[str, int]], held: list[tuple[str, int]]) -> summary.Ledger:
    for name, table, pairs in (("s.sqlite", "received", stored), ("o.sqlite", "message", held)):
        with closing(sqlite3.connect(folder / name)) as db:
            db.execute(f"CREATE TABLE {table} (boot_id TEXT, seq INTEGER)")
            db.executemany(f"INSERT INTO {table} VALUES (?, ?)", pairs)
            db.commit()
    return summary.ledger(service=folder / "s.sqlite", outbox=folder / "o.sqlite")


def test_everything_stored_or_waiting_is_nothing_lost(tmp_path: Path) -> None:
    book = books(tmp_path, stored=[("a", 1), ("a", 2), ("b", 1)], held=[("a", 2), ("a", 3)])
    assert (book.sent, book.stored, book.waiting, book.lost) == (4, 3, 1, 0)


def test_a_gap_in_the_numbers_is_a_loss(tmp_path: Path) -> None:
    assert books(tmp_path, stored=[("a", 1), ("a", 3), ("b", 2)], held=[]).lost == 2
