"""Answers by text message and by key, carried out and kept, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from sealwatch.cloud.accounts import audit
from sealwatch.cloud.answering import desk
from sealwatch.cloud.answering.modems import ModemInboxes
from sealwatch.cloud.db.duty_tables import Reply
from sealwatch.cloud.db.tables import Page, Person
from sealwatch.cloud.paging.channels.gsm_inbox import Delivered
from sealwatch.cloud.paging.channels.gsm_line import ModemError
from sealwatch.cloud.ports import Submission
from tests.cloud.world import World

WANG, LI = "13800000000", "+86 139 0000 0000"


@pytest.fixture
def paged(world: World) -> World:
    """Wang was paged a moment ago and Li is next; both have telephones."""
    with world.database.write() as session:
        session.add(Person(person_id="wang", name="王", level=4, telephone=WANG))
        session.add(Person(person_id="li", name="李", level=3, telephone=LI))
    world.push(world.alarm("person"))
    world.until(1)
    return world


def text(world: World, telephone: str, words: str, message_id: str = "m-1") -> str:
    with world.database.write() as session:
        return desk.by_text(
            session,
            telephone=telephone,
            text=words,
            channel="sms",
            message_id=message_id,
            now_ms=world.clock.wall_ms(),
        ).name


def replies(world: World) -> list[Reply]:
    with world.database.read() as session:
        return list(session.scalars(select(Reply).order_by(Reply.id)))


def test_one_means_i_am_going_and_stops_the_ladder(paged: World) -> None:
    assert text(paged, "+8613800000000", "1") == "acknowledged"
    paged.until(500)
    assert paged.pages_sent() == [(0.0, "to:wang")]
    (line,) = paged.events("acknowledged")
    assert (line.actor, line.reason) == ("person:wang", "sms")
    assert paged.page_states()[0] == "answered"


def test_every_answer_is_a_line_of_the_audit_log_whatever_became_of_it(paged: World) -> None:
    text(paged, "13700000000", "1", "m-0")
    text(paged, WANG, "1")
    text(paged, WANG, "1")  # delivered twice by its carrier
    with paged.database.read() as session:
        lines = audit.entries(session)
    incident_id = paged.incident().incident_id
    assert [(line.actor, line.action, line.target, line.outcome) for line in lines] == [
        ("person:wang", "answers.text", incident_id, "acknowledged"),
        ("nobody", "answers.text", "", "unknown_number"),
    ]


def test_two_means_the_next_one_at_once(paged: World) -> None:
    assert text(paged, WANG, "2") == "passed_on"
    paged.until(2)
    assert [address for _, address in paged.pages_sent()] == ["to:wang", "to:li"]


def test_three_closes_what_a_second_person_confirms(paged: World) -> None:
    assert text(paged, WANG, "3") == "second_person_wanted"
    assert paged.incident().state == "handled"
    paged.clock.advance(1)
    assert text(paged, WANG, "3", "m-2") == "second_person_wanted"


@pytest.mark.parametrize(
    ("telephone", "words", "outcome"),
    [
        ("13700000000", "1", "unknown_number"),
        (WANG, "您好，请问是谁？", "not_understood"),
        (LI, "1", "no_page"),  # Li has not been paged yet
        (WANG, "1 ffff", "no_page"),
        ("", "1", "unknown_number"),
    ],
)
def test_what_can_not_be_carried_out_is_kept_and_the_ladder_goes_on(
    paged: World, telephone: str, words: str, outcome: str
) -> None:
    assert text(paged, telephone, words) == outcome
    (kept,) = replies(paged)
    assert (kept.text, kept.outcome, kept.incident_id) == (words, outcome, None)
    paged.until(61)
    assert [address for _, address in paged.pages_sent()] == ["to:wang", "to:li"]


def test_the_same_message_delivered_twice_counts_once(paged: World) -> None:
    assert [text(paged, WANG, "2"), text(paged, WANG, "2")] == ["passed_on", "repeated"]
    assert len(replies(paged)) == 1


def test_with_two_incidents_the_number_of_the_page_says_which(paged: World) -> None:
    paged.push(paged.alarm("person", "node-2"))
    paged.until(2)
    assert text(paged, WANG, "1") == "which_page"
    with paged.database.read() as session:
        pages = session.scalars(select(Page).where(Page.state == "submitted").order_by(Page.submitted_at_ms)).all()
    assert text(paged, WANG, f"1 {pages[1].page_id[:8]}", "m-2") == "acknowledged"
    assert {one.site_id: one.state for one in paged.incidents()} == {"s1": "notified", "s2": "acknowledged"}
    assert text(paged, WANG, "1", "m-3") == "acknowledged"  # only one is left that nobody has answered


def test_two_people_with_one_number_are_nobody(paged: World) -> None:
    with paged.database.write() as session:
        session.add(Person(person_id="zhao", name="赵", level=2, telephone=WANG))
    assert text(paged, WANG, "1") == "unknown_number"


def test_an_answer_after_a_day_answers_nothing(paged: World) -> None:
    paged.answer("person:li")
    paged.clock.advance(desk.HOLDS_S + 10)
    assert text(paged, WANG, "3") == "no_page"


def test_key_one_in_a_call_answers_and_key_two_passes_on(world: World) -> None:
    world.webhook.answers = [Submission(ok=True, outcome="taken: key 2", reason="key_pressed", key="2")]
    world.email.answers = [Submission(ok=True, outcome="taken: key 1", reason="key_pressed", key="1")]
    world.push(world.alarm("person"))
    world.until(500)
    assert world.pages_sent() == [(0.0, "to:wang"), (0.0, "to:li")]
    assert (world.incident().state, world.incident().acknowledged_by) == ("acknowledged", "person:li")
    with world.database.read() as session:
        lines = [(line.actor, line.action, line.outcome) for line in audit.entries(session)]
    assert lines == [("person:li", "answers.key", "acknowledged"), ("person:wang", "answers.key", "passed_on")]


def test_any_other_key_only_says_that_it_was_noticed(world: World) -> None:
    world.webhook.answers = [Submission(ok=True, outcome="taken: key 3", reason="key_pressed", key="3")]
    world.push(world.alarm("person"))
    world.until(1)
    assert world.incident().state == "notified"


class ScriptedModem:
    """Messages that wait in a modem."""

    def __init__(self) -> None:
        self.waiting = [(3, Delivered(WANG, "1", "26112603000000"))]
        self.fails = False

    def inbox(self) -> list[tuple[int, Delivered]]:
        if self.fails:
            raise ModemError("the modem does not answer")
        return list(self.waiting)

    def forget(self, places: list[int]) -> None:
        self.waiting = [one for one in self.waiting if one[0] not in places]


def test_a_modem_is_looked_at_while_an_answer_may_come(paged: World, caplog: pytest.LogCaptureFixture) -> None:
    modem = ScriptedModem()
    inboxes = ModemInboxes(paged.database, {"webhook": modem}, clock=paged.clock, changes=paged.changes)
    modem.fails = True
    assert [inboxes.look(), inboxes.look()] == [0, 0]
    assert caplog.text.count("can't be read") == 1
    modem.fails = False
    assert inboxes.look() == 1
    assert (modem.waiting, paged.incident().acknowledged_by) == ([], "person:wang")


def test_a_modem_over_which_nobody_was_paged_is_left_alone(paged: World) -> None:
    modem = ScriptedModem()
    inboxes = ModemInboxes(paged.database, {"spare": modem}, clock=paged.clock, changes=paged.changes)
    assert inboxes.look() == 0
    assert modem.waiting
