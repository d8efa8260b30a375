"""The table of an incident's life holds together."""

from __future__ import annotations

from pathlib import Path

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
    by_people = {Event.ACKNOWLEDGED, Event.DISPATCHED, Event.ARRIVED, Event.HANDLED, Event.SHELVED, Event.CLOSED}
    assert silencing == by_people


def test_every_state_but_closed_leads_back_to_the_ladder_or_to_the_end() -> None:
    for state in states.IN_HAND | {State.SHELVED}:
        after = {t.after for t in TRANSITIONS if t.before is state}
        assert State.DETECTED in after, f"{state}: nothing that gets worse or recurs would page again"
        assert State.CLOSED in after


def test_what_is_not_in_the_table_does_not_happen() -> None:
    assert states.after(State.CLOSED, Event.ACKNOWLEDGED) is None
    assert states.after(State.CLOSED, Event.LEVEL_RAISED) is None
    assert states.after(State.ACKNOWLEDGED, Event.ACKNOWLEDGED) is None


def test_the_document_has_the_whole_table() -> None:
    document = (Path(__file__).parents[3] / "docs" / "incidents.md").read_text(encoding="utf-8")
    rows = [line for line in document.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{t.before}` | `{t.event}` | `{t.after}` | {t.meaning} |" for t in TRANSITIONS]
