"""The table of an incident's life holds together."""

from __future__ import annotations

from sealwatch.cloud.incidents import states
from sealwatch.cloud.incidents.states import TRANSITIONS, Event, State


def test_every_state_is_reached_and_left_again() -> None:
    assert {t.after for t in TRANSITIONS} == set(State)
    for state in State:
        assert any(t.before is state and t.after is not state for t in TRANSITIONS), state


def test_no_state_has_two_answers_to_one_event() -> None:
    assert len({(t.before, t.event) for t in TRANSITIONS}) == len(TRANSITIONS)


def test_every_line_says_why() -> None:
    assert all(len(t.meaning) > 10 for t in TRANSITIONS)


def test_only_a_person_silences_the_ladder() -> None:
    silencing = {t.event for t in TRANSITIONS if t.before in states.UNANSWERED and t.after not in states.UNANSWERED}
    assert silencing == {Event.ACKNOWLEDGED, Event.CLOSED}


def test_what_is_not_in_the_table_does_not_happen() -> None:
    assert states.after(State.CLOSED, Event.ACKNOWLEDGED) is None
    assert states.after(State.CLOSED, Event.LEVEL_RAISED) is None
    assert states.after(State.ACKNOWLEDGED, Event.ACKNOWLEDGED) is None
