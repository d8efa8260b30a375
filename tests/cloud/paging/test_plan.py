"""The decision about pages, for any state of the rows: an incident is answered, or somebody is about to be paged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sealwatch.cloud.incidents import states
from sealwatch.cloud.incidents.states import State
from sealwatch.cloud.paging.ladder import Ladder, from_json, to_json
from sealwatch.cloud.paging.plan import (
    CLOCK_SLACK_MS,
    MAX_ATTEMPTS,
    VANISHED_GIVES_PLACE,
    Cancel,
    Hasten,
    IncidentView,
    PageView,
    Reclaim,
    Send,
    StartWalk,
    next_actions,
    walk,
)
from sealwatch.contract.codes import Level
from tests.cloud.world import step

NOW_MS = 1_700_000_000_000
LADDER = Ladder(steps=(step(0, "wang"), step(60, "li"), step(120, "zhao")), repeat_after_s=300)


def view(state: State = State.NOTIFIED, level: Level = Level.RED, ladder: Ladder = LADDER) -> IncidentView:
    return IncidentView(state=state, level=level, ladder=ladder)


def page(step_number: int, state: str, due_s: float = 0, **changes: Any) -> PageView:
    values: dict[str, Any] = {
        "page_id": f"p{step_number}",
        "cycle": 1,
        "step": step_number,
        "state": state,
        "due_at_ms": NOW_MS + round(due_s * 1000),
    }
    return PageView(**(values | changes))


def test_a_due_page_is_sent_and_one_in_the_future_waits() -> None:
    assert next_actions(view(), [page(0, "due", 0), page(1, "due", 60)], NOW_MS) == [Send("p0")]


@pytest.mark.parametrize("state", [State.ACKNOWLEDGED, State.CLOSED])
def test_of_an_answered_incident_everything_due_is_cancelled(state: State) -> None:
    pages = [page(0, "submitted"), page(1, "due", 60), page(2, "due", -5)]
    assert next_actions(view(state), pages, NOW_MS) == [
        Cancel("p1", "answered_before"),
        Cancel("p2", "answered_before"),
    ]


def test_a_page_whose_sender_is_gone_is_due_again_at_once_and_later_with_a_pause() -> None:
    held = page(0, "sending", claimed_until_ms=NOW_MS - 1)
    assert next_actions(view(), [held], NOW_MS) == [Reclaim("p0", "sender_vanished", NOW_MS)]
    often = replace(held, vanished=5)
    assert next_actions(view(), [often], NOW_MS) == [Reclaim("p0", "sender_vanished", NOW_MS + 2000)]
    assert next_actions(view(), [replace(held, claimed_until_ms=NOW_MS + 1)], NOW_MS) == []


def test_a_page_that_lost_six_senders_stays_due_and_brings_the_next_step_forward() -> None:
    pages = [page(0, "due", 2, vanished=6), page(1, "due", 60), page(2, "due", 120)]
    assert next_actions(view(), pages, NOW_MS) == [Hasten("p1", NOW_MS, "previous_step_loses_senders")]


def test_a_page_that_lost_twenty_senders_gives_place_to_a_walk_that_begins_at_once() -> None:
    held = page(0, "sending", claimed_until_ms=NOW_MS - 1, vanished=19)
    others = [page(n, "submitted", submitted_at_ms=NOW_MS) for n in (1, 2)]
    reclaim = Reclaim("p0", "sender_vanished_repeatedly", NOW_MS, give_up=True)
    assert next_actions(view(), [held, *others], NOW_MS) == [reclaim]
    (again,) = next_actions(view(), [replace(held, state="failed", vanished=20), *others], NOW_MS)
    assert isinstance(again, StartWalk)
    assert (again.due_at_ms[0], again.reason) == (NOW_MS, "senders_vanished")


def test_after_a_failed_step_the_next_one_is_due_at_once() -> None:
    pages = [page(0, "failed"), page(1, "due", 60), page(2, "due", 120)]
    assert next_actions(view(), pages, NOW_MS) == [Hasten("p1", NOW_MS, "previous_step_failed")]


def test_a_ladder_that_ended_without_an_answer_begins_again_after_its_pause() -> None:
    pages = [page(n, "submitted", submitted_at_ms=NOW_MS) for n in range(3)]
    (again,) = next_actions(view(), pages, NOW_MS)
    assert again == StartWalk(2, tuple(NOW_MS + ms for ms in (300_000, 360_000, 420_000)), "nobody_answered")


def test_a_ladder_of_which_every_step_failed_begins_again_soon() -> None:
    (again,) = next_actions(view(), [page(n, "failed") for n in range(3)], NOW_MS)
    assert isinstance(again, StartWalk)
    assert (again.due_at_ms[0] - NOW_MS, again.reason) == (30_000, "every_page_failed")


def test_an_incident_that_never_got_its_pages_gets_them() -> None:
    assert next_actions(view(State.DETECTED), [], NOW_MS) == [
        StartWalk(1, (NOW_MS, NOW_MS + 60_000, NOW_MS + 120_000), "ladder_never_started")
    ]


def test_a_blue_incident_and_one_without_a_ladder_want_nothing() -> None:
    assert next_actions(view(level=Level.BLUE), [], NOW_MS) == []
    assert next_actions(view(ladder=Ladder()), [], NOW_MS) == []


def test_a_new_walk_puts_off_no_step_that_is_about_to_be_due() -> None:
    pages = [page(0, "submitted", submitted_at_ms=NOW_MS), page(1, "due", 10), page(2, "due", 70)]
    started = walk(LADDER, pages, base_ms=NOW_MS, reason="level_raised")
    assert started == StartWalk(2, (NOW_MS, NOW_MS + 10_000, NOW_MS + 70_000), "level_raised")


def test_a_ladder_survives_its_way_through_the_database() -> None:
    assert from_json(to_json(LADDER)) == LADDER


def apply(pages: list[PageView], ladder: Ladder, actions: list[Any]) -> list[PageView]:
    """What `store.carry_out` does to the rows, on views."""
    by_id = {p.page_id: p for p in pages}
    for action in actions:
        match action:
            case Send(page_id=page_id):
                by_id[page_id] = replace(by_id[page_id], state="sending", claimed_until_ms=2**53)
            case Reclaim(page_id=page_id, due_at_ms=due_at_ms, give_up=give_up):
                held = by_id[page_id]
                by_id[page_id] = replace(
                    held,
                    state="failed" if give_up else "due",
                    due_at_ms=due_at_ms,
                    attempts=max(0, held.attempts - 1),
                    vanished=held.vanished + 1,
                    claimed_until_ms=None,
                )
            case Hasten(page_id=page_id, due_at_ms=due_at_ms):
                by_id[page_id] = replace(by_id[page_id], due_at_ms=due_at_ms)
            case Cancel(page_id=page_id):
                by_id[page_id] = replace(by_id[page_id], state="cancelled")
            case StartWalk(cycle=cycle, due_at_ms=due):
                for number, at_ms in enumerate(due):
                    name = f"c{cycle}s{number}"
                    by_id[name] = PageView(page_id=name, cycle=cycle, step=number, state="due", due_at_ms=at_ms)
    return list(by_id.values())


@st.composite
def any_pages(draw: st.DrawFn) -> list[PageView]:
    """Rows as any sequence of crashes, answers and clocks could leave them."""
    pages = []
    for cycle in range(1, draw(st.integers(0, 3)) + 1):
        for number in range(len(LADDER.steps)):
            state = draw(st.sampled_from(["due", "sending", "submitted", "failed", "answered", "cancelled"]))
            pages.append(
                PageView(
                    page_id=f"c{cycle}s{number}",
                    cycle=cycle,
                    step=number,
                    state=state,
                    due_at_ms=NOW_MS + draw(st.integers(-(10**8), 10**8)),
                    attempts=draw(st.integers(0, 8)),
                    vanished=draw(st.integers(0, 24)),
                    claimed_until_ms=NOW_MS + draw(st.integers(-(10**5), 10**5)) if state == "sending" else None,
                    submitted_at_ms=NOW_MS if state in ("submitted", "answered") else None,
                )
            )
    return pages


@given(any_pages(), st.sampled_from(State), st.sampled_from(Level))
def test_the_decisions_come_to_rest_and_leave_nobody_forgotten(
    pages: list[PageView], state: State, level: Level
) -> None:
    incident = view(state, level)
    for _ in range(8):
        actions = next_actions(incident, pages, NOW_MS)
        if not actions:
            break
        pages = apply(pages, LADDER, actions)
    assert next_actions(incident, pages, NOW_MS) == []
    pending = [p for p in pages if p.state in ("due", "sending")]
    if state not in states.UNANSWERED or level is Level.BLUE:
        assert all(p.state == "sending" for p in pending)
    else:
        assert pending, "an incident without an answer has a next step"
        newest = max(p.cycle for p in pages)
        latest_ms = NOW_MS + 420_000 + CLOCK_SLACK_MS
        assert all(p.due_at_ms <= latest_ms for p in pending if p.cycle == newest and p.state == "due")


class PagingMachine(RuleBasedStateMachine):
    """Time passes, receivers take pages or do not, workers die, people answer: what must hold at every moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = NOW_MS
        self.incident = view(State.DETECTED)
        self.pages: list[PageView] = []
        self.answered = False
        self.settle()

    def settle(self) -> None:
        for _ in range(8):
            actions = [a for a in next_actions(self.incident, self.pages, self.now_ms) if not isinstance(a, Send)]
            if not actions:
                return
            self.pages = apply(self.pages, LADDER, actions)
        raise AssertionError("the decisions do not come to rest")

    def change(self, page_id: str, **changes: Any) -> None:
        self.pages = [replace(p, **changes) if p.page_id == page_id else p for p in self.pages]
        self.settle()

    @rule(seconds=st.floats(0.1, 400))
    def time_passes(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        self.settle()

    @rule(seconds=st.floats(1, 100_000))
    def the_clock_is_set_back(self, seconds: float) -> None:
        self.now_ms -= round(seconds * 1000)
        self.settle()

    @rule()
    def everything_due_is_claimed(self) -> None:
        for action in next_actions(self.incident, self.pages, self.now_ms):
            if isinstance(action, Send):
                assert not self.answered, "a page goes out after the answer"
                (due,) = [p for p in self.pages if p.page_id == action.page_id]
                changes: dict[str, Any] = {
                    "state": "sending",
                    "attempts": due.attempts + 1,
                    "claimed_until_ms": self.now_ms + 60_000,
                }
                self.pages = [replace(p, **changes) if p is due else p for p in self.pages]

    def sending(self) -> list[PageView]:
        return [p for p in self.pages if p.state == "sending"]

    @precondition(lambda self: bool(self.sending()))
    @rule(data=st.data())
    def a_receiver_takes_a_page(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.sending()))
        if self.incident.state is State.DETECTED:
            self.incident = replace(self.incident, state=State.NOTIFIED)
        self.change(chosen.page_id, state="submitted", submitted_at_ms=self.now_ms, claimed_until_ms=None)

    @precondition(lambda self: bool(self.sending()))
    @rule(data=st.data())
    def a_receiver_is_busy(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.sending()))
        again = chosen.attempts < MAX_ATTEMPTS and not self.answered
        changes: dict[str, Any] = {"state": "due", "due_at_ms": self.now_ms + 5000} if again else {"state": "failed"}
        self.change(chosen.page_id, claimed_until_ms=None, **changes)

    @precondition(lambda self: bool(self.sending()))
    @rule()
    def every_worker_dies_and_another_takes_over(self) -> None:
        self.pages = [replace(p, claimed_until_ms=0) if p.state == "sending" else p for p in self.pages]
        self.settle()

    @rule()
    def somebody_answers(self) -> None:
        self.answered = True
        self.incident = replace(self.incident, state=State.ACKNOWLEDGED)
        self.settle()

    @precondition(lambda self: self.answered)
    @rule()
    def it_gets_worse(self) -> None:
        self.answered = False
        self.incident = replace(self.incident, state=State.DETECTED)
        started = walk(LADDER, self.pages, base_ms=self.now_ms, reason="level_raised")
        self.pages = [replace(p, state="cancelled") if p.state == "due" else p for p in self.pages]
        self.pages = apply(self.pages, LADDER, [started])
        self.settle()

    @invariant()
    def nobody_is_forgotten(self) -> None:
        if not self.answered:
            assert any(p.state in ("due", "sending") for p in self.pages)

    @invariant()
    def nothing_is_due_after_an_answer(self) -> None:
        if self.answered:
            assert not any(p.state == "due" for p in self.pages)

    @invariant()
    def no_step_of_a_walk_is_there_twice(self) -> None:
        assert len({(p.cycle, p.step) for p in self.pages}) == len(self.pages)

    @invariant()
    def no_page_is_tried_without_end(self) -> None:
        assert all(p.attempts <= MAX_ATTEMPTS and p.vanished <= VANISHED_GIVES_PLACE for p in self.pages)


TestPagingMachine = PagingMachine.TestCase
TestPagingMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
