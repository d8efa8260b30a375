"""The nightly test of every channel and of who can be reached, and the morning's report of it.

At 03:00 (UTC+8) each channel that can be tried without sending anything is tried: the mail server's login, the
applications' token, the modem's SIM and network. The others are known by their pages alone. At 08:00 the report goes to
those whom `morning_report` of the configuration names, and only then: nobody is woken by a test. Any number of services
on one database: a mark says what has been done today.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from sealwatch.base import text
from sealwatch.base.clock import Clock
from sealwatch.base.text import Language
from sealwatch.cloud.config import CloudSettings, address_of
from sealwatch.cloud.db.account_tables import PushSubscription
from sealwatch.cloud.db.away import FailedTurns
from sealwatch.cloud.db.duty_tables import Mark, RosterRow, SelfTest
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import Page, Person
from sealwatch.cloud.duty import reach
from sealwatch.cloud.duty.reach import Contact, Reach, Way
from sealwatch.cloud.duty.roster import CHINA_OFFSET_MS, DAY_MS, day_of
from sealwatch.cloud.ports import PageChannel, PageRequest

logger = logging.getLogger(__name__)
TEST_HOUR: Final = 3
REPORT_HOUR: Final = 8
LOOK_EVERY_S: Final = 30.0
_HOUR_MS: Final = 3_600_000
_SHOWN: Final = 20
_TRIES: Final = 3


@runtime_checkable
class Probed(Protocol):
    """A channel that can be tried without sending anything: "" where it works, else what is wrong."""

    def probe(self) -> str: ...


class NightlyTest:
    """`start` begins; `stop` ends after the look under way."""

    def __init__(
        self, database: Database, *, settings: CloudSettings, channels: Mapping[str, PageChannel], clock: Clock
    ) -> None:
        self._database, self._settings, self._channels, self._clock = database, settings, channels, clock
        self.failed_turns = FailedTurns("nightly-test")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nightly-test", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            with self.failed_turns.survived():
                self.look()

    def look(self) -> None:
        """Test or report where its hour has come and nobody has done it today."""
        if self._due("self_test", TEST_HOUR):
            self.test()
        if self._due("morning_report", REPORT_HOUR):
            self.report()

    def _due(self, name: str, hour: int) -> bool:
        """Whether it is this service's turn: after the hour, once a day."""
        now_ms = self._clock.wall_ms()
        hour_ms = (now_ms + CHINA_OFFSET_MS) // DAY_MS * DAY_MS - CHINA_OFFSET_MS + hour * _HOUR_MS
        if now_ms < hour_ms:
            return False
        with self._database.read() as session:
            done = session.get(Mark, name)
        if done is not None and done.at_ms >= hour_ms:
            return False
        with self._database.write() as session:
            mark = session.get(Mark, name, with_for_update=True, populate_existing=True)
            if mark is not None and mark.at_ms >= hour_ms:  # another service was first
                return False
            if mark is None:
                session.add(Mark(name=name, at_ms=now_ms))
            else:
                mark.at_ms = now_ms
        return True

    def test(self) -> list[Reach]:
        """Try every channel, judge everybody, and keep it."""
        channels = {name: _probe(name, channel) for name, channel in self._channels.items()}
        now_ms = self._clock.wall_ms()
        with self._database.write() as session:
            found = reach.judge(contacts(session, self._settings), channels, now_ms=now_ms)
            people = [
                {"person_id": one.person_id, "name": one.name, "standing": one.standing, "ways": dict(one.ways)}
                for one in found
            ]
            session.add(SelfTest(at_ms=now_ms, channels=channels, people={"items": people}))
        bad = [name for name, wrong in channels.items() if wrong]
        if bad:
            logger.error("nightly test: channels that do not work: %s", ", ".join(bad))
        return found

    def report(self) -> bool:
        """Send the newest test to whom the configuration names; whether everybody's channel took it."""
        with self._database.read() as session:
            newest = latest(session)
            people = {one.person_id: one for one in session.scalars(select(Person))}
        if newest is None:
            return True
        took = True
        for to in self._settings.morning_report:
            person, channel = people.get(to.person_id), self._channels.get(to.channel)
            if person is None or channel is None:
                logger.error("morning report: %s over %s is not there any more", to.person_id, to.channel)
                took = False
                continue
            request = self._request(newest, person, address_of(self._settings, person, to.channel))
            took = self._sent(to.channel, channel, request) and took
        return took

    def _sent(self, name: str, channel: PageChannel, request: PageRequest) -> bool:
        submission = channel.submit(request)
        for _ in range(_TRIES - 1):
            if submission.ok or not submission.retry:
                break
            self._clock.sleep(2.0)
            submission = channel.submit(request)
        if not submission.ok:
            logger.error("morning report over %s: %s", name, submission.outcome)
        return submission.ok

    def _request(self, test: SelfTest, person: Person, address: str) -> PageRequest:
        language = Language(person.language)
        title, body = compose(test.channels, test.people["items"], day_of(test.at_ms), language)
        number = hashlib.sha256(f"{day_of(test.at_ms)} {person.person_id}".encode()).hexdigest()[:32]
        return PageRequest(
            page_id=number,
            incident_id="report",
            person_name=person.name,
            language=person.language,
            level="blue",
            title=title,
            body=body,
            answer_url=f"{self._settings.web.public_url}/",
            address=address,
        )


