"""Tells the telemetry store what the service itself knows: incidents, pages, alarms, nodes, ingest lag, its workers.

Incidents and pages are read from the database after their commit, from where the last life of the service got to.
Alarms, states and lags are handed in by ingestion and wait in memory: the database has them, a restart costs a
dashboard at most the points of some seconds. Nothing that alarms or pages depend on waits for this.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import Clock
from sealwatch.base.files import replace_file
from sealwatch.cloud.db.away import cause
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import Incident, IncidentEvent, Page
from sealwatch.cloud.ports import ChangeBus, Columns, TelemetryStore
from sealwatch.cloud.telemetry import facts
from sealwatch.cloud.telemetry.facts import Told
from sealwatch.contract.messages import Alarm, Origin, Status

logger = logging.getLogger(__name__)

CURSOR_FILE: Final = "facts.cursor"
_MOST_WAITING: Final = 50_000
_MOST_EVENTS: Final = 500
_LATE_IDS: Final = 1_000  # two workers commit at once: an id may appear after a larger one did
_TURN_S: Final = 1.0
_LOOK_ANYWAY_S: Final = 15.0  # another worker's commits are not announced here
_ALIVE_EVERY_S: Final = 60.0
_PAGE_KINDS: Final = frozenset({"page_submitted", "page_failed", "acknowledged"})


class Teller:
    """One thread between the service and the store. `start` begins; `stop` tells what is left and ends."""

    def __init__(
        self,
        database: Database,
        telemetry: TelemetryStore,
        *,
        folder: Path,
        worker: str,
        turns: Callable[[], Mapping[str, int]],
        clock: Clock,
        changes: ChangeBus,
    ) -> None:
        """`folder` remembers how far events were told; `turns` counts, by worker, how often its wheel has turned."""
        self._database, self._telemetry, self._clock, self._changes = database, telemetry, clock, changes
        self._cursor_file, self._worker, self._turns = folder / CURSOR_FILE, worker, turns
        self._waiting: deque[tuple[Told, int]] = deque(maxlen=_MOST_WAITING)
        self._blocks: list[Columns] = []
        self._told_ids: set[int] = set()
        self._cursor = self._saved = _read_cursor(self._cursor_file)
        self._seen_version = -1
        self._looked_at_s = self._alive_at_s = float("-inf")
        self._last_turns: dict[str, int] = {}
        self._failures = 0
        self.counters = {"told": 0, "dropped": 0, "refused": 0}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)

    def note(self, messages: Sequence[Told], at_ms: int) -> None:
        """What ingestion has just committed, at `at_ms`. Costs nothing; from any thread."""
        over = len(self._waiting) + len(messages) - _MOST_WAITING
        if over > 0:
            self.counters["dropped"] += over
        self._waiting.extend((message, at_ms) for message in messages)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tell what waits, once, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.turn()
        self._save_cursor()

    def _run(self) -> None:
        while not self._stop.wait(full_jitter_s(self._failures, base_s=1.0, cap_s=30.0) if self._failures else _TURN_S):
            self.turn()

    def turn(self) -> bool:
        """Tell everything that is known and not told; whether the store took it."""
        try:
            self._blocks += self._from_ingest() + self._from_database() + self._from_workers()
        except (SQLAlchemyError, OSError) as error:
            self._report(error)
            return False
        return not self._blocks or self._write()

    def _write(self) -> bool:
        try:
            try:
                self._telemetry.write_blocks(self._blocks)
            except ValueError:
                self._write_one_by_one()
        except Exception as error:  # noqa: BLE001 - a store's client may raise anything while its server is away
            self.counters["dropped"] += max(0, len(self._blocks) - _MOST_WAITING)
            self._blocks = self._blocks[-_MOST_WAITING:]
            self._report(error)
            return False
        self.counters["told"] += sum(block.points for block in self._blocks)
        if self._failures:
            logger.info("the service's own figures are stored again")
        self._failures = 0
        self._blocks = []
        if self._cursor != self._saved:
            self._save_cursor()
        return True

    def _write_one_by_one(self) -> None:
        """So that a block which can never be stored takes no other one with it."""
        for block in list(self._blocks):
            try:
                self._telemetry.write_blocks([block])
            except ValueError as error:
                self._blocks.remove(block)
                self.counters["refused"] += 1
                logger.warning("a figure of %s at %s can't be stored: %s", block.source_id, block.site_id, error)

    def _report(self, error: Exception) -> None:
        if self._failures == 0:
            logger.warning("the service's own figures wait: %s", cause(error))
        self._failures += 1

    def _from_ingest(self) -> list[Columns]:
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        found = [block for told, _ in taken if not isinstance(told, Origin) for block in _of_message(told)]
        lags = [(told.origin if isinstance(told, Alarm) else told, at_ms) for told, at_ms in taken]
        return found + facts.of_ingest((origin, at_ms) for origin, at_ms in lags if isinstance(origin, Origin))

    def _from_database(self) -> list[Columns]:
        version, now_s = self._changes.version, self._clock.monotonic_s()
        if version == self._seen_version and now_s - self._looked_at_s < _LOOK_ANYWAY_S:
            return []
        found: list[Columns] = []
        with self._database.read() as session:
            query = (
                select(IncidentEvent, Incident)
                .join(Incident, Incident.incident_id == IncidentEvent.incident_id)
                .where(IncidentEvent.id > self._cursor - _LATE_IDS, IncidentEvent.id.not_in(self._told_ids))
                .order_by(IncidentEvent.id)
                .limit(_MOST_EVENTS)
            )
            rows = session.execute(query).all()
            paged: dict[str, str] = {}
            for event, incident in rows:
                found += facts.of_incident(incident, event)
                if event.kind in _PAGE_KINDS:
                    paged[incident.incident_id] = incident.site_id
            for page in session.scalars(select(Page).where(Page.incident_id.in_(paged))) if paged else ():
                found += facts.of_page(paged[page.incident_id], page)
            ids = {event.id for event, _ in rows}
        self._cursor = max(ids | {self._cursor})
        self._told_ids = {one for one in self._told_ids | ids if one > self._cursor - _LATE_IDS}
        if len(rows) < _MOST_EVENTS:  # else there is more: look again at the next turn
            self._seen_version, self._looked_at_s = version, now_s
        return found

    def _from_workers(self) -> list[Columns]:
        now_s = self._clock.monotonic_s()
        if now_s - self._alive_at_s < _ALIVE_EVERY_S:
            return []
        self._alive_at_s = now_s
        turns = dict(self._turns())
        alive = {f"{name}.{self._worker}": count != self._last_turns.get(name) for name, count in turns.items()}
        self._last_turns = turns
        return facts.of_workers(alive, self._clock.wall_ms())

    def _save_cursor(self) -> None:
        try:
            replace_file(self._cursor_file, f"{self._cursor}\n".encode("ascii"))
        except OSError as error:
            logger.warning("%s: %s; after a restart the same points are told again", self._cursor_file, error.strerror)
            return
        self._saved = self._cursor


def _of_message(message: Alarm | Status) -> list[Columns]:
    return facts.of_alarm(message) if isinstance(message, Alarm) else facts.of_status(message)


def _read_cursor(file: Path) -> int:
    """How far an earlier life got; 0 where nothing readable says so, and then everything is told again."""
    try:
        return max(0, int(file.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return 0
