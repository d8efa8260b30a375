"""What happens next to an incident's pages: a pure decision over the rows as they are.

Send        a page is due: hand it to its channel
Reclaim     the worker that was sending it is gone: it may or may not have gone out, so it is due again
Hasten      a step is moved to an earlier time
Cancel      a page that must not go out any more
StartWalk   the ladder begins (again) from its first step

Reasons: page_due | sender_vanished | sender_vanished_repeatedly | previous_step_failed |
previous_step_loses_senders | clock_went_back | nobody_answered | every_page_failed | senders_vanished |
ladder_never_started | answered_before | level_not_paged
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sealwatch.cloud.incidents import states
from sealwatch.cloud.incidents.states import State
from sealwatch.cloud.paging.ladder import Ladder
from sealwatch.contract.codes import Level

PAGED_LEVELS: Final = frozenset({Level.RED, Level.ORANGE, Level.YELLOW})
"""Blue is information: it waits on the desk and wakes nobody."""
MAX_ATTEMPTS: Final = 3
VANISHED_BRINGS_NEXT: Final = 6
"""After so many lost senders the next step is brought forward. The page itself stays due, with a pause between tries,
because workers that die for another reason must not cost anybody a page."""
VANISHED_PAUSE_S: Final = 2.0
VANISHED_GIVES_PLACE: Final = 20
"""After so many it gives place to a walk that begins at once: a page that kills its own senders must not hold up the
ladder."""
RETRY_WALK_AFTER_S: Final = 30.0
"""The pause where every page of a walk failed: nobody has been reached, so it is short."""
RETRY_CAP_S: Final = 10.0
"""The longest pause before the same page is tried again."""
CLOCK_SLACK_MS: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """What the decision needs to know of a page row."""

    page_id: str
    cycle: int
    step: int
    state: str
    due_at_ms: int
    attempts: int = 0
    vanished: int = 0
    claimed_until_ms: int | None = None
    submitted_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """What the decision needs to know of an incident."""

    state: State
    level: Level
    ladder: Ladder


@dataclass(frozen=True, slots=True)
class Send:
    page_id: str
    reason: str = "page_due"


@dataclass(frozen=True, slots=True)
class Reclaim:
    page_id: str
    reason: str
    due_at_ms: int
    give_up: bool = False


@dataclass(frozen=True, slots=True)
class Hasten:
    page_id: str
    due_at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    page_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class StartWalk:
    """Pages of `cycle`, one a step, due at the times given."""

    cycle: int
    due_at_ms: tuple[int, ...]
    reason: str


Action = Send | Reclaim | Hasten | Cancel | StartWalk


def walk(ladder: Ladder, pages: Sequence[PageView], *, base_ms: int, reason: str) -> StartWalk:
    """A new walk from `base_ms`. A step that is still due from the walk before it is never put off by it."""
    pending = {page.step: page.due_at_ms for page in pages if page.state == "due"}
    cycle = max((page.cycle for page in pages), default=0) + 1
    due = tuple(
        min(base_ms + round(step.after_s * 1000), pending.get(number, 2**53))
        for number, step in enumerate(ladder.steps)
    )
    return StartWalk(cycle, due, reason)


def next_actions(incident: IncidentView, pages: Sequence[PageView], now_ms: int) -> list[Action]:
    """Everything that is to be done for this incident at this moment; doing it and asking again comes to rest."""
    if incident.state not in states.UNANSWERED:
        return [*_cancel_all(pages, "answered_before"), *_reclaims(pages, now_ms)]
    if incident.level not in PAGED_LEVELS:
        return list(_cancel_all(pages, "level_not_paged"))
    actions: list[Action] = [*_reclaims(pages, now_ms), *_hastened(incident.ladder, pages, now_ms)]
    touched = {action.page_id for action in actions if not isinstance(action, StartWalk)}
    actions += [
        Send(page.page_id)
        for page in pages
        if page.state == "due" and page.due_at_ms <= now_ms and page.page_id not in touched
    ]
    if not actions and incident.ladder.steps and not any(page.state in ("due", "sending") for page in pages):
        actions.append(_next_walk(incident.ladder, pages, now_ms))
    return actions


def _cancel_all(pages: Sequence[PageView], reason: str) -> list[Cancel]:
    return [Cancel(page.page_id, reason) for page in pages if page.state == "due"]


def _reclaims(pages: Sequence[PageView], now_ms: int) -> list[Reclaim]:
    vanished = [p for p in pages if p.state == "sending" and (p.claimed_until_ms or 0) <= now_ms]
    return [_reclaim(page, now_ms) for page in vanished]


def _reclaim(page: PageView, now_ms: int) -> Reclaim:
    lost = page.vanished + 1  # with the sender that has just been found gone
    if lost >= VANISHED_GIVES_PLACE:
        return Reclaim(page.page_id, "sender_vanished_repeatedly", now_ms, give_up=True)
    pausing = lost >= VANISHED_BRINGS_NEXT
    due_at_ms = now_ms + round(VANISHED_PAUSE_S * 1000) if pausing else min(page.due_at_ms, now_ms)
    return Reclaim(page.page_id, "sender_vanished", due_at_ms)


def _hastened(ladder: Ladder, pages: Sequence[PageView], now_ms: int) -> list[Hasten]:
    cycle = max((page.cycle for page in pages), default=0)
    current = sorted((page for page in pages if page.cycle == cycle), key=lambda page: page.step)
    actions: list[Hasten] = []
    for earlier, later in itertools.pairwise(current):
        if later.state != "due" or later.attempts > 0 or later.vanished > 0 or later.due_at_ms <= now_ms:
            continue
        if earlier.state == "failed":
            actions.append(Hasten(later.page_id, now_ms, "previous_step_failed"))
        elif earlier.state in ("due", "sending") and earlier.vanished >= VANISHED_BRINGS_NEXT:
            actions.append(Hasten(later.page_id, now_ms, "previous_step_loses_senders"))
    moved = {action.page_id for action in actions}
    for page in current:
        latest_ms = now_ms + _longest_wait_ms(ladder, page)
        # Times in the rows are wall-clock times. Nothing may be due later than if it were planned this moment: it
        # is only where the clock was set back after the row was written.
        if page.state == "due" and page.page_id not in moved and page.due_at_ms > latest_ms + CLOCK_SLACK_MS:
            actions.append(Hasten(page.page_id, latest_ms, "clock_went_back"))
    return actions


def _longest_wait_ms(ladder: Ladder, page: PageView) -> int:
    if page.attempts > 0 or page.vanished > 0:
        return round(RETRY_CAP_S * 1000)
    after_s = ladder.steps[page.step].after_s if page.step < len(ladder.steps) else 0.0
    return round((after_s + (ladder.repeat_after_s if page.cycle > 1 else 0.0)) * 1000)


def _next_walk(ladder: Ladder, pages: Sequence[PageView], now_ms: int) -> StartWalk:
    cycle = max((page.cycle for page in pages), default=0)
    if cycle == 0:
        return walk(ladder, pages, base_ms=now_ms, reason="ladder_never_started")
    last = [page for page in pages if page.cycle == cycle]
    reached = any(page.submitted_at_ms is not None for page in last)
    if any(page.vanished >= VANISHED_GIVES_PLACE for page in last):
        return walk(ladder, pages, base_ms=now_ms, reason="senders_vanished")
    pause_s = ladder.repeat_after_s if reached else min(ladder.repeat_after_s, RETRY_WALK_AFTER_S)
    reason = "nobody_answered" if reached else "every_page_failed"
    return walk(ladder, pages, base_ms=now_ms + round(pause_s * 1000), reason=reason)
