"""The JSON API, version 1. Its OpenAPI document is at /openapi.json; faults are problem details (RFC 9457).

A browser can't be made to send changes from another site: they want `application/json`, which no plain form can send,
the session cookie does not travel with foreign POSTs, and what a browser itself calls foreign is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.cloud.db.duty_tables import IncidentSite
from sealwatch.cloud.incidents import outage, service
from sealwatch.cloud.web import language as language_
from sealwatch.cloud.web import problems, views, words
from sealwatch.cloud.web.actor import actor_of
from sealwatch.cloud.web.body import Body
from sealwatch.cloud.web.forms import refuse_foreign
from sealwatch.cloud.web.pages import cursor, cursor_of
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.services import WebServices

_LATEST_REFUSED: Final = 20


class SiteModel(BaseModel):
    site_id: str
    name_zh: str
    name_en: str
    township_zh: str
    township_en: str
    declared_status: str


class IncidentModel(BaseModel):
    """An incident as a line of a list. Times are milliseconds since 1970-01-01T00:00:00Z."""

    incident_id: str
    site: SiteModel
    scope: str = Field(description='"site", or "area": an outage of many sites; `site` is then where it began.')
    level: str
    state: str
    verdict: str
    reason: str
    sentence: str = Field(description="The verdict in the reader's language.")
    opened_at_ms: int
    updated_at_ms: int
    acknowledged_at_ms: int | None
    acknowledged_by: str | None = Field(description='"person:<id>", "account:<login>", or "desk".')
    acknowledged_name: str | None
    closed_at_ms: int | None
    closure: int | None = Field(
        description="0 false alarm, 1 suspected illegal production, 2 repair, 3 other vehicle, 4 passer-by."
    )


class AlarmModel(BaseModel):
    node_id: str
    alarm_id: str
    kind: str
    level: str
    source_id: str
    zone: str
    phase: str
    score: float
    reason: str
    numbers: dict[str, float]
    sentence_zh: str
    sentence_en: str
    started_at_ms: int
    ended_at_ms: int | None
    snapshot_sha256: str | None


class FoundAlarmModel(AlarmModel):
    """An alarm with where it belongs. Set aside is what announced work or a silence explained: it woke nobody."""

    site_id: str
    incident_id: str | None = Field(description="Null where it was set aside and belongs to no incident.")
    set_aside: str = Field(description='"permit", "silence", or ""; kept where an incident took it over later.')
    set_aside_ref: str = Field(description="The permit or silence.")


class AlarmListModel(BaseModel):
    items: list[FoundAlarmModel]
    next: int | None = Field(description="Give this as `before_ms` for the older ones; null at the end.")


class PageModel(BaseModel):
    page_id: str
    person_id: str
    name: str
    channel: str
    state: str
    due_at_ms: int
    submitted_at_ms: int | None
    answered_at_ms: int | None


class EventModel(BaseModel):
    at_ms: int
    kind: str
    actor: str
    actor_name: str | None
    reason: str
    detail: dict[str, Any]


class OutageSiteModel(BaseModel):
    """A site of an area outage."""

    model_config = ConfigDict(from_attributes=True)
    site_id: str
    joined_at_ms: int
    back_at_ms: int | None = Field(description="Since when none of its alarms stands.")


class IncidentDetailModel(IncidentModel):
    """An incident with everything that belongs to it. `pages` are those of the latest walk up the ladder."""

    alarms: list[AlarmModel]
    pages: list[PageModel]
    cycle: int
    events: list[EventModel]
    sites: list[OutageSiteModel] = Field(description="Of an area outage; else empty.")


class IncidentListModel(BaseModel):
    items: list[IncidentModel]
    next: str | None = Field(description="Give this as `before` for the older ones; null at the end.")


class AcknowledgeModel(Body):
    """Who takes the incident on: a person of the registry, or the desk."""

    person_id: str | None = Field(default=None, max_length=64, description="Null for the desk.")


class OutcomeModel(BaseModel):
    """What became of the answer; `changed` is false when the same answer had already been given."""

    name: str
    changed: bool
    by: str | None
    at_ms: int | None


class RefusedCountModel(BaseModel):
    reason: str
    count: int
    last_at_ms: int


class RefusedModel(BaseModel):
    received_at_ms: int
    topic: str
    reason: str
    detail: str
    size_bytes: int


class QuarantineModel(BaseModel):
    """Messages that could not be taken: how many ever, by reason, and the newest ones without their payload."""

    counts: list[RefusedCountModel]
    latest: list[RefusedModel]


def build(services: WebServices) -> APIRouter:
    """The routes below /api/v1."""
    router = APIRouter(prefix="/api/v1")

    @router.get("/incidents", tags=["incidents"])
    def incidents(
        request: Request,
        state: Annotated[Literal["open", "closed"], Query()] = "open",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Annotated[str, Query(max_length=100, description="`next` of the page before; for closed ones.")] = "",
    ) -> IncidentListModel:
        """Open incidents, the most urgent and newest first; or closed ones, the latest first, page by page."""
        language = language_.of_request(request)
        with services.database.read() as session:
            if state == "open":
                cards = views.open_incidents(session)[:limit]
                return IncidentListModel(items=[_card(card, language) for card in cards], next=None)
            cards = views.closed_incidents(session, limit=limit + 1, before=cursor(before))
        following = cursor_of(cards[limit - 1]) if len(cards) > limit else None
        return IncidentListModel(items=[_card(card, language) for card in cards[:limit]], next=following)

    @router.get("/incidents/{incident_id}", tags=["incidents"], responses=problems.documented(404))
    def incident(request: Request, incident_id: str) -> IncidentDetailModel:
        """One incident with its alarms, pages and history."""
        with services.database.read() as session:
            found = views.incident(session, incident_id)
            sites = outage.sites_of(session, incident_id)
        if found is None:
            raise Problem(404, "unknown_incident")
        return _detail(found, sites, language_.of_request(request))

    @router.post("/incidents/{incident_id}/acknowledge", tags=["incidents"], responses=problems.documented(404, 409))
    def acknowledge(request: Request, incident_id: str, body: AcknowledgeModel) -> OutcomeModel:
        """Take the incident on; the paging stops. May be repeated. 409 where another has it, or it is closed."""
        refuse_foreign(request)
        return _acknowledge(services, request, incident_id, body)

    @router.get("/alarms", tags=["incidents"])
    def alarms(
        site_id: Annotated[str | None, Query(max_length=64)] = None,
        set_aside: Annotated[str | None, Query(max_length=16, description="permit, silence … or any.")] = None,
        ref: Annotated[str | None, Query(max_length=64, description="The permit or silence.")] = None,
        before_ms: Annotated[int, Query(ge=0, le=2**53 - 1, description="Only those that started before.")] = 2**53 - 1,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> AlarmListModel:
        """Every alarm there is, whatever became of it, the newest first."""
        with services.database.read() as session:
            found = views.alarms(
                session, site_id=site_id, set_aside=set_aside, ref=ref, before_ms=before_ms, limit=limit
            )
        items = [FoundAlarmModel.model_validate(one, from_attributes=True) for one in found]
        return AlarmListModel(items=items, next=items[-1].started_at_ms if len(items) >= limit else None)

    @router.get("/counters", tags=["service"])
    def counters() -> dict[str, int]:
        """Running totals of the service since it started, by name."""
        return dict(services.counters())

    @router.get("/quarantine", tags=["service"])
    def quarantine() -> QuarantineModel:
        """What could not be taken, and why."""
        with services.database.read() as session:
            counts = [
                RefusedCountModel(reason=row.reason, count=row.count, last_at_ms=row.last_at_ms)
                for row in views.quarantine_counts(session)
            ]
            latest = [
                RefusedModel(
                    received_at_ms=row.received_at_ms,
                    topic=row.topic,
                    reason=row.reason,
                    detail=row.detail,
                    size_bytes=row.size_bytes,
                )
                for row in views.quarantine_latest(session, limit=_LATEST_REFUSED)
            ]
        return QuarantineModel(counts=counts, latest=latest)

    return router


def _acknowledge(services: WebServices, request: Request, incident_id: str, body: AcknowledgeModel) -> OutcomeModel:
    actor = actor_of(request)
    if body.person_id is not None:
        if actor not in {service.DESK, f"person:{body.person_id}"}:
            raise Problem(403, "not_allowed")  # an account speaks for itself
        actor = f"person:{body.person_id}"
    with services.database.write() as session:
        if body.person_id is not None and not views.person_exists(session, body.person_id):
            raise Problem(422, "unknown_person")
        outcome = service.acknowledge(
            session,
            incident_id=incident_id,
            actor=actor,
            reason="api",
            now_ms=services.clock.wall_ms(),
        )
    if outcome.name == "unknown_incident":
        raise Problem(404, "unknown_incident")
    if outcome.name != "acknowledged":
        raise Problem(409, "conflict", outcome=outcome.name, by=outcome.by, at_ms=outcome.at_ms)
    services.changes.announce()
    return OutcomeModel(name=outcome.name, changed=outcome.changed, by=outcome.by, at_ms=outcome.at_ms)


def _card(card: views.IncidentCard, language: Language) -> IncidentModel:
    return IncidentModel(**_card_values(card, language))


def _card_values(card: views.IncidentCard, language: Language) -> dict[str, Any]:
    return {
        "incident_id": card.incident_id,
        "site": SiteModel.model_validate(card.site, from_attributes=True),
        "scope": card.scope,
        "level": card.level,
        "state": card.state,
        "verdict": card.verdict,
        "reason": card.reason,
        "sentence": words.phrase(language, f"verdict.{card.verdict}", text.say(language, "web.verdict_unknown")),
        "opened_at_ms": card.opened_at_ms,
        "updated_at_ms": card.updated_at_ms,
        "acknowledged_at_ms": card.acknowledged_at_ms,
        "acknowledged_by": card.acknowledged_by,
        "acknowledged_name": card.acknowledged_name,
        "closed_at_ms": card.closed_at_ms,
        "closure": card.closure,
    }


def _detail(found: views.IncidentView, sites: Sequence[IncidentSite], language: Language) -> IncidentDetailModel:
    return IncidentDetailModel(
        **_card_values(found.card, language),
        alarms=[AlarmModel.model_validate(alarm, from_attributes=True) for alarm in found.alarms],
        pages=[PageModel.model_validate(page, from_attributes=True) for page in found.pages],
        cycle=found.cycle,
        events=[EventModel.model_validate(event, from_attributes=True) for event in found.events],
        sites=[OutageSiteModel.model_validate(site) for site in sites],
    )
