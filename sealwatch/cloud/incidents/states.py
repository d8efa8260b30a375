"""The life of an incident, written out (after ISA-18.2: an alarm is annunciated until acknowledged by a person).

Everything that may happen to an incident's state is a line of `TRANSITIONS`; what has no line does not happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class State(StrEnum):
    DETECTED = "detected"  # 发现: an alarm came in; nobody has been reached yet
    NOTIFIED = "notified"  # 已通知: at least one page was taken by its receiver; nobody has answered
    ACKNOWLEDGED = "acknowledged"  # 已应答: a named person has taken it on
    DISPATCHED = "dispatched"  # 派单: somebody is on the way
    ON_SITE = "on_site"  # 到场: somebody is there
    VERIFIED = "verified"  # 核查: somebody has looked and written down what it is
    HANDLED = "handled"  # 处置: done, and its closing waits for a second person (red and orange)
    CLOSED = "closed"  # 销号: said what it was, and confirmed where that is wanted
    REOPENED = "reopened"  # 重启: it was closed by mistake; nobody has answered since
    SHELVED = "shelved"  # 搁置: put aside by a person until a time, with a reason; never longer


class Event(StrEnum):
    PAGE_SUBMITTED = "page_submitted"
    ACKNOWLEDGED = "acknowledged"
    DISPATCHED = "dispatched"
    ARRIVED = "arrived"
    VERIFIED = "verified"
    HANDLED = "handled"
    CLOSING_REFUSED = "closing_refused"
    LEVEL_RAISED = "level_raised"
    RECURRED = "recurred"
    SHELVED = "shelved"
    SHELF_ENDED = "shelf_ended"
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
UNANSWERED: Final = frozenset({State.DETECTED, State.NOTIFIED, State.REOPENED})
"""States in which the ladder runs until a named person answers."""
IN_HAND: Final = frozenset({State.ACKNOWLEDGED, State.DISPATCHED, State.ON_SITE, State.VERIFIED, State.HANDLED})
"""States in which a named person has it."""
OPEN: Final = frozenset(State) - {State.CLOSED}


def _each(befores: tuple[State, ...], event: Event, after: State, meaning: str) -> tuple[Transition, ...]:
    return tuple(Transition(before, event, after, meaning) for before in befores)


_S: Final = State
TRANSITIONS: Final = (
    Transition(_S.DETECTED, Event.PAGE_SUBMITTED, _S.NOTIFIED, "a receiver has taken the first page"),
    Transition(_S.REOPENED, Event.PAGE_SUBMITTED, _S.NOTIFIED, "a receiver has taken the first page since"),
    Transition(_S.NOTIFIED, Event.PAGE_SUBMITTED, _S.NOTIFIED, "one more person has been paged"),
    Transition(_S.ACKNOWLEDGED, Event.PAGE_SUBMITTED, _S.ACKNOWLEDGED, "a page under way crossed the answer"),
    Transition(_S.DISPATCHED, Event.PAGE_SUBMITTED, _S.DISPATCHED, "a page under way crossed the answer"),
    Transition(_S.ON_SITE, Event.PAGE_SUBMITTED, _S.ON_SITE, "a page under way crossed the answer"),
    Transition(_S.VERIFIED, Event.PAGE_SUBMITTED, _S.VERIFIED, "a page under way crossed the findings"),
    Transition(_S.HANDLED, Event.PAGE_SUBMITTED, _S.HANDLED, "a page under way crossed the closing"),
    Transition(_S.SHELVED, Event.PAGE_SUBMITTED, _S.SHELVED, "a page under way crossed the shelving"),
    Transition(_S.CLOSED, Event.PAGE_SUBMITTED, _S.CLOSED, "a page under way crossed the closing"),
    Transition(_S.DETECTED, Event.ACKNOWLEDGED, _S.ACKNOWLEDGED, "somebody answered before a page went out"),
    Transition(_S.REOPENED, Event.ACKNOWLEDGED, _S.ACKNOWLEDGED, "somebody answered before a page went out"),
    Transition(_S.NOTIFIED, Event.ACKNOWLEDGED, _S.ACKNOWLEDGED, "a named person answered"),
    Transition(_S.SHELVED, Event.ACKNOWLEDGED, _S.ACKNOWLEDGED, "somebody took it off the shelf and goes"),
    *_each(
        (_S.DETECTED, _S.NOTIFIED, _S.REOPENED, _S.ACKNOWLEDGED),
        Event.DISPATCHED,
        _S.DISPATCHED,
        "somebody was sent and is on the way",
    ),
    *_each(
        (_S.DETECTED, _S.NOTIFIED, _S.REOPENED, _S.ACKNOWLEDGED, _S.DISPATCHED),
        Event.ARRIVED,
        _S.ON_SITE,
        "somebody checked in on site",
    ),
    *_each(
        (_S.ACKNOWLEDGED, _S.DISPATCHED, _S.ON_SITE),
        Event.VERIFIED,
        _S.VERIFIED,
        "somebody wrote down what was found",
    ),
    *_each(
        (_S.DETECTED, _S.NOTIFIED, _S.REOPENED, _S.ACKNOWLEDGED, _S.DISPATCHED, _S.ON_SITE, _S.VERIFIED, _S.SHELVED),
        Event.HANDLED,
        _S.HANDLED,
        "a person said what it was; red and orange wait for a second one",
    ),
    Transition(
        _S.HANDLED, Event.CLOSING_REFUSED, _S.ACKNOWLEDGED, "the second person does not agree: on with the work"
    ),
    Transition(_S.DETECTED, Event.LEVEL_RAISED, _S.DETECTED, "it got worse before anybody was reached"),
    Transition(_S.REOPENED, Event.LEVEL_RAISED, _S.REOPENED, "it got worse before anybody was reached"),
    Transition(_S.NOTIFIED, Event.LEVEL_RAISED, _S.NOTIFIED, "it got worse while waiting for an answer"),
    Transition(_S.ON_SITE, Event.LEVEL_RAISED, _S.ON_SITE, "whoever is there sees it, and may be what was seen"),
    *_each(
        (_S.ACKNOWLEDGED, _S.DISPATCHED, _S.VERIFIED, _S.HANDLED, _S.SHELVED),
        Event.LEVEL_RAISED,
        _S.DETECTED,
        "what was answered for is not what it is now",
    ),
    *_each(
        (_S.ACKNOWLEDGED, _S.DISPATCHED, _S.ON_SITE, _S.VERIFIED, _S.HANDLED),
        Event.RECURRED,
        _S.DETECTED,
        "a new alarm long after the last step wants a new answer",
    ),
    *_each(
        (_S.DETECTED, _S.NOTIFIED, _S.REOPENED, _S.ACKNOWLEDGED, _S.DISPATCHED, _S.ON_SITE, _S.VERIFIED),
        Event.SHELVED,
        _S.SHELVED,
        "a person put it aside until a time, with a reason",
    ),
    Transition(_S.SHELVED, Event.SHELF_ENDED, _S.DETECTED, "its time on the shelf is over; somebody must answer"),
    *_each(
        tuple(state for state in _S if state is not _S.CLOSED), Event.CLOSED, _S.CLOSED, "a person said what it was"
    ),
    Transition(_S.CLOSED, Event.REOPENED, _S.REOPENED, "it was closed by mistake; somebody must answer again"),
)
_TABLE: Final = {(t.before, t.event): t for t in TRANSITIONS}


def after(state: State, event: Event) -> State | None:
    """The state that follows, or None where the table has no such line."""
    line = _TABLE.get((state, event))
    return None if line is None else line.after


def before(event: Event) -> tuple[State, ...]:
    """The states in which `event` may happen."""
    return tuple(t.before for t in TRANSITIONS if t.event is event)
