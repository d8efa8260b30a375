"""Page rows: planned, claimed by one worker, settled. Every function works inside the caller's writing transaction."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import Incident, Page
from sealwatch.cloud.incidents import history, states
from sealwatch.cloud.incidents.states import Event, State
from sealwatch.cloud.paging import ladder as ladders
from sealwatch.cloud.paging import plan
from sealwatch.cloud.paging.plan import IncidentView, PageView
from sealwatch.cloud.ports import Submission
from sealwatch.contract.codes import Level

URGENT = (str(Level.RED),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A page that this worker, and no other, is to send now."""

    page_id: str
    incident_id: str
    attempts: int


def view_incident(incident: Incident) -> IncidentView:
    return IncidentView(
        state=State(incident.state), level=Level(incident.level), ladder=ladders.from_json(incident.ladder)
    )


def hold_incidents(session: Session, page_ids: Sequence[str]) -> list[Incident]:
    """The incidents of these pages as they are now, held until the caller's commit; one at a time decides on each."""
    wanted = select(Page.incident_id).where(Page.page_id.in_(page_ids))
    held = select(Incident).where(Incident.incident_id.in_(wanted)).order_by(Incident.incident_id)
    return list(session.scalars(held.with_for_update().execution_options(populate_existing=True)))


def pages_of(session: Session, incident_id: str) -> list[PageView]:
    """The pages of an incident as they are now, oldest first. The caller holds the incident, or only reads."""
    rows = session.execute(
        select(
            Page.page_id,
            Page.cycle,
            Page.step,
            Page.state,
            Page.due_at_ms,
            Page.attempts,
            Page.vanished,
            Page.claimed_until_ms,
            Page.submitted_at_ms,
        )
        .where(Page.incident_id == incident_id)
        .order_by(Page.cycle, Page.step)
    )
    return [
        PageView(
            page_id=row.page_id,
            cycle=row.cycle,
            step=row.step,
            state=row.state,
            due_at_ms=row.due_at_ms,
            attempts=row.attempts,
            vanished=row.vanished,
            claimed_until_ms=row.claimed_until_ms,
            submitted_at_ms=row.submitted_at_ms,
        )
        for row in rows
    ]


def running_cycle(pages: Sequence[Page], now_ms: int = 0) -> int:
    """The walk in which people are being asked: the latest that has begun. The next one may be planned already."""
    begun = [page.cycle for page in pages if page.state != "due" or page.due_at_ms <= now_ms]
    return max(begun, default=min((page.cycle for page in pages), default=0))


def start_walk(session: Session, incident: Incident, *, now_ms: int, reason: str) -> bool:
    """Begin the ladder at once, instead of what is left of the walk before; whether somebody will be paged.

    An incident without a ladder, or of a level that wakes nobody, gets a line of history that says so.
    """
    view = view_incident(incident)
    if not view.ladder.steps or view.level not in plan.PAGED_LEVELS:
        why = "ladder_is_empty" if not view.ladder.steps else "level_not_paged"
        history.record(session, incident.incident_id, "nobody_to_page", at_ms=now_ms, reason=why)
        return False
    walk = plan.walk(view.ladder, pages_of(session, incident.incident_id), base_ms=now_ms, reason=reason)
    cancel_due(session, incident.incident_id, outcome=reason)
    insert_walk(session, incident, walk, now_ms=now_ms)
    return True


def insert_walk(session: Session, incident: Incident, walk: plan.StartWalk, *, now_ms: int) -> None:
    """The rows of a planned walk and its line of history."""
    steps = ladders.from_json(incident.ladder).steps
    session.add_all(
        Page(
            page_id=secrets.token_hex(16),
            incident_id=incident.incident_id,
            cycle=walk.cycle,
            step=number,
            occasion=walk.reason,
            person_id=step.person_id,
            channel=step.channel,
            state="due",
            due_at_ms=due_at_ms,
        )
        for number, (step, due_at_ms) in enumerate(zip(steps, walk.due_at_ms, strict=True))
    )
    detail = {"cycle": walk.cycle, "steps": len(steps), "due_at_ms": min(walk.due_at_ms)}
    history.record(session, incident.incident_id, "ladder_started", at_ms=now_ms, reason=walk.reason, detail=detail)


def cancel_due(session: Session, incident_id: str, *, outcome: str) -> None:
    """Nothing that is still due for this incident goes out."""
    session.execute(
        update(Page)
        .where(Page.incident_id == incident_id, Page.state == "due")
        .values(state="cancelled", outcome=outcome)
    )


def mark_answered(session: Session, incident_id: str, *, person_id: str, now_ms: int) -> None:
    """The pages that reached this person have been answered."""
    session.execute(
        update(Page)
        .where(Page.incident_id == incident_id, Page.state == "submitted", Page.person_id == person_id)
        .values(state="answered", answered_at_ms=now_ms)
    )


