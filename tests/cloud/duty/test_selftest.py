"""The nightly test and the morning's report: once a day, by one service, waking nobody. On both databases."""

from __future__ import annotations

import pytest

from sealwatch.base import settings
from sealwatch.cloud.config import CloudSettings
from sealwatch.cloud.duty import selftest, store
from sealwatch.cloud.duty.roster import DAY_MS
from sealwatch.cloud.duty.selftest import NightlyTest
from sealwatch.cloud.ports import PageChannel, PageRequest, Submission
from tests.cloud.duty.test_ladder import FILE
from tests.cloud.world import BUSY, REFUSED, World

SETTINGS = settings.parse(
    CloudSettings, FILE + '[[morning_report]]\nperson_id = "zhao"\nchannel = "email"\n', name="cloud.toml"
)
MIDNIGHT_MS = 1_700_064_000_000  # 2023-11-16 00:00 in China
HOUR_S = 3600.0


class Mailbox:
    """A mail server that says how it is when asked."""

    def __init__(self) -> None:
        self.wrong = ""
        self.answers: list[Submission] = []
        self.reports: list[PageRequest] = []
        self.probes = 0

    def submit(self, request: PageRequest) -> Submission:
        self.reports.append(request)
        return self.answers.pop(0) if self.answers else Submission(ok=True, outcome="taken")

    def probe(self) -> str:
        self.probes += 1
        return self.wrong


class County:
    """Wang and Li on the roster by webhook, Zhao by e-mail; it is midnight."""

    def __init__(self, world: World) -> None:
        self.world, self.mail = world, Mailbox()
        world.clock.jump_wall((MIDNIGHT_MS - world.clock.wall_ms()) / 1000)
        with world.database.write() as session:
            for person in SETTINGS.people:
                fields = ("name", "level", "webhook_url", "email")
                store.put_person(session, person.person_id, {name: getattr(person, name) for name in fields})
            store.put_roster(
                session,
                "duty",
                name="值班",
                people=("wang", "li"),
                holiday_people=(),
                begins_ms=MIDNIGHT_MS,
                turn_ms=DAY_MS,
                author="desk",
                now_ms=MIDNIGHT_MS,
            )
        self.nightly = self.another()

    def another(self) -> NightlyTest:
        channels: dict[str, PageChannel] = {"webhook": self.world.webhook, "email": self.mail}
        return NightlyTest(self.world.database, settings=SETTINGS, channels=channels, clock=self.world.clock)

    def at(self, hour: float) -> None:
        """Let it be so many hours after the first midnight, and look."""
        self.world.clock.advance((MIDNIGHT_MS - self.world.clock.wall_ms()) / 1000 + hour * HOUR_S)
        self.nightly.look()


@pytest.fixture
def county(world: World) -> County:
    return County(world)


def test_tested_at_three_and_told_at_eight_once_a_day(county: County) -> None:
    county.at(2.9)
    assert county.mail.probes == 0
    county.at(3.1)
    county.at(7.9)
    assert (county.mail.probes, county.mail.reports) == (1, [])
    county.at(8.1)
    county.at(23.9)
    (report,) = county.mail.reports
    assert (report.person_name, report.address) == ("赵", "to:zhao")
    assert "2023-11-16" in report.title
    assert county.world.pages_sent() == []  # nobody was paged
    county.at(24 + 8.1)
    assert (county.mail.probes, len(county.mail.reports)) == (2, 2)


def test_two_services_test_once(county: County) -> None:
    other = county.another()
    county.at(8.1)
    other.look()
    assert (county.mail.probes, len(county.mail.reports)) == (1, 1)


def test_a_service_that_was_down_in_the_night_does_it_when_it_comes(county: County) -> None:
    county.at(11)
    assert (county.mail.probes, len(county.mail.reports)) == (1, 1)


def test_a_channel_that_does_not_work_and_whom_it_cuts_off(county: County) -> None:
    county.mail.wrong = "535 refused"
    county.at(3.1)
    with county.world.database.read() as session:
        newest = selftest.latest(session)
    assert newest is not None
    assert newest.channels == {"webhook": "", "email": "535 refused"}
    standing = {one["person_id"]: one["standing"] for one in newest.people["items"]}
    assert standing == {"zhao": "unreachable", "wang": "doubtful", "li": "doubtful"}


def test_what_happened_to_the_last_page_is_known(county: County) -> None:
    county.world.webhook.always = REFUSED
    county.world.push(county.world.alarm("person"))
    for _ in range(3):
        county.world.pager.turn()
    county.at(3.1)
    with county.world.database.read() as session:
        newest = selftest.latest(session)
    assert newest is not None
    ways = {one["person_id"]: one["ways"] for one in newest.people["items"]}
    assert ways == {
        "wang": {"webhook": "last_failed"},
        "li": {"webhook": "never_tried"},
        "zhao": {"email": "never_tried"},
    }


def test_a_report_that_is_not_taken_is_tried_again_and_told_in_the_log(
    county: County, caplog: pytest.LogCaptureFixture
) -> None:
    county.mail.answers = [BUSY, BUSY]
    county.at(8.1)
    assert len(county.mail.reports) == 3
    assert "morning report" not in caplog.text
    county.mail.answers = [REFUSED]
    county.at(24 + 8.1)
    assert len(county.mail.reports) == 4
    assert "morning report over email" in caplog.text


def test_a_channel_whose_test_breaks_does_not_keep_the_others_from_theirs(county: County) -> None:
    def broken() -> str:
        raise RuntimeError("no such thing")

    county.mail.probe = broken  # type: ignore[method-assign]
    county.at(3.1)
    with county.world.database.read() as session:
        newest = selftest.latest(session)
    assert newest is not None
    assert newest.channels["email"] == "RuntimeError: no such thing"
