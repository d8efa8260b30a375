"""Situations in words: something arrives at a time, and a page is wanted between two times, or none.

Wang is paged at once by webhook, Li after a minute by e-mail, and five minutes later the ladder begins again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from sealwatch.cloud.db.tables import Page
from sealwatch.cloud.incidents import service
from sealwatch.cloud.paging.ladder import Ladder
from sealwatch.cloud.ports import PageRequest, Submission
from sealwatch.contract.codes import Level, Phase
from tests.cloud.world import BUSY, REFUSED, TAKEN, World, step


def test_a_person_at_the_shaft_pages_the_first_step_at_once_and_the_second_after_a_minute(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(59)
    assert world.pages_sent() == [(0, "to:wang")]
    assert world.incident().state == "notified"
    world.until(61)
    assert world.pages_sent() == [(0, "to:wang"), (60, "to:li")]


def test_without_an_answer_the_ladder_goes_round_until_somebody_answers(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(900)
    assert world.pages_sent() == [
        (0, "to:wang"),
        (60, "to:li"),
        (360, "to:wang"),
        (420, "to:li"),
        (720, "to:wang"),
        (780, "to:li"),
    ]
    assert [e.reason for e in world.events("ladder_started")] == [
        "opened",
        "nobody_answered",
        "nobody_answered",
        "nobody_answered",
    ]
    world.answer("person:li")
    world.until(2000)
    assert len(world.pages_sent()) == 6


def test_an_answer_before_the_second_step_leaves_the_second_person_asleep(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(30)
    world.answer("person:wang")
    world.until(1000)
    assert world.pages_sent() == [(0, "to:wang")]
    assert world.page_states() == ["answered", "cancelled"]


def test_an_answer_by_the_desk_before_any_page_keeps_everybody_asleep(world: World) -> None:
    world.push(world.alarm("person"))
    world.answer("desk")
    world.until(500)
    assert world.pages_sent() == []


def test_more_of_the_same_after_an_answer_pages_nobody(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(5)
    world.answer()
    for number in range(2, 30):
        world.push(world.alarm("person", alarm_id=f"person-{number}"))
        world.until(5 + number)
    assert len(world.pages_sent()) == 1
    assert len(world.incidents()) == 1


def test_a_rise_to_red_after_an_answer_at_orange_pages_again_and_says_why(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(10)
    world.answer()
    world.until(100)
    world.push(world.alarm("hoist_like_cycle", source_id="meter-1"))
    world.until(101)
    incident = world.incident()
    assert (incident.level, incident.verdict, incident.state) == ("red", "suspected_illegal_production", "notified")
    assert incident.acknowledged_by is None
    assert world.pages_sent() == [(0, "to:wang"), (100, "to:wang")]
    (raised,) = world.events("level_raised")
    assert (raised.from_state, raised.to_state, raised.reason) == ("acknowledged", "detected", "level_raised")
    assert "疑似非法生产" in world.webhook.requests[-1].title
    world.answer()
    world.until(500)
    assert len(world.pages_sent()) == 2


def test_a_rise_to_red_before_any_answer_pages_again_at_once_and_puts_no_step_off(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(50)
    world.push(world.alarm("hoist_like_cycle"))
    world.until(75)
    assert world.pages_sent() == [(0, "to:wang"), (50, "to:wang"), (60, "to:li")]


def test_a_second_rise_is_needed_for_a_third_page(world: World) -> None:
    world.push(world.alarm("power_step", level=Level.YELLOW))
    world.until(1)
    world.push(world.alarm("person"))
    world.until(2)
    world.push(world.alarm("hoist_like_cycle"))
    world.until(3)
    world.push(world.alarm("hoist_like_cycle", alarm_id="h2"), world.alarm("person", alarm_id="p2"))
    world.until(20)
    assert world.pages_sent() == [(0, "to:wang"), (1, "to:wang"), (2, "to:wang")]


def test_five_hundred_alarms_of_one_site_make_one_page(world: World) -> None:
    for at in range(0, 500, 100):
        world.push(*(world.alarm("person", alarm_id=f"p{at + n}") for n in range(100)))
    world.until(10)
    assert world.pages_sent() == [(0, "to:wang")]
    assert len(world.incidents()) == 1


def test_the_end_of_an_alarm_closes_nothing_and_stops_no_page(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(5)
    world.push(world.alarm("person", phase=Phase.END))
    world.until(61)
    assert world.pages_sent() == [(0, "to:wang"), (60, "to:li")]
    assert world.incident().state == "notified"
    assert "alarm_ended" in world.history()


def test_a_new_alarm_hours_after_the_answer_wants_a_new_answer(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(1)
    world.answer()
    world.clock.advance(4 * 3600 + 10)
    world.push(world.alarm("person", alarm_id="person-2"))
    world.pager.turn()
    assert len(world.pages_sent()) == 2
    assert world.events("recurred")[0].reason == "acknowledgement_too_old"


def test_after_closing_the_next_alarm_is_a_new_incident(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(5)
    world.close_incident()
    world.push(world.alarm("person", alarm_id="person-2"))
    world.until(6)
    assert [i.state for i in world.incidents()] == ["closed", "notified"]
    assert world.pages_sent() == [(0, "to:wang"), (5, "to:wang")]


def test_an_alarm_that_goes_on_after_its_incident_was_closed_wakes_nobody(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(5)
    world.close_incident()
    world.push(world.alarm("person", phase=Phase.UPDATE), world.alarm("person", phase=Phase.END))
    world.until(400)
    assert len(world.incidents()) == 1
    assert world.pages_sent() == [(0, "to:wang")]
    assert [e.reason for e in world.events("alarm_ended")] == ["after_closing"]


def test_a_reopened_incident_pages_at_once(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(5)
    world.close_incident()
    world.until(20)
    with world.database.write() as session:
        now_ms = world.clock.wall_ms()
        service.reopen(session, incident_id=world.incident().incident_id, actor="desk", now_ms=now_ms)
    world.until(21)
    assert world.pages_sent() == [(0, "to:wang"), (20, "to:wang")]


def test_passing_on_pages_the_next_person_at_once(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(10)
    with world.database.write() as session:
        service.pass_on(
            session,
            incident_id=world.incident().incident_id,
            actor="person:wang",
            reason="cannot",
            now_ms=world.clock.wall_ms(),
        )
    world.until(11)
    assert world.pages_sent() == [(0, "to:wang"), (10, "to:li")]


def test_a_channel_that_says_no_brings_the_next_step_forward_at_once(world: World) -> None:
    world.webhook.always = REFUSED
    world.push(world.alarm("person"))
    world.until(1)
    assert world.pages_sent() == [(0, "to:wang"), (0, "to:li")]
    assert world.page_states()[:2] == ["failed", "submitted"]
    assert world.events("page_hastened")[0].reason == "previous_step_failed"
    assert "310000" in world.events("page_failed")[0].detail["outcome"]


def test_a_busy_receiver_is_tried_three_times_and_then_the_next_step_is_paged(world: World) -> None:
    world.webhook.always = BUSY
    world.push(world.alarm("person"))
    world.until(30)
    wang = [at for at, address in world.pages_sent() if address == "to:wang"]
    assert len(wang) == 3
    assert wang[-1] < 20
    (li,) = [at for at, address in world.pages_sent() if address == "to:li"]
    assert wang[-1] <= li < 20
    assert len({r.page_id for r in world.webhook.requests}) == 1, "the same page keeps its idempotency key"


def test_a_receiver_that_is_busy_once_gets_the_page_at_the_second_try(world: World) -> None:
    world.webhook.answers = [BUSY]
    world.push(world.alarm("person"))
    world.until(10)
    assert [a for _, a in world.pages_sent()] == ["to:wang", "to:wang"]
    assert world.page_states() == ["submitted", "due"]


def test_when_every_channel_is_down_the_ladder_begins_again_soon_and_never_stalls(world: World) -> None:
    world.webhook.always = world.email.always = REFUSED
    world.push(world.alarm("person"))
    world.until(200)
    starts = [e.reason for e in world.events("ladder_started")]
    assert starts[:3] == ["opened", "every_page_failed", "every_page_failed"]
    world.webhook.always = TAKEN
    world.until(240)
    assert world.incident().state == "notified"


def test_a_channel_that_is_no_longer_configured_is_a_failure_with_a_name(build_world: Callable[..., World]) -> None:
    world = build_world(ladder=Ladder(steps=(step(0, "wang", "carrier_pigeon"), step(60, "li"))))
    world.push(world.alarm("person"))
    world.until(1)
    assert world.pages_sent() == [(0, "to:li")]
    assert "carrier_pigeon" in world.events("page_failed")[0].detail["outcome"]


def test_a_channel_that_raises_is_a_failure_and_not_the_end_of_paging(world: World) -> None:
    def explode(_request: PageRequest) -> None:
        raise RuntimeError("boom")

    world.webhook.before = explode
    world.push(world.alarm("person"))
    world.until(30)
    assert "to:li" in [a for _, a in world.pages_sent()]
    assert "boom" in world.events("page_failed")[0].detail["outcome"]


def test_a_blue_alarm_waits_on_the_desk_and_wakes_nobody(world: World) -> None:
    world.push(world.alarm("camera_fault", level=Level.BLUE))
    world.until(1000)
    assert world.pages_sent() == []
    assert world.events("nobody_to_page")[0].reason == "level_not_paged"


def test_an_incident_without_a_ladder_says_so_in_its_history(build_world: Callable[..., World]) -> None:
    world = build_world(ladder=Ladder())
    world.push(world.alarm("person"))
    world.until(100)
    assert world.events("nobody_to_page")[0].reason == "ladder_is_empty"


def test_editing_the_ladder_does_not_change_a_running_page(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(1)
    world.ladder = Ladder(steps=(step(0, "zhao"),))
    world.restart()
    world.until(61)
    assert world.pages_sent() == [(0, "to:wang"), (60, "to:li")]


def test_a_red_page_overtakes_a_storm_of_yellow_ones(build_world: Callable[..., World]) -> None:
    world = build_world(ladder=Ladder(steps=(step(0, "wang"),)))
    yellow = [world.alarm("vehicle", level=Level.YELLOW), world.alarm("vehicle", "node-2", level=Level.YELLOW)]
    world.push(*yellow)
    world.push(world.alarm("hoist_like_cycle"))
    world.pager.turn()
    assert world.webhook.requests[0].level == "red"


@pytest.mark.parametrize("backwards_s", [30, 3600, 86_400])
def test_a_clock_that_is_set_back_delays_no_step_by_more_than_its_own_wait(world: World, backwards_s: int) -> None:
    world.push(world.alarm("person"))
    world.until(10)
    world.clock.jump_wall(-backwards_s)
    before_s = world.clock.monotonic_s()
    while len(world.pages_sent()) < 2 and world.clock.monotonic_s() - before_s < 200:
        world.pager.audit()
        world.pager.turn()
        world.clock.advance(1)
    assert world.clock.monotonic_s() - before_s <= 60 + 50 + 5


def test_a_clock_that_is_set_forward_pages_early_rather_than_late(world: World) -> None:
    world.push(world.alarm("person"))
    world.until(1)
    world.clock.jump_wall(3600)
    world.pager.turn()
    assert [a for _, a in world.pages_sent()] == ["to:wang", "to:li"]


def test_two_workers_send_one_page(world: World) -> None:
    world.push(world.alarm("person"))
    other = world.new_pager("worker-2")
    seen: list[int] = []
    world.webhook.before = lambda _request: seen.append(other.turn())
    world.pager.turn()
    assert seen == [0]
    assert world.pages_sent() == [(0, "to:wang")]


def test_an_answer_that_crosses_the_page_under_way_is_kept(world: World) -> None:
    world.push(world.alarm("person"))
    world.webhook.before = lambda _request: (world.answer("person:wang"), None)[1]
    world.until(100)
    assert world.pages_sent() == [(0, "to:wang")]
    assert world.incident().state == "acknowledged"
    assert world.page_states() == ["answered", "cancelled"]


class TestKilledAtEveryState:
    """The process dies at a named moment and another one takes over the file: the exact pages that are wanted."""

    def test_after_the_alarms_commit_before_anything_was_claimed(self, world: World) -> None:
        world.push(world.alarm("person"))
        world.restart()
        world.until(1)
        assert world.pages_sent() == [(0, "to:wang")]

    def test_while_sending_before_the_receiver_got_it(self, world: World) -> None:
        world.push(world.alarm("person"))
        kill_while_sending(world)
        world.sent.clear()
        world.restart()
        world.until(2)
        assert [a for _, a in world.pages_sent()] == ["to:wang"]
        assert world.events("page_reclaimed")[0].reason == "sender_vanished"

    def test_while_sending_after_the_receiver_got_it_the_same_page_comes_again_under_its_key(
        self, world: World
    ) -> None:
        world.push(world.alarm("person"))
        kill_while_sending(world)
        world.restart()
        world.until(2)
        assert [a for _, a in world.pages_sent()] == ["to:wang", "to:wang"]
        assert len({r.page_id for r in world.webhook.requests}) == 1

    def test_while_sending_and_answered_since_it_is_never_sent_again(self, world: World) -> None:
        world.push(world.alarm("person"))
        kill_while_sending(world)
        world.answer("person:wang")
        world.restart()
        world.until(500)
        assert len(world.pages_sent()) == 1
        assert world.page_states() == ["cancelled", "cancelled"]

    def test_after_the_first_step_was_recorded_it_is_never_sent_again(self, world: World) -> None:
        world.push(world.alarm("person"))
        world.until(5)
        world.restart()
        world.until(61)
        assert world.pages_sent() == [(0, "to:wang"), (60, "to:li")]

    def test_longer_than_the_second_step_was_due(self, world: World) -> None:
        world.push(world.alarm("person"))
        world.until(5)
        world.clock.advance(600)
        world.restart()
        world.pager.turn()
        assert world.pages_sent() == [(0, "to:wang"), (605, "to:li")]

    def test_between_two_tries_of_a_busy_receiver(self, world: World) -> None:
        world.webhook.answers = [BUSY]
        world.push(world.alarm("person"))
        world.until(0)
        world.restart()
        world.until(10)
        assert [a for _, a in world.pages_sent()] == ["to:wang", "to:wang"]

    def test_after_the_answer(self, world: World) -> None:
        world.push(world.alarm("person"))
        world.until(1)
        world.answer()
        world.restart()
        world.until(500)
        assert world.pages_sent() == [(0, "to:wang")]

    def test_in_the_pause_before_the_ladder_begins_again(self, world: World) -> None:
        world.push(world.alarm("person"))
        world.until(100)
        world.restart()
        world.until(370)
        assert world.pages_sent() == [(0, "to:wang"), (60, "to:li"), (360, "to:wang")]

    def test_again_and_again_by_the_same_page_it_is_never_given_up_and_the_next_step_is_paged_early(
        self, world: World
    ) -> None:
        world.push(world.alarm("person"))
        for _ in range(8):
            kill_while_sending(world)
            world.restart()
            world.clock.advance(3)  # the pause after many lost senders
        world.until(30)
        li = [at for at, address in world.pages_sent() if address == "to:li"]
        assert len(li) == 1
        assert li[0] < 60
        assert world.page_states() == ["submitted", "submitted", "due", "due"]
        assert world.events("page_hastened")[-1].reason == "previous_step_loses_senders"
        assert {e.reason for e in world.events("page_reclaimed")} == {"sender_vanished"}

    def test_lost_senders_use_up_no_try_of_a_busy_receiver(self, world: World) -> None:
        world.push(world.alarm("person"))
        for _ in range(3):
            kill_while_sending(world)
            world.restart()
        world.webhook.answers = [BUSY]
        world.until(20)
        assert world.page_states()[0] == "submitted"


class _Killed(BaseException):
    pass


def kill_while_sending(world: World) -> None:
    """The process ends inside the channel: what was committed stays, nothing after it happens."""

    def die(_request: PageRequest) -> None:
        raise _Killed

    world.webhook.before = die
    with contextlib.suppress(_Killed):
        world.pager.turn()
    world.webhook.before = None


def test_a_worker_that_vanishes_on_a_shared_database_loses_its_page_after_its_lease(world: World) -> None:
    world.push(world.alarm("person"))
    kill_while_sending(world)
    other = world.new_pager("worker-2")
    world.clock.advance(59)
    assert other.audit() == 0
    world.clock.advance(2)
    assert other.audit() == 1
    other.turn()
    assert [a for _, a in world.pages_sent()][:2] == ["to:wang", "to:wang"]


def test_a_late_result_of_a_worker_that_lost_its_page_changes_nothing(world: World) -> None:
    world.push(world.alarm("person"))
    other = world.new_pager("worker-2")

    def slow(_request: PageRequest) -> None:
        world.webhook.before = None
        world.clock.advance(61)
        other.audit()
        other.turn()

    world.webhook.before = slow
    world.webhook.answers = [TAKEN, Submission(ok=False, outcome="late no")]
    world.pager.turn()
    with world.database.read() as session:
        page = session.get_one(Page, world.webhook.requests[0].page_id)
        assert (page.state, page.outcome) == ("submitted", "200 ok")


def test_an_audit_of_an_undisturbed_service_finds_nothing(world: World) -> None:
    world.push(world.alarm("person"))
    world.pager.turn()
    for _ in range(900):
        world.clock.advance(1)
        world.pager.turn()
        assert world.pager.audit() == 0


def test_a_worker_that_starts_takes_over_its_own_pages_and_leaves_those_of_others_alone(world: World) -> None:
    other = world.new_pager("worker-2")

    def another_worker_starts(_request: PageRequest) -> None:
        world.webhook.before = None
        other.take_over()
        other.audit()
        other.turn()

    world.webhook.before = another_worker_starts
    world.push(world.alarm("person"))
    world.pager.turn()
    assert world.pages_sent() == [(0, "to:wang")]
    assert world.events("page_reclaimed") == []
