"""The thread that looks whether somebody has answered by text message over a modem of our own.

It looks only while an answer may come: pages went over the modem within the last day. A message is deleted from the
modem after it is kept in the database.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping
from typing import Final, Protocol

from sqlalchemy import select

from sealwatch.base.clock import Clock
from sealwatch.cloud.answering import desk
from sealwatch.cloud.db.away import FailedTurns
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import Page
from sealwatch.cloud.paging.channels.gsm_inbox import Delivered
from sealwatch.cloud.paging.channels.gsm_line import ModemError
from sealwatch.cloud.ports import ChangeBus

logger = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 15.0


class Inbox(Protocol):
    """A modem whose text messages can be read (`sealwatch.cloud.paging.channels.gsm.GsmChannel`)."""

    def inbox(self) -> list[tuple[int, Delivered]]: ...

    def forget(self, places: list[int], /) -> None: ...


class ModemInboxes:
    """`start` begins; `stop` ends after the look under way. Without modems it does nothing."""

    def __init__(self, database: Database, inboxes: Mapping[str, Inbox], *, clock: Clock, changes: ChangeBus) -> None:
        self._database, self._inboxes, self._clock, self._changes = database, dict(inboxes), clock, changes
        self._failing: set[str] = set()
        self.failed_turns = FailedTurns("modem-inbox")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="modem-inbox", daemon=True)

    def start(self) -> None:
        if self._inboxes:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            with self.failed_turns.survived():
                self.look()

    def look(self) -> int:
        """Look once at every modem over which an answer may come; how many messages were taken."""
        taken = 0
        for name, modem in self._inboxes.items():
            if not self._expects(name):
                continue
            try:
                taken += self._take(name, modem)
            except ModemError as error:
                if name not in self._failing:
                    logger.error(  # noqa: TRY400 - what a modem says is no fault of the program
                        "the inbox of modem %s can't be read: %s", name, error
                    )
                self._failing.add(name)
                continue
            if name in self._failing:
                logger.info("the inbox of modem %s can be read again", name)
            self._failing.discard(name)
        return taken

    def _expects(self, name: str) -> bool:
        since_ms = self._clock.wall_ms() - desk.HOLDS_S * 1000
        with self._database.read() as session:
            query = select(Page.page_id).where(Page.channel == name, Page.submitted_at_ms > since_ms).limit(1)
            return session.scalar(query) is not None

    def _take(self, name: str, modem: Inbox) -> int:
        messages = modem.inbox()
        for place, message in messages:
            mark = hashlib.sha256(f"{message.number}\n{message.stamp}\n{message.text}".encode()).hexdigest()[:32]
            with self._database.write() as session:
                outcome = desk.by_text(
                    session,
                    telephone=message.number,
                    text=message.text,
                    channel=name,
                    message_id=mark,
                    now_ms=self._clock.wall_ms(),
                )
            logger.info("a text message over %s: %s", name, outcome.name)
            modem.forget([place])
        if messages:
            self._changes.announce()
        return len(messages)
