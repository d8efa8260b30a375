"""Outbox and footage on small disks of the kernel's own: full, read-only, and with files that break while in use.

The disks are tmpfs, mounted by the test; where that is not allowed these tests are skipped. What a disk does is real
here; what it answers, in every other case, is scripted in the tests of outbox and recorder.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.edge.recorder.footage import INDEX_FILE
from sealwatch.edge.recorder.segment import FootageError
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.store import OutboxError
from tests.edge.recorder import support
from tests.edge.recorder.support import CAMERA, Node
from tests.edge.uplink.helpers import BOOT_A, BOOT_B, alarm, texts


class SmallDisk:
    """A tmpfs of `megabytes`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs")

    def _mount(self, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments, str(self.folder)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")

    def fill(self) -> None:
        """Not one more byte fits."""
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            for size in (65536, 4096, 512):
                while True:
                    try:
                        filler.write(bytes(size))
                    except OSError:
                        break

    def make_room(self) -> None:
        (self.folder / "filler").unlink()

    def writable(self, yes: bool) -> None:
        self._mount("-o", f"remount,{'rw' if yes else 'ro'}")

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    small = SmallDisk(tmp_path / "disk", 4)
    yield small
    small.unmount()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.encode(tmp_path_factory.mktemp("film") / "film.ts", seconds=40)


def box_on(disk: SmallDisk, boot_id: str = BOOT_A) -> Outbox:
    return Outbox(disk.folder / "outbox.db", boot_id=boot_id, clock=ManualClock())


def store(box: Outbox, *alarm_ids: str) -> list[str]:
    """Those that the disk refused."""
    refused = []
    for alarm_id in alarm_ids:
        try:
            box.enqueue([alarm(alarm_id)])
        except OutboxError as error:
            refused.append(f"{alarm_id}: {error.reason}")
    return refused


def stored(disk: SmallDisk) -> int:
    with closing(sqlite3.connect(disk.folder / "outbox.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(db.execute("SELECT count(*) FROM message").fetchone()[0])


def test_a_disk_that_is_really_full_costs_no_alarm(disk: SmallDisk) -> None:
    box = box_on(disk)
    assert store(box, "before") == []
    disk.fill()
    ids = [f"a{number}" for number in range(2000)]
    refused = store(box, *ids)
    assert refused
    assert {line.split(": ")[1] for line in refused} == {"disk_full"}
    assert box.stats().trouble == "disk_full"
    assert len(texts(box, 5000)) == 2001, "what is only in memory is offered as well"
    disk.make_room()
    assert box.retry()
    box.close()
    assert stored(disk) == 2001


def test_an_agent_that_starts_on_a_full_disk_keeps_its_alarms_and_writes_them_later(disk: SmallDisk) -> None:
    disk.fill()
    box = box_on(disk)
    assert store(box, "one", "two") == ["one: disk_full", "two: disk_full"]
    assert len(texts(box)) == 2
    disk.make_room()
    assert box.retry()
    box.close()
    assert stored(disk) == 2


def test_an_agent_that_starts_on_a_read_only_disk_finds_what_is_there_once_it_can_write(disk: SmallDisk) -> None:
    first = box_on(disk)
    store(first, "earlier")
    first.close()
    disk.writable(False)
    box = box_on(disk, BOOT_B)
    assert box.stats().trouble == "disk_read_only"
    (refused,) = store(box, "now")
    assert refused == "now: disk_read_only"
    assert texts(box)[0].startswith("now/")
    disk.writable(True)
    assert box.retry()
    assert sorted(text.split("/")[0] for text in texts(box)) == ["earlier", "now"]
    box.close()
    assert stored(disk) == 2


def test_a_footage_index_on_a_read_only_disk_is_named(disk: SmallDisk) -> None:
    Node(disk.folder, ManualClock()).store.close()
    disk.writable(False)
    with pytest.raises(FootageError, match="remount the disk") as caught:
        Node(disk.folder, ManualClock())
    assert caught.value.reason == "disk_read_only"


def test_footage_stops_on_a_full_disk_says_so_and_goes_on_when_there_is_room(disk: SmallDisk, film: Path) -> None:
    node = Node(disk.folder, ManualClock())
    node.feed(film, at={12.0: disk.fill, 26.0: disk.make_room})
    node.hang_up()
    reasons = {draft.reason for draft in node.sink.alarms}
    assert node.recorder._trouble == ""
    assert reasons <= {"disk_full"}
    closed = node.store.segments(CAMERA, state="closed")
    assert closed[0].started_at_ms < closed[-1].started_at_ms
    for segment in closed:
        path = disk.folder / segment.path
        assert path.stat().st_size == segment.size_bytes
        assert support.pictures(path) > 0
    assert closed[-1].ended_s > node.clock.monotonic_s() - 3, "the last seconds are kept again"
    assert [row[0] for row in node.store._read("PRAGMA integrity_check")] == ["ok"]


def test_an_index_that_breaks_while_it_is_open_is_named_and_the_next_life_builds_it_from_the_files(
    tmp_path: Path, film: Path
) -> None:
    node = Node(tmp_path / "footage", ManualClock())
    index = node.folder / INDEX_FILE

    def ruin() -> None:
        with closing(sqlite3.connect(index)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        node.store._db.execute("PRAGMA cache_size = 0")
        node.store._db.execute("PRAGMA shrink_memory")
        descriptor = os.open(index, os.O_RDWR)
        os.pwrite(descriptor, os.urandom(index.stat().st_size - 4096), 4096)
        os.close(descriptor)

    node.feed(film, at={21.0: ruin})
    node.hang_up()
    assert node.recorder.health().reason == "disk_corrupt"
    again = node.restart()
    again.recorder.pump()
    assert again.store.rebuilt
    kept = again.store.segments(CAMERA, state="closed")
    assert sum(segment.length_s for segment in kept) > 19
    again.feed(film)
    assert again.recorder.health().reason == "footage_kept"
    assert list(node.folder.glob(f"{INDEX_FILE}.corrupt-*"))
