"""The life of an incident, written out (after ISA-18.2: an alarm is annunciated until acknowledged by a person).

Everything that may happen to an incident's state is a line of `TRANSITIONS`; what has no line does not happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class State(StrEnum):
    DETECTED = "detected"  # an alarm came in; nobody has been reached yet
    NOTIFIED = "notified"  # at least one page was taken by its receiver; nobody has answered
    ACKNOWLEDGED = "acknowledged"  # a named person has taken it on
    CLOSED = "closed"  # a person has looked and said what it was


class Event(StrEnum):
    PAGE_SUBMITTED = "page_submitted"
    ACKNOWLEDGED = "acknowledged"
    LEVEL_RAISED = "level_raised"
    RECURRED = "recurred"
    CLOSED = "closed"
    REOPENED = "reopened"


@dataclass(frozen=True, slots=True)
class Transition:
    """From one state to another, and in words why that is right."""

    before: State
    event: Event
    after: State
    meaning: str


OPENS_AS: Final = State.DETECTED
UNANSWERED: Final = frozenset({State.DETECTED, State.NOTIFIED})
"""States in which the ladder runs until a named person answers."""
OPEN: Final = frozenset({State.DETECTED, State.NOTIFIED, State.ACKNOWLEDGED})

TRANSITIONS: Final = (
    Transition(State.DETECTED, Event.PAGE_SUBMITTED, State.NOTIFIED, "a receiver has taken the first page"),
    Transition(State.NOTIFIED, Event.PAGE_SUBMITTED, State.NOTIFIED, "one more person has been paged"),
    Transition(State.ACKNOWLEDGED, Event.PAGE_SUBMITTED, State.ACKNOWLEDGED, "a page under way crossed the answer"),
    Transition(State.CLOSED, Event.PAGE_SUBMITTED, State.CLOSED, "a page under way crossed the closing"),
    Transition(State.DETECTED, Event.ACKNOWLEDGED, State.ACKNOWLEDGED, "somebody answered before a page went out"),
    Transition(State.NOTIFIED, Event.ACKNOWLEDGED, State.ACKNOWLEDGED, "a named person answered"),
    Transition(State.DETECTED, Event.LEVEL_RAISED, State.DETECTED, "it got worse before anybody was reached"),
    Transition(State.NOTIFIED, Event.LEVEL_RAISED, State.NOTIFIED, "it got worse while waiting for an answer"),
    Transition(State.ACKNOWLEDGED, Event.LEVEL_RAISED, State.DETECTED, "what was answered for is not what it is now"),
    Transition(State.ACKNOWLEDGED, Event.RECURRED, State.DETECTED, "a new alarm long after the answer wants a new one"),
    Transition(State.DETECTED, Event.CLOSED, State.CLOSED, "a person looked and closed it at once"),
    Transition(State.NOTIFIED, Event.CLOSED, State.CLOSED, "a person looked and closed it without taking it on first"),
    Transition(State.ACKNOWLEDGED, Event.CLOSED, State.CLOSED, "a person looked and said what it was"),
    Transition(State.CLOSED, Event.REOPENED, State.DETECTED, "it was closed by mistake; somebody must answer again"),
)
_TABLE: Final = {(t.before, t.event): t for t in TRANSITIONS}


def after(state: State, event: Event) -> State | None:
    """The state that follows, or None where the table has no such line."""
    line = _TABLE.get((state, event))
    return None if line is None else line.after


def before(event: Event) -> tuple[State, ...]:
    """The states in which `event` may happen."""
    return tuple(t.before for t in TRANSITIONS if t.event is event)