def latest(session: Session) -> SelfTest | None:
    """The newest test."""
    return session.scalars(select(SelfTest).order_by(SelfTest.id.desc()).limit(1)).first()


def compose(
    channels: Mapping[str, str], people: Sequence[Mapping[str, Any]], day: str, language: Language
) -> tuple[str, str]:
    """Title and text of a report. Pure."""
    bad = {name: wrong for name, wrong in channels.items() if wrong}
    nobody = [one for one in people if one["standing"] == "unreachable"]
    doubtful = [one for one in people if one["standing"] == "doubtful"]
    lines = [text.say(language, "duty.report.channel", channel=name, wrong=wrong) for name, wrong in bad.items()]
    for family, ones in (("unreachable", nobody), ("doubtful", doubtful)):
        for one in ones[:_SHOWN]:
            ways = text.say(language, "duty.report.between").join(
                text.say(language, f"duty.way.{state}", channel=name) for name, state in one["ways"].items()
            )
            ways = ways or text.say(language, "duty.way.none")
            lines.append(text.say(language, f"duty.report.{family}", name=one["name"], ways=ways))
        if len(ones) > _SHOWN:
            lines.append(text.say(language, "duty.report.more", count=len(ones) - _SHOWN))
    key = "duty.report.title" if lines else "duty.report.title_good"
    title = text.say(language, key, day=day, people=len(nobody), channels=len(bad))
    return title, "\n".join(lines) or text.say(language, "duty.report.good", people=len(people))


def contacts(session: Session, settings: CloudSettings) -> list[Contact]:
    """Everybody who may be asked, over the channels that their steps name."""
    over: dict[str, list[str]] = {}
    rosters = {row.roster_id: [*row.people, *row.holiday_people] for row in session.scalars(select(RosterRow))}
    for step in settings.ladder:
        for person_id in [step.person_id] if step.person_id else rosters.get(step.roster, []):
            over.setdefault(person_id, []).append(step.channel)
    newest = (
        select(Page.person_id, Page.channel, func.max(Page.due_at_ms).label("at_ms"))
        .where(Page.state.in_(["submitted", "answered", "failed"]))
        .group_by(Page.person_id, Page.channel)
        .subquery()
    )
    same = (Page.person_id == newest.c.person_id, Page.channel == newest.c.channel, Page.due_at_ms == newest.c.at_ms)
    pages = session.scalars(select(Page).join(newest, and_(*same)))
    last = {(page.person_id, page.channel): page for page in pages}
    needs = {"webhook": "address", "email": "address"} | {one.name: one.needs for one in settings.channels}
    subscribed = set(session.scalars(select(PushSubscription.person_id)))
    found = []
    for person in session.scalars(select(Person).where(Person.person_id.in_(over)).order_by(Person.person_id)):
        ways = []
        for channel in dict.fromkeys(over[person.person_id]):
            page = last.get((person.person_id, channel))
            has_address = bool(address_of(settings, person, channel)) or not needs.get(channel, "")
            if needs.get(channel, "") == "subscription":
                has_address = person.person_id in subscribed
            ways.append(
                Way(
                    channel=channel,
                    has_address=has_address,
                    at_ms=None if page is None else page.due_at_ms,
                    taken=page is not None and page.submitted_at_ms is not None,
                    outcome="" if page is None else page.outcome,
                )
            )
        found.append(Contact(person_id=person.person_id, name=person.name, ways=tuple(ways)))
    return found


def _probe(name: str, channel: PageChannel) -> str:
    if not isinstance(channel, Probed):
        return ""
    try:
        return channel.probe()
    except Exception as error:  # one channel must not keep the others from being tested
        logger.exception("nightly test: channel %s", name)
        return f"{type(error).__name__}: {error}"
