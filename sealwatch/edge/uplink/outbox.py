"""Every alarm is committed here before anything else happens, and leaves on the service's own ack alone.

SQLite in WAL mode with `synchronous=FULL`. Messages drain most severe first and, within one urgency, newest first;
the transitions of one alarm share the urgency of its most urgent one and keep their order. When room runs short,
samples are thinned, then pictures dropped; alarms never.

What the disk refuses stays in memory, is offered to the service from there and is written as soon as the disk takes
it again, in the order in which it came.
"""

from __future__ import annotations

import heapq
import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from sealwatch.base.clock import Clock
from sealwatch.contract.codes import Phase
from sealwatch.contract.topics import Channel
from sealwatch.edge.uplink.database import Database
from sealwatch.edge.uplink.entries import (
    SAMPLES_PRIORITY,
    SNAPSHOTS_FROM,
    Entry,
    Group,
    Limits,
    Notice,
    OpenAlarm,
    OpenState,
    Outgoing,
    Ref,
    Row,
    Stats,
    priority,
)
from sealwatch.edge.uplink.store import OutboxError

logger = logging.getLogger(__name__)

_PENDING, _REFUSED = 0, 1
_GROUPS_AT_ONCE = 64
_COMMAND_MEMORY_MS = 7 * 24 * 3600 * 1000


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Outbox:
    """The queue on disk. Callable from any thread; one writer connection behind a lock, one reader beside it."""

    def __init__(
        self,
        path: Path,
        *,
        boot_id: str,
        clock: Clock,
        limits: Limits | None = None,
        free_bytes: Callable[[Path], int] = _free_bytes,
    ) -> None:
        """Open or begin the file. A disk that refuses is no error here: see `stats().trouble`."""
        self.boot_id, self._clock = boot_id, clock
        self._limits, self._free_bytes = limits or Limits(), free_bytes
        self._db, self._lock = Database(path, clock=clock), threading.RLock()
        self._seq, self._next_id, self._ever_open = 0, 1, False
        self._open: dict[str, OpenState] = {}
        self._held: list[Group] = []  # not yet on disk; more than one only while the disk refuses
        self._afloat: tuple[Row, ...] = ()  # rows of `_held` that may be sent all the same; replaced as a whole
        self._done: set[Ref] = set()  # acked, not yet deleted
        self._turned_down: dict[Ref, str] = {}  # refused, not yet marked
        self._bytes = {Channel.SAMPLES: 0, Channel.SNAPSHOT: 0}
        self._tally = {"samples_thinned": 0, "snapshots_dropped": 0}
        self.on_change: Callable[[], None] | None = None
        self.retry()

    # -- storing -------------------------------------------------------------------------------------------------

    def enqueue(self, messages: Sequence[Outgoing]) -> list[Ref]:
        """Give each message its number and commit them together.

        Raises OutboxError where the disk refuses: alarms and pictures are then kept in memory, sent from there and
        written later; samples are dropped and counted.
        """
        try:
            with self._lock:
                group = self._group([m for m in messages if self._has_room(m)])
                if group.rows:
                    self._held.append(group)
                    self._flush()
                return [row.ref for row in group.rows]
        finally:
            if self.on_change is not None:
                self.on_change()

    def retry(self) -> bool:
        """Try again to write what the disk refused. Whether nothing is left unwritten."""
        with self._lock:
            if not self._db.is_open or self._db.trouble or self._held or self._done or self._turned_down:
                try:
                    self._flush()
                except OutboxError:
                    return False  # reported where it arose
            return True

    def _has_room(self, message: Outgoing) -> bool:
        if message.channel not in self._bytes:
            return True
        try:
            free = self._free_bytes(self._db.path.parent)
        except OSError:
            free = 0
        if message.channel is Channel.SAMPLES and (self._db.trouble or free < self._limits.reserve_bytes):
            self._tally["samples_thinned"] += 1
            return False
        if message.channel is Channel.SNAPSHOT and not self._db.trouble and free < self._limits.reserve_bytes // 2:
            self._tally["snapshots_dropped"] += 1
            return False
        return True

    def _group(self, messages: Sequence[Outgoing]) -> Group:
        group = Group()
        for message in messages:
            ref, row_id = Ref(self.boot_id, self._seq + 1), self._next_id
            payload = message.build(ref)
            self._seq, self._next_id = self._seq + 1, self._next_id + 1
            rank, grp, alarm_id = priority(message.channel, message.level), row_id, ""
            if message.channel is Channel.ALARM and message.alarm is not None:
                alarm_id = message.alarm.alarm_id
                before = self._open.pop(alarm_id, None)
                if before is not None:
                    rank, grp = min(rank, before.priority), before.grp
                group.opened[alarm_id] = None
                if message.phase is not Phase.END:
                    self._open[alarm_id] = group.opened[alarm_id] = OpenState(grp, rank, message.alarm)
            now_ms = self._clock.wall_ms()
            group.rows.append(Row(row_id, grp, ref, message.channel, rank, now_ms, alarm_id, payload))
        return group

    def _flush(self) -> None:
        """Write everything that waits in memory, group by group in its order. Raises OutboxError."""
        try:
            try:
                self._write_all()
            except OutboxError as error:
                if error.reason != "disk_corrupt":
                    raise
                self._write_all()  # it was closed; opening it anew sets the damaged file aside
        except OutboxError as error:
            self._db.report(error)
            self._shed()
            self._afloat = tuple(row for group in self._held for row in group.rows)
            raise
        self._held, self._done, self._turned_down = [], set(), {}
        self._afloat = ()
        self._db.recovered()

    def _write_all(self) -> None:
        if not self._db.is_open:
            self._db.open(self._learn)
        while True:
            # In batches: a disk that still refuses is asked about a few groups, however many wait in memory.
            batch, last = self._held[:_GROUPS_AT_ONCE], len(self._held) <= _GROUPS_AT_ONCE
            bytes_before = dict(self._bytes)
            try:
                # Deleting what the service has need not be durable: at worst it is sent once more and is a duplicate.
                with self._db.transaction(durable=bool(batch)) as db:
                    for group in batch:
                        self._write_group(db, group)
                    if last:  # an answer may be about a message of the last group
                        self._write_answers(db)
                    self._make_room(db)
            except OutboxError:
                self._bytes = bytes_before
                raise
            self._held = self._held[len(batch) :]
            if last:
                return

    def _write_group(self, db: sqlite3.Connection, group: Group) -> None:
        for row in group.rows:
            # A commit that was reported as failed may have been one all the same: then the message is there already.
            added = db.execute(
                "INSERT INTO message (id, grp, boot_id, seq, channel, priority, created_at_ms, alarm_id, payload)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (boot_id, seq) DO NOTHING",
                (row.id, row.grp, *row.ref, row.channel, row.priority, row.created_at_ms, row.alarm_id, row.payload),
            )
            if added.rowcount == 1:
                if row.channel in self._bytes:
                    self._bytes[row.channel] += len(row.payload)
                db.execute(  # how many there ever were, so that a count at the other end proves that none is missing
                    "INSERT INTO tally (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
                    (f"numbered_{row.channel}",),
                )
            if row.alarm_id:  # a more urgent transition carries the earlier ones of its alarm along
                db.execute(  # the <> '' lets SQLite see that the partial index serves
                    "UPDATE message SET priority = ? WHERE alarm_id = ? AND alarm_id <> '' AND priority > ?",
                    (row.priority, row.alarm_id, row.priority),
                )
        for alarm_id, state in group.opened.items():
            if state is None:
                db.execute("DELETE FROM open_alarm WHERE alarm_id = ?", (alarm_id,))
            else:
                _write_open(db, state)

    def _make_room(self, db: sqlite3.Connection) -> None:
        """Keep to the limits. Samples: every other message of the older half goes, so that what stays still reaches
        back to the first. Pictures: refused before pending, the least urgent first, then the oldest.
        """
        thinned = dropped = 0
        while self._bytes[Channel.SAMPLES] > self._limits.samples_bytes:
            gone = self._delete(
                db,
                "id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS n, count(*) OVER () AS total"
                " FROM message WHERE state IN (?, ?) AND priority = ?) WHERE n <= max(2, total / 2) AND n % 2 = 0)",
                (_PENDING, _REFUSED, SAMPLES_PRIORITY),
            )
            thinned += gone
            if not gone:
                break
        for state in (_REFUSED, _PENDING):
            while self._bytes[Channel.SNAPSHOT] > self._limits.snapshots_bytes:
                gone = self._delete(
                    db,
                    "id = (SELECT id FROM message WHERE state = ? AND priority >= ? AND priority < ?"
                    " ORDER BY priority DESC, grp, id DESC LIMIT 1)",
                    (state, SNAPSHOTS_FROM, SAMPLES_PRIORITY),
                )
                dropped += gone
                if not gone:
                    break
        if thinned or dropped:
            if self._tally == {"samples_thinned": 0, "snapshots_dropped": 0}:
                logger.warning("the outbox reached its limit; samples are thinned, then pictures dropped, alarms never")
            self._tally["samples_thinned"] += thinned
            self._tally["snapshots_dropped"] += dropped
            db.executemany("INSERT OR REPLACE INTO tally (name, value) VALUES (?, ?)", self._tally.items())

    def _delete(self, db: sqlite3.Connection, where: str, values: Sequence[object] = ()) -> int:
        gone = db.execute(
            f"DELETE FROM message WHERE {where} RETURNING channel, length(payload)",  # noqa: S608 - our own words
            values,
        ).fetchall()
        for channel, size in gone:
            if channel in self._bytes:
                self._bytes[Channel(channel)] -= size
        return len(gone)

    def _shed(self) -> None:
        """Memory is small: samples are not kept in it, pictures up to a limit (urgent and new first), alarms always."""
        room = self._limits.memory_bytes
        dropped: set[Ref] = set()
        for row in sorted((row for group in self._held for row in group.rows), key=lambda r: (r.priority, -r.id)):
            if row.channel is Channel.SNAPSHOT:
                room -= len(row.payload)
            if row.channel is Channel.SAMPLES or (row.channel is Channel.SNAPSHOT and room < 0):
                dropped.add(row.ref)
                self._tally["samples_thinned" if row.channel is Channel.SAMPLES else "snapshots_dropped"] += 1
        self._forget(dropped)

    def _forget(self, refs: set[Ref]) -> None:
        for group in self._held:
            group.rows = [row for row in group.rows if row.ref not in refs]
        self._held = [group for group in self._held if group.rows or group.opened]

    # -- draining ------------------------------------------------------------------------------------------------

    def head(self, limit: int) -> list[Entry]:
        """The first `limit` messages to be sent, in order. Refused ones wait for `reoffer`."""
        skip = self._done | self._turned_down.keys()
        stored = [
            ((rank, -grp, row_id), Entry(Ref(boot_id, seq), Channel(channel), rank, size))
            for row_id, grp, boot_id, seq, channel, rank, size in self._db.read(
                "SELECT id, grp, boot_id, seq, channel, priority, length(payload) FROM message"
                " WHERE state = ? ORDER BY priority, grp DESC, id LIMIT ?",
                (_PENDING, limit + len(skip)),
            )
        ]
        known = {entry.ref for _, entry in stored}
        memory = [(row.order(), row.entry()) for row in sorted(self._afloat, key=Row.order) if row.ref not in known]
        merged = heapq.merge(stored, memory, key=lambda item: item[0])
        return [entry for _, entry in merged if entry.ref not in skip][:limit]

    def payload(self, ref: Ref) -> bytes | None:
        """The bytes of a message, or None where it has left."""
        for row in self._afloat:
            if row.ref == ref:
                return row.payload
        found = self._db.read("SELECT payload FROM message WHERE boot_id = ? AND seq = ?", ref)
        return bytes(found[0][0]) if found else None

    def release(self, refs: Iterable[Ref]) -> None:
        """The service has them. Called for its ack (`stored`, `duplicate`) and for nothing else."""
        self._answer(set(refs), {})

    def refuse(self, reasons: dict[Ref, str]) -> None:
        """The service turned them down: they stay, are counted, and wait for `reoffer`."""
        self._answer(set(), reasons)

    def reoffer(self) -> int:
        """Let the refused be sent again; how many there are."""
        with self._lock:
            try:
                with self._db.transaction() as db:
                    return db.execute("UPDATE message SET state = ? WHERE state = ?", (_PENDING, _REFUSED)).rowcount
            except OutboxError as error:
                self._db.report(error)
                return 0

    def _answer(self, done: set[Ref], turned_down: dict[Ref, str]) -> None:
        with self._lock:
            self._done = self._done | done
            self._turned_down = self._turned_down | turned_down
            self._forget(done)
            self.retry()  # where it fails, `head` skips them until it succeeds

    def _write_answers(self, db: sqlite3.Connection) -> None:
        for ref in self._done:
            self._delete(db, "boot_id = ? AND seq = ?", ref)
        for ref, reason in self._turned_down.items():
            db.execute(
                "UPDATE message SET state = ?, refusals = refusals + 1, refused_reason = ?"
                " WHERE boot_id = ? AND seq = ?",
                (_REFUSED, reason, *ref),
            )

    # -- what a new start needs to know --------------------------------------------------------------------------

    def open_alarms(self) -> list[OpenAlarm]:
        """Alarms that started and have not ended, oldest first."""
        with self._lock:
            return [state.alarm for state in sorted(self._open.values(), key=lambda s: s.grp)]

    def notices(self) -> list[Notice]:
        """Files that were set aside and not yet reported."""
        return [Notice(*row) for row in self._db.read("SELECT path, reason, messages, alarms FROM notice ORDER BY id")]

    def clear_notices(self) -> None:
        """They are reported: the alarm about them is durable. Raises OutboxError."""
        with self._lock, self._db.transaction() as db:
            db.execute("DELETE FROM notice")

    def remember_command(self, command_id: str, expires_at_ms: int) -> bool:
        """Note durably that a command was seen; False where it had been before. Raises OutboxError."""
        with self._lock, self._db.transaction() as db:
            db.execute(
                "DELETE FROM seen_command WHERE expires_at_ms < ?", (self._clock.wall_ms() - _COMMAND_MEMORY_MS,)
            )
            added = db.execute("INSERT OR IGNORE INTO seen_command VALUES (?, ?)", (command_id, expires_at_ms))
            return added.rowcount == 1

    def stats(self) -> Stats:
        """Counts for health and status."""
        counts = {_PENDING: 0, _REFUSED: 0} | dict(self._db.read("SELECT state, count(*) FROM message GROUP BY state"))
        reason = self._db.read(
            "SELECT refused_reason FROM message WHERE state = ? ORDER BY priority LIMIT 1", (_REFUSED,)
        )
        return Stats(
            pending=counts[_PENDING],
            refused=counts[_REFUSED],
            in_memory=len(self._afloat),
            samples_bytes=self._bytes[Channel.SAMPLES],
            snapshots_bytes=self._bytes[Channel.SNAPSHOT],
            samples_thinned=self._tally["samples_thinned"],
            snapshots_dropped=self._tally["snapshots_dropped"],
            trouble=self._db.trouble,
            refused_reason=str(reason[0][0]) if reason else "",
        )

    def close(self) -> None:
        """Write what is left and close the file."""
        self.retry()
        with self._lock:
            self._db.close()

    # -- what the file holds ------------------------------------------------------------------------------------------

    def _learn(self, db: sqlite3.Connection) -> None:
        last = db.execute(
            "SELECT max(coalesce((SELECT max(id) FROM message), 0), coalesce((SELECT max(grp) FROM open_alarm), 0))"
        ).fetchone()[0]
        if self._ever_open:
            for state in self._open.values():  # the successor of a damaged file may lack what this process knows
                _write_open(db, state)
        else:
            self._move_behind(int(last))
            for alarm_id, grp, rank, blob in db.execute("SELECT alarm_id, grp, priority, alarm FROM open_alarm"):
                try:
                    self._open[alarm_id] = OpenState(grp, rank, msgspec.json.decode(blob, type=OpenAlarm))
                except msgspec.DecodeError:
                    logger.warning("the open alarm %s cannot be read and is left out", alarm_id)
        self._ever_open = True
        for channel in self._bytes:
            total = db.execute("SELECT sum(length(payload)) FROM message WHERE channel = ?", (channel,)).fetchone()
            self._bytes[channel] = int(total[0] or 0)
        for name, value in db.execute("SELECT name, value FROM tally"):
            if name in self._tally:
                self._tally[name] = max(self._tally[name], value)

    def _move_behind(self, last: int) -> None:
        """What was taken before the file could be opened comes after everything that is in it."""
        self._next_id += last
        for row in (row for group in self._held for row in group.rows):
            row.id, row.grp = row.id + last, row.grp + last
        for state in self._open.values():
            state.grp += last


def _write_open(db: sqlite3.Connection, state: OpenState) -> None:
    db.execute(
        "INSERT OR REPLACE INTO open_alarm (alarm_id, grp, priority, alarm) VALUES (?, ?, ?, ?)",
        (state.alarm.alarm_id, state.grp, state.priority, msgspec.json.encode(state.alarm)),
    )
