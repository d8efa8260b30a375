"""What only the store on disk promises: durability, several threads, several processes."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry

T0 = 1_700_000_000_000
_WRITER = """
import sys
from pathlib import Path
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry
store = SqliteTelemetry(Path(sys.argv[1]))
i = 0
while True:
    store.write(site_id="s", node_id="n", source_id="m", at_ms=[i], values={"p_w": [float(i)]})
    print(i, flush=True)
    i += 1
"""


def test_the_file_is_in_wal_mode_and_every_commit_is_fsynced(tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "t.sqlite")
    with store._reader() as reader:
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()
    store.close()
    with pytest.raises(ValueError, match="closed"):
        store.read(site_id="s", metric="p_w", from_ms=0, to_ms=1)


def test_what_a_killed_writer_had_confirmed_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        confirmed = [int(writer.stdout.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        confirmed += [int(line) for line in writer.stdout.read().splitlines()]
    store = SqliteTelemetry(path)
    kept = store.read(site_id="s", metric="p_w", from_ms=0, to_ms=10**9, max_points=10**6)["m"]
    store.close()
    assert list(kept.at_ms)[: len(confirmed)] == confirmed
    assert len(kept.at_ms) <= len(confirmed) + 1


def test_threads_may_write_and_read_at_once(tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "t.sqlite")
    seen: list[int] = []

    def write(source: str) -> None:
        for block in range(10):
            at_ms = [T0 + block * 100 + i for i in range(100)]
            store.write(site_id="s", node_id="n", source_id=source, at_ms=at_ms, values={"p_w": [1.0] * 100})

    def read() -> None:
        for _ in range(20):
            found = store.read(site_id="s", metric="p_w", from_ms=T0, to_ms=T0 + 10_000, max_points=10_000)
            seen.extend(len(series.at_ms) for series in found.values())

    threads = [threading.Thread(target=write, args=(f"m{i}",)) for i in range(4)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = store.read(site_id="s", metric="p_w", from_ms=T0, to_ms=T0 + 10_000, max_points=10_000)
    store.close()
    assert {source: len(series.at_ms) for source, series in final.items()} == {f"m{i}": 1000 for i in range(4)}
    assert all(count % 100 == 0 for count in seen), "a reader saw half a write"


def test_two_processes_worth_of_stores_share_one_file(tmp_path: Path) -> None:
    one, two = SqliteTelemetry(tmp_path / "t.sqlite"), SqliteTelemetry(tmp_path / "t.sqlite")
    one.write(site_id="s", node_id="n", source_id="m", at_ms=[1], values={"p_w": [1.0]})
    two.write(site_id="s", node_id="n", source_id="m", at_ms=[2], values={"p_w": [2.0]})
    read = one.read(site_id="s", metric="p_w", from_ms=0, to_ms=9)["m"]
    one.close()
    two.close()
    assert (list(read.at_ms), list(read.values)) == ([1, 2], [1.0, 2.0])


def test_a_write_that_fails_half_way_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "t.sqlite")
    with pytest.raises((sqlite3.Error, OverflowError)):
        store.write(site_id="s", node_id="n", source_id="m", at_ms=[1, 2**70], values={"p_w": [1.0, 2.0]})
    store.write(site_id="s", node_id="n", source_id="m", at_ms=[5], values={"p_w": [5.0]})
    read = store.read(site_id="s", metric="p_w", from_ms=0, to_ms=9)["m"]
    store.close()
    assert list(read.at_ms) == [5]


def test_a_folder_where_the_file_should_be_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="telemetry file can't be opened"):
        SqliteTelemetry(tmp_path)
