"""What one run of the story came to, read from the service's own records once it has stopped moving."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sealwatch.contract import wire
from sealwatch.contract.messages import Alarm, Sealed

RealTime = Callable[[int], int]
"""From the label of a reading to the moment at which it really was made (the meter's clock catches up)."""


_NUMBERED = ("alarm", "snapshot")
"""Channels whose messages the service knows by their numbers. A point of a measurement is its own identity."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Alarms and pictures: each one that the node ever numbered is stored or still waiting."""

    sent: int
    stored: int
    waiting: int
    lost: int


def waiting(outbox: Path) -> int:
    """Messages that the node still holds."""
    with _reading(outbox) as db:
        return int(db.execute("SELECT COUNT(*) FROM message").fetchone()[0])


def ledger(*, service: Path, outbox: Path) -> Ledger:
    """Compare how many the node ever numbered with what the service stored and the node still holds."""
    with _reading(service) as db:
        stored = set(db.execute("SELECT boot_id, seq FROM received WHERE channel IN (?, ?)", _NUMBERED))
    with _reading(outbox) as db:
        held = set(db.execute("SELECT boot_id, seq FROM message WHERE channel IN (?, ?)", _NUMBERED))
        names = [f"numbered_{channel}" for channel in _NUMBERED]
        (sent,) = db.execute("SELECT COALESCE(SUM(value), 0) FROM tally WHERE name IN (?, ?)", names).fetchone()
    return Ledger(sent=sent, stored=len(stored), waiting=len(held - stored), lost=sent - len(stored | held))


def summarise(
    *, service: Path, outbox: Path, incident_id: str, power_time: RealTime, counters: dict[str, Any]
) -> dict[str, Any]:
    """The summary of ``sealwatch demo --once --json``, without the parts that only the running programs know."""
    book = ledger(service=service, outbox=outbox)
    with _reading(service) as db:
        submitted = dict(
            db.execute(
                "SELECT due_at_ms, submitted_at_ms FROM pages "
                "WHERE incident_id = ? AND step = 0 AND submitted_at_ms IS NOT NULL",
                (incident_id,),
            ).fetchall()
        )
        starts = db.execute(
            "SELECT t.sealed, t.received_at_ms FROM alarm_transitions t JOIN alarms a USING (node_id, alarm_id) "
            "WHERE t.phase = 'start' AND a.incident_id = ? ORDER BY t.received_at_ms",
            (incident_id,),
        ).fetchall()
        quarantined = int(db.execute("SELECT COUNT(*) FROM quarantine").fetchone()[0])
    alarms: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for sealed, received_at_ms in starts:
        alarm = wire.decode(Alarm, wire.decode(Sealed, bytes(sealed)).body)
        alarms[alarm.kind].append(_latencies(alarm, received_at_ms, submitted, power_time))
    return {
        "alarms": dict(alarms),
        "messages": {
            "sent": book.sent,
            "received": _of(counters, "received"),
            "stored": book.stored,
            "waiting": book.waiting,
            "lost": book.lost,
            "duplicated": _of(counters, "duplicate"),
            "quarantined": quarantined,
        },
    }


def _of(counters: dict[str, Any], name: str) -> int:
    return sum(int(counters.get(f"ingest_{name}_{channel}", 0)) for channel in _NUMBERED)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        yield db


def _latencies(alarm: Alarm, received_at_ms: int, submitted: dict[int, int], power_time: RealTime) -> dict[str, Any]:
    camera = alarm.kind in {"person", "vehicle", "animal", "camera_fault"}
    captured_at_ms = alarm.origin.captured_at_ms if camera else power_time(alarm.origin.captured_at_ms)
    committed_at_ms = alarm.origin.enqueued_at_ms
    page_at_ms = submitted.get(received_at_ms)  # the first page of a walk is due the moment its alarm comes in
    return {
        "captured_at_ms": captured_at_ms,
        "frame_to_commit_ms": committed_at_ms - captured_at_ms,
        "commit_to_service_ms": received_at_ms - committed_at_ms,
        # Null where the alarm joined an incident that had been paged already.
        "commit_to_page_ms": None if page_at_ms is None else page_at_ms - committed_at_ms,
        "frame_to_page_ms": None if page_at_ms is None else page_at_ms - captured_at_ms,
    }