def due_pages(
    session: Session,
    *,
    now_ms: int,
    limit: int,
    urgent_only: bool,
    channel: str | None = None,
    not_over: Collection[str] = (),
) -> list[str]:
    """Ids of pages due now, of one channel or of all but some; the most urgent level first, then the longest due."""
    rank = case({str(level): level.urgency for level in Level}, value=Incident.level, else_=len(Level))
    wanted = (
        select(Page.page_id)
        .join(Incident, Incident.incident_id == Page.incident_id)
        .where(Page.state == "due", Page.due_at_ms <= now_ms)
        .order_by(rank, Page.due_at_ms, Page.page_id)
        .limit(limit)
    )
    if urgent_only:
        wanted = wanted.where(Incident.level.in_(URGENT))
    if channel is not None:
        wanted = wanted.where(Page.channel == channel)
    if not_over:
        wanted = wanted.where(Page.channel.not_in(not_over))
    return list(session.scalars(wanted))


def claim(session: Session, page_id: str, *, worker: str, now_ms: int, until_ms: int) -> Claim | None:
    """Take a page for sending. None where another worker was first, it is not due, or somebody has answered."""
    return next(iter(claim_all(session, [page_id], worker=worker, now_ms=now_ms, until_ms=until_ms)), None)


def claim_all(session: Session, page_ids: Sequence[str], *, worker: str, now_ms: int, until_ms: int) -> list[Claim]:
    """Take those of `page_ids` that are to be had; the caller holds their incidents (`hold_incidents`).

    One UPDATE decides it, so that two workers never both have one.
    """
    unanswered = select(Incident.incident_id).where(Incident.state.in_([str(s) for s in states.UNANSWERED]))
    rows = session.execute(
        update(Page)
        .where(
            Page.page_id.in_(page_ids),
            Page.state == "due",
            Page.due_at_ms <= now_ms,
            Page.incident_id.in_(unanswered),
        )
        .values(state="sending", claimed_by=worker, claimed_until_ms=until_ms, attempts=Page.attempts + 1)
        .returning(Page.page_id, Page.incident_id, Page.attempts)
        .execution_options(synchronize_session=False)
    )
    return [Claim(page_id=row.page_id, incident_id=row.incident_id, attempts=row.attempts) for row in rows]


def settle(
    session: Session, page_id: str, submission: Submission, *, worker: str, now_ms: int, retry_at_ms: int
) -> str | None:
    """Write down what the receiver said; the page's new state, or None where it is no longer this worker's.

    A page that was taken is never sent again. One that failed and is worth another try becomes due at `retry_at_ms`
    as long as tries are left and nobody has answered.
    """
    (incident,) = hold_incidents(session, [page_id])
    page = session.get_one(Page, page_id, with_for_update=True, populate_existing=True)
    if page.state != "sending" or page.claimed_by != worker:
        return None
    unanswered = State(incident.state) in states.UNANSWERED
    before, after = incident.state, incident.state
    if submission.ok:
        page.state, page.submitted_at_ms, kind = "submitted", now_ms, "page_submitted"
        after = states.after(State(incident.state), Event.PAGE_SUBMITTED) or before
        if incident.acknowledged_by == f"person:{page.person_id}":  # the answer was faster than the receiver's receipt
            page.state, page.answered_at_ms = "answered", incident.acknowledged_at_ms
    elif submission.retry and page.attempts < plan.MAX_ATTEMPTS and unanswered:
        page.state, page.due_at_ms, kind = "due", retry_at_ms, "page_retried"
    else:
        page.state, kind = "failed", "page_failed"
    page.outcome, page.claimed_by, page.claimed_until_ms = submission.outcome[:2000], "", None
    incident.state, incident.updated_at_ms = after, now_ms
    detail = _identity(page) | {"attempts": page.attempts, "outcome": page.outcome}
    reason = "receiver_took_it" if submission.ok else "receiver_did_not_take_it"
    changed = (before, after) if before != after else ("", "")
    history.record(
        session,
        incident.incident_id,
        kind,
        at_ms=now_ms,
        reason=reason,
        before=changed[0],
        after=changed[1],
        detail=detail,
    )
    return page.state


def carry_out(session: Session, incident: Incident, actions: Sequence[plan.Action], *, now_ms: int) -> None:
    """Write down what was decided, except sending, which is `claim`'s."""
    for action in actions:
        match action:
            case plan.Send():
                continue
            case plan.StartWalk():
                insert_walk(session, incident, action, now_ms=now_ms)
                continue
        page = session.get_one(Page, action.page_id, populate_existing=True)
        match action:
            case plan.Reclaim(due_at_ms=due_at_ms, give_up=give_up):
                unanswered = State(incident.state) in states.UNANSWERED
                page.state = ("failed" if give_up else "due") if unanswered else "cancelled"
                page.due_at_ms = due_at_ms
                page.attempts, page.vanished = max(0, page.attempts - 1), page.vanished + 1
                page.claimed_by, page.claimed_until_ms, page.outcome = "", None, action.reason
                kind = "page_reclaimed"
            case plan.Hasten(due_at_ms=due_at_ms):
                page.due_at_ms, kind = due_at_ms, "page_hastened"
            case plan.Cancel():
                page.state, page.outcome, kind = "cancelled", action.reason, "page_cancelled"
        history.record(session, incident.incident_id, kind, at_ms=now_ms, reason=action.reason, detail=_identity(page))
    session.flush()


def _identity(page: Page) -> dict[str, object]:
    return {
        "page_id": page.page_id,
        "cycle": page.cycle,
        "step": page.step,
        "person_id": page.person_id,
        "channel": page.channel,
    }
