"""The outbox: order, release, refusal, limits, and a disk that refuses."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.topics import Channel
from sealwatch.edge.uplink.entries import Limits, Ref
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.store import SCHEMA_VERSION, OutboxError
from tests.edge.uplink.helpers import BOOT_A, BOOT_B, alarm, measurements, outbox, picture, seqs, texts


def _fill_disk(box: Outbox) -> None:
    """Let the file grow no further: SQLite then answers SQLITE_FULL, as it does on a full disk."""
    assert box._db._writer is not None
    pages = box._db._writer.execute("PRAGMA page_count").fetchone()[0]
    box._db._writer.execute(f"PRAGMA max_page_count = {pages}")


def _free_disk(box: Outbox) -> None:
    assert box._db._writer is not None
    box._db._writer.execute("PRAGMA max_page_count = 1000000")


def _fill_up(box: Outbox, prefix: str = "big") -> int:
    """Add alarms until the disk refuses; how many there are, the refused one included."""
    added = 0

    def add() -> None:
        nonlocal added
        while added < 10_000:
            added += 1
            box.enqueue([alarm(f"{prefix}-{added - 1}")])

    with pytest.raises(OutboxError) as refusal:
        add()
    assert refusal.value.reason == "disk_full"
    return added


def test_alarms_drain_by_urgency_then_pictures_then_samples_and_the_newest_first(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.enqueue([measurements()])
    box.enqueue([alarm("yellow", level=Level.YELLOW), picture(Level.YELLOW)])
    box.enqueue([alarm("old", level=Level.RED)])
    box.enqueue([alarm("new", level=Level.RED), picture(Level.RED)])
    assert texts(box) == ["new/start/5", "old/start/4", "yellow/start/2", "snapshot", "snapshot", "samples"]


def test_transitions_of_one_alarm_keep_their_order_in_a_backlog(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.enqueue([alarm("one")])
    box.enqueue([alarm("two")])
    box.enqueue([alarm("one", Phase.UPDATE)])
    box.enqueue([alarm("one", Phase.END)])
    box.enqueue([alarm("two", Phase.END)])
    assert texts(box) == ["two/start/2", "two/end/5", "one/start/1", "one/update/3", "one/end/4"]


def test_an_alarm_that_becomes_more_urgent_carries_its_earlier_transitions_along(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.enqueue([alarm("grows", level=Level.BLUE)])
    box.enqueue([alarm("other", level=Level.ORANGE)])
    box.enqueue([alarm("grows", Phase.UPDATE, Level.RED)])
    box.enqueue([alarm("grows", Phase.END, Level.BLUE)])
    assert texts(box) == ["grows/start/1", "grows/update/3", "grows/end/4", "other/start/2"]


def test_what_is_stored_survives_a_restart_and_leaves_only_when_released(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    first, second = box.enqueue([alarm("one"), picture()])
    box.close()
    again = outbox(tmp_path, boot_id=BOOT_B)
    assert [entry.ref for entry in again.head(10)] == [first, second]
    again.release([first])
    assert [entry.ref for entry in again.head(10)] == [second]
    assert again.payload(first) is None
    assert again.enqueue([alarm("two")]) == [Ref(BOOT_B, 1)]


def test_numbers_count_up_by_one_from_many_threads(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    refs: list[Ref] = []

    def work(name: int) -> None:
        for number in range(20):
            refs.extend(box.enqueue([alarm(f"{name}-{number}"), picture()]))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seqs(refs)) == list(range(1, 161))
    assert box.stats().depth == 160


def test_a_refused_message_stays_is_counted_and_is_offered_again(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    (ref,) = box.enqueue([alarm("one")])
    box.refuse({ref: "unknown_key"})
    assert box.head(10) == []
    stats = box.stats()
    assert (stats.pending, stats.refused, stats.refused_reason, stats.depth) == (0, 1, "unknown_key", 1)
    assert box.reoffer() == 1
    assert [entry.ref for entry in box.head(10)] == [ref]
    box.release([ref])
    assert box.stats().depth == 0


def test_open_alarms_are_those_that_started_and_did_not_end(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    for change in (alarm("a"), alarm("b"), alarm("a", Phase.UPDATE, Level.RED), alarm("b", Phase.END)):
        box.enqueue([change])
    box.close()
    again = outbox(tmp_path, boot_id=BOOT_B)
    assert [(a.alarm_id, a.level, a.zone) for a in again.open_alarms()] == [("a", Level.RED, "井口")]
    again.enqueue([alarm("a", Phase.END, Level.BLUE)])
    assert texts(again)[:3] == ["a/start/1", "a/update/3", "a/end/1"], "the end keeps its place behind the start"
    assert again.open_alarms() == []


def test_samples_over_their_limit_are_thinned_from_the_old_side_and_counted(tmp_path: Path) -> None:
    box = outbox(tmp_path, limits=Limits(samples_bytes=1000))
    for _ in range(10):
        box.enqueue([measurements()])
    box.enqueue([alarm("kept"), measurements()])
    left = sorted(entry.ref.seq for entry in box.head(100))
    assert left == [1, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    assert box.stats().samples_thinned == 2
    box.close()
    assert outbox(tmp_path, boot_id=BOOT_B).stats().samples_thinned == 2


def test_a_months_backlog_of_samples_stays_bounded_and_reaches_back_to_its_start(tmp_path: Path) -> None:
    box = outbox(tmp_path, limits=Limits(samples_bytes=10_000))
    for _ in range(20):
        box.enqueue([measurements() for _ in range(50)])
    left = sorted(entry.ref.seq for entry in box.head(1000))
    assert len(left) <= 100
    assert left[0] == 1
    assert left[-20:] == list(range(981, 1001)), "the newest are whole"


def test_pictures_over_their_limit_go_least_urgent_and_oldest_first_and_alarms_never(tmp_path: Path) -> None:
    box = outbox(tmp_path, limits=Limits(snapshots_bytes=2000))
    box.enqueue([alarm("red", level=Level.RED), picture(Level.RED, 1500)])
    for number in range(20):
        box.enqueue([alarm(f"blue-{number}", level=Level.BLUE), picture(Level.BLUE, 100)])
    kinds = texts(box)
    assert len([k for k in kinds if k.startswith(("red", "blue"))]) == 21
    assert len(box.payload(Ref(BOOT_A, 2)) or b"") == 1500
    assert box.stats().snapshots_dropped == 15
    assert box.stats().snapshots_bytes <= 2000


def test_a_nearly_full_disk_keeps_its_last_room_for_alarms(tmp_path: Path) -> None:
    box = outbox(tmp_path, limits=Limits(reserve_bytes=1000), free=400)
    assert len(box.enqueue([measurements(), picture(), alarm("one")])) == 1
    assert texts(box) == ["one/start/1"]
    stats = box.stats()
    assert (stats.samples_thinned, stats.snapshots_dropped) == (1, 1)


def test_a_full_disk_is_said_clearly_and_the_alarm_is_kept_offered_and_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box = outbox(tmp_path)
    _fill_disk(box)
    count = _fill_up(box)
    with pytest.raises(OutboxError, match=r"outbox .*outbox\.db: cannot be written: .*full.*; free space"):
        box.enqueue([alarm("big-0", Phase.END), picture()])
    assert box.stats().trouble == "disk_full"
    assert box.stats().in_memory == 3
    assert len(box.head(10_000)) == count + 2, "what is only in memory is offered to the service as well"
    assert not box.retry()
    assert [r.levelname for r in caplog.records] == ["ERROR"], "said once, not at every attempt"
    _free_disk(box)
    assert box.retry()
    assert box.stats().trouble == ""
    box.close()
    again = outbox(tmp_path, boot_id=BOOT_B)
    assert again.stats().pending == count + 2
    assert "big-0" not in {a.alarm_id for a in again.open_alarms()}, "the end was written after the start"


def test_on_a_full_disk_an_acked_message_is_not_offered_again_though_it_cannot_be_deleted(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    first, second, third = box.enqueue([alarm("one"), alarm("two"), alarm("three")])
    assert box._db._writer is not None
    box._db._writer.execute("PRAGMA query_only = ON")
    box.release([first])
    box.refuse({second: "unknown_key"})
    assert [entry.ref for entry in box.head(10)] == [third]
    assert box.stats().trouble == "disk_read_only"
    box._db._writer.execute("PRAGMA query_only = OFF")
    assert box.retry()
    stats = box.stats()
    assert (stats.pending, stats.refused, stats.trouble) == (1, 1, "")


def test_an_ack_for_a_message_that_is_only_in_memory_releases_it_and_still_notes_that_it_is_open(
    tmp_path: Path,
) -> None:
    box = outbox(tmp_path)
    assert box._db._writer is not None
    box._db._writer.execute("PRAGMA query_only = ON")
    with pytest.raises(OutboxError):
        box.enqueue([alarm("one")])
    box.release([entry.ref for entry in box.head(10)])
    assert box.head(10) == []
    box._db._writer.execute("PRAGMA query_only = OFF")
    assert box.retry()
    box.close()
    again = outbox(tmp_path, boot_id=BOOT_B)
    assert again.head(10) == []
    assert [a.alarm_id for a in again.open_alarms()] == ["one"]


def test_memory_keeps_every_alarm_but_only_the_most_urgent_pictures_and_no_samples(tmp_path: Path) -> None:
    box = outbox(tmp_path, limits=Limits(memory_bytes=250))
    assert box._db._writer is not None
    box._db._writer.execute("PRAGMA query_only = ON")
    for number in range(5):
        with pytest.raises(OutboxError):
            box.enqueue([alarm(f"{number}"), picture(Level.RED if number == 0 else Level.BLUE), measurements()])
    kinds = [entry.channel for entry in box.head(100)]
    assert [kinds.count(c) for c in (Channel.ALARM, Channel.SNAPSHOT, Channel.SAMPLES)] == [5, 2, 0]
    assert box.head(100)[5].ref.seq == 2, "the red picture stayed"
    stats = box.stats()
    assert (stats.snapshots_dropped, stats.samples_thinned) == (3, 5)


def test_a_folder_that_cannot_be_written_at_the_start_is_survived_in_memory(tmp_path: Path) -> None:
    inside = tmp_path / "later"
    earlier = outbox(tmp_path)
    earlier.enqueue([alarm("before")])
    earlier.close()
    box = Outbox(inside / "outbox.db", boot_id=BOOT_B, clock=ManualClock(), free_bytes=lambda _f: 10**12)
    assert box.stats().trouble == "disk_error"
    with pytest.raises(OutboxError):
        box.enqueue([alarm("early")])
    assert texts(box) == ["early/start/1"]
    inside.mkdir()
    (tmp_path / "outbox.db").rename(inside / "outbox.db")
    assert box.retry()
    assert texts(box) == ["early/start/1", "before/start/1"]
    assert {a.alarm_id for a in box.open_alarms()} == {"early", "before"}


@pytest.mark.parametrize("damage", ["header", "middle", "not a database"])
def test_a_damaged_file_is_set_aside_replaced_and_reported_and_what_is_readable_is_kept(
    tmp_path: Path, damage: str
) -> None:
    box = outbox(tmp_path)
    for number in range(300):
        box.enqueue([alarm(f"alarm-{number}"), picture(size=3000)])
    box.close()
    path = tmp_path / "outbox.db"
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[0:100] = b"x" * 100
    elif damage == "middle":
        data[len(data) // 2 : len(data) // 2 + 20_000] = b"\xff" * 20_000
    else:
        data[:] = b"this was never a database " * 1000
    path.write_bytes(data)
    again = outbox(tmp_path, boot_id=BOOT_B)
    (notice,) = again.notices()
    assert notice.reason == "corrupt"
    assert (tmp_path / notice.file).read_bytes() == data
    assert again.stats().trouble == ""
    if damage == "middle":
        assert 300 <= notice.rescued_messages < 600
        assert again.stats().pending == notice.rescued_messages
    else:
        assert notice.rescued_messages == 0
    again.enqueue([alarm("new")])
    again.clear_notices()
    again.close()
    third = outbox(tmp_path)
    assert third.notices() == []
    assert third.stats().pending == notice.rescued_messages + 1


def test_a_file_that_breaks_while_running_is_replaced_and_no_alarm_of_this_run_is_refused(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    for number in range(100):
        box.enqueue([alarm(f"early-{number}"), picture(size=3000)])
    assert box._db._writer is not None
    box._db._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = tmp_path / "outbox.db"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    box._db._writer.execute("PRAGMA cache_size = 0")
    box.enqueue([alarm("after")])
    assert texts(box)[0] == "after/start/201"
    assert [n.reason for n in box.notices()] == ["corrupt"]
    assert len(box.open_alarms()) == 101
    box.close()
    assert len(outbox(tmp_path, boot_id=BOOT_B).open_alarms()) == 101, "written again from memory"


def test_a_file_of_a_newer_version_is_set_aside_and_its_messages_are_carried_over(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.enqueue([alarm("one")])
    box.close()
    with sqlite3.connect(tmp_path / "outbox.db") as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    again = outbox(tmp_path, boot_id=BOOT_B)
    assert [(n.reason, n.rescued_messages, n.rescued_alarms) for n in again.notices()] == [("newer_version", 1, 1)]
    assert texts(again) == ["one/start/1"]


def test_a_command_is_remembered_across_restarts(tmp_path: Path) -> None:
    clock = ManualClock()
    box = outbox(tmp_path, clock=clock)
    assert box.remember_command("c-1", clock.wall_ms() + 60_000)
    assert not box.remember_command("c-1", clock.wall_ms() + 60_000)
    box.close()
    again = outbox(tmp_path, clock=clock)
    assert not again.remember_command("c-1", clock.wall_ms() + 60_000)
    clock.advance(8 * 86_400)
    assert again.remember_command("c-2", clock.wall_ms())
    assert again._db.read("SELECT count(*) FROM seen_command") == [(1,)], "the old ones are forgotten"


def test_storing_is_synced_to_the_disk_and_releasing_need_not_be(tmp_path: Path) -> None:
    """A kill cannot show this, only a power cut: so the statements themselves are looked at."""
    box = outbox(tmp_path)
    assert box._db._writer is not None
    said: list[str] = []
    box._db._writer.set_trace_callback(said.append)
    refs = box.enqueue([alarm("one")])
    assert not [sql for sql in said if "synchronous" in sql]
    assert box._db._writer.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert box._db._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    box.release(refs)
    changes = [sql for sql in said if "synchronous =" in sql]
    assert changes == ["PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL"]
    with pytest.raises(RuntimeError), box._db.transaction(durable=False):
        raise RuntimeError("a fault in between")
    assert box._db._writer.execute("PRAGMA synchronous").fetchone() == (2,), "FULL again after a failure too"
