"""Where an incident stands in its life, and what a person can do with it now. Pure: from the table of states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from sealwatch.cloud.incidents import states
from sealwatch.cloud.incidents.service import DESK, SECOND_PERSON
from sealwatch.cloud.incidents.states import Event, State
from sealwatch.cloud.web.views import EventView, IncidentView

_SECOND_PERSON: Final = frozenset(map(str, SECOND_PERSON))


class Do(StrEnum):
    """What a page can offer."""

    ACKNOWLEDGE = "acknowledge"
    NEXT = "next"
    DISPATCH = "dispatch"
    ARRIVE = "arrive"
    VERIFY = "verify"
    CLOSE = "close"
    CONFIRM = "confirm"
    REFUSE = "refuse"
    SHELVE = "shelve"
    REOPEN = "reopen"


_EVENT: Final = {
    Do.ACKNOWLEDGE: Event.ACKNOWLEDGED,
    Do.DISPATCH: Event.DISPATCHED,
    Do.ARRIVE: Event.ARRIVED,
    Do.VERIFY: Event.VERIFIED,
    Do.CLOSE: Event.HANDLED,
    Do.REFUSE: Event.CLOSING_REFUSED,
    Do.SHELVE: Event.SHELVED,
    Do.REOPEN: Event.REOPENED,
}
_DESK_ONLY: Final = frozenset({Do.DISPATCH, Do.SHELVE, Do.REOPEN})
_PRIMARY: Final = {
    State.DETECTED: Do.ACKNOWLEDGE,
    State.NOTIFIED: Do.ACKNOWLEDGE,
    State.REOPENED: Do.ACKNOWLEDGE,
    State.SHELVED: Do.ACKNOWLEDGE,
    State.ACKNOWLEDGED: Do.ARRIVE,
    State.DISPATCHED: Do.ARRIVE,
    State.ON_SITE: Do.VERIFY,
    State.VERIFIED: Do.CLOSE,
    State.HANDLED: Do.CONFIRM,
    State.CLOSED: Do.REOPEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """One primary action (None: nothing to do but wait) and the others, in the order of an incident's life."""

    primary: Do | None
    others: tuple[Do, ...]
    waits_for_second: bool = False


def choices(incident: IncidentView, *, actor: str, by_link: bool = False) -> Choices:
    """What `actor` may do now. `by_link`: with an answer link, which is for the person on the road."""
    card = incident.card
    state = State(card.state)
    if state is State.HANDLED and card.handled_by == actor:
        return Choices(primary=None, others=(), waits_for_second=True)
    possible = [do for do in Do if _possible(do, state) and not (by_link and do in _DESK_ONLY)]
    primary: Do | None = _PRIMARY[state]
    if state is State.ACKNOWLEDGED and actor == DESK == card.acknowledged_by:
        primary = Do.DISPATCH  # the desk does not drive out itself
    if primary not in possible:
        primary = None
    return Choices(primary=primary, others=tuple(do for do in possible if do is not primary))


def _possible(do: Do, state: State) -> bool:
    if do is Do.CONFIRM:
        return state is State.HANDLED
    if do is Do.NEXT:
        return state in states.UNANSWERED
    if do is Do.CLOSE and state is State.HANDLED:
        return False  # it is confirmed, or refused with a word on why
    return states.after(state, _EVENT[do]) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of the life: `done` with who and when, `now`, `ahead`, or `skipped`."""

    state: str
    is_: Literal["done", "now", "ahead", "skipped"]
    at_ms: int | None = None
    actor: str | None = None
    actor_name: str | None = None


_STAGES: Final = (
    (State.NOTIFIED, "page_submitted"),
    (State.ACKNOWLEDGED, "acknowledged"),
    (State.DISPATCHED, "dispatched"),
    (State.ON_SITE, "arrived"),
    (State.VERIFIED, "verified"),
    (State.HANDLED, "handled"),
    (State.CLOSED, "closed"),
)
_BEGIN_AGAIN: Final = frozenset({str(State.DETECTED), str(State.REOPENED)})


def stages(incident: IncidentView) -> list[Stage]:
    """The life from detection to closing. What happened before it last began again is in the history, not here."""
    card = incident.card
    begins = [i for i, event in enumerate(incident.events) if event.to_state in _BEGIN_AGAIN]
    events = incident.events[begins[-1] if begins else 0 :]
    first: dict[str, EventView] = {}
    for event in events:
        first.setdefault(event.kind, event)
    order = [State.DETECTED, *(state for state, _ in _STAGES)]
    now = State.DETECTED if card.state == State.REOPENED else State(card.state)
    reached = order.index(now) if now in order else max(
        (i for i, (_, kind) in enumerate(_STAGES, 1) if kind in first), default=0
    )  # fmt: skip
    result = [Stage(state=str(order[0]), is_="now" if now is order[0] else "done", at_ms=card.opened_at_ms)]
    for index, (state, kind) in enumerate(_STAGES, 1):
        event_ = first.get(kind) if index <= reached else None
        if state is State.HANDLED and event_ is None and card.level not in _SECOND_PERSON:
            continue  # yellow and blue are closed on one word
        said = _said(event_, incident.people) if event_ else {}
        if state is now:
            result.append(Stage(state=str(state), is_="now", **said))
        elif index > reached:
            result.append(Stage(state=str(state), is_="ahead"))
        else:
            result.append(Stage(state=str(state), is_="done" if event_ else "skipped", **said))
    return result


def _said(event: EventView, people: Mapping[str, str]) -> dict[str, Any]:
    """When, and who: of a dispatch who was sent, else who did it."""
    sent = event.detail.get("to_person_id") if event.kind == Event.DISPATCHED else None
    if sent is not None:
        return {"at_ms": event.at_ms, "actor": f"person:{sent}", "actor_name": people.get(str(sent), str(sent))}
    return {"at_ms": event.at_ms, "actor": event.actor, "actor_name": event.actor_name}
