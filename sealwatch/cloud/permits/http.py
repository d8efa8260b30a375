"""Permits in the JSON API."""

from __future__ import annotations

import functools
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from sealwatch.cloud.db.duty_tables import WorkPermit
from sealwatch.cloud.permits import store
from sealwatch.cloud.permits.cover import Equipment
from sealwatch.cloud.permits.store import Announced
from sealwatch.cloud.web import problems
from sealwatch.cloud.web.body import Body, Named
from sealwatch.cloud.web.changes import change
from sealwatch.cloud.web.services import WebServices

_STATUS: Final = {"unknown_permit": 404, "permit_over": 409, "too_many_permits": 409}
_MOST: Final = 500
_Moment = Annotated[int, Field(ge=0, le=2**53 - 1, description="Milliseconds since 1970-01-01T00:00:00Z.")]
_Words = Annotated[str, Field(max_length=500)]


class PermitIn(Body):
    """Announced work. Hours are hours of the day in UTC+8; to_hour below from_hour ends after midnight."""

    site_id: str = Field(max_length=64)
    from_ms: _Moment
    to_ms: _Moment
    from_hour: int = Field(default=0, ge=0, le=23)
    to_hour: int = Field(default=24, ge=0, le=24)
    max_power_w: float = Field(ge=0, le=1e7, allow_inf_nan=False, description="Active power the work may draw, W.")
    max_people: int = Field(ge=1, le=1000)
    equipment: list[Named[Equipment]] = Field(
        default=[], max_length=16, description="Hoists and vehicles want to be named."
    )
    purpose: str = Field(min_length=1, max_length=200)
    measures: _Words = Field(default="", description="Safety measures.")
    responsible: str = Field(min_length=1, max_length=100, description="Name of who answers for the work.")
    telephone: str = Field(default="", max_length=32)
    documents: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default=[], max_length=20, description="Names of the papers it stands on."
    )


class PermitModel(PermitIn):
    permit_id: str
    author: str
    created_at_ms: int
    ended_at_ms: int | None = Field(description="Where it was ended before to_ms.")
    ended_by: str
    ended_reason: str
    holds: bool = Field(description="Whether it covers this moment.")


class PermitListModel(BaseModel):
    items: list[PermitModel]


class EndModel(Body):
    """Why it is ended."""

    reason: str = Field(min_length=1, max_length=500)


def build(services: WebServices) -> APIRouter:
    """The routes below /api/v1/permits."""
    router = APIRouter(prefix="/api/v1/permits", tags=["permits"])

    @router.get("")
    def permits(
        site_id: Annotated[str | None, Query(max_length=64)] = None,
        state: Annotated[
            str, Query(pattern="^(open|all)$", description="open: those that hold or will hold.")
        ] = "open",
        limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
    ) -> PermitListModel:
        """Permits, the newest first."""
        now_ms = services.clock.wall_ms()
        with services.database.read() as session:
            found = store.listed(session, site_id=site_id, open_at_ms=now_ms if state == "open" else None, limit=limit)
        return PermitListModel(items=[_model(one, now_ms) for one in found])

    @router.post("", status_code=201, responses=problems.documented(409))
    def announce(request: Request, body: PermitIn) -> PermitModel:
        """Enter a permit; the site's nodes are told."""
        announced = Announced(
            **body.model_dump(exclude={"equipment", "documents"}),
            equipment=tuple(body.equipment),
            documents=tuple(body.documents),
        )
        made = change(services, request, _STATUS, functools.partial(_announce, announced))
        return _model(made, services.clock.wall_ms())

    @router.post("/{permit_id}/end", responses=problems.documented(404, 409))
    def end(request: Request, permit_id: str, body: EndModel) -> PermitModel:
        """End a permit now; whoever is still there ten minutes later is an alarm."""
        ended = change(services, request, _STATUS, functools.partial(_end, permit_id, body.reason))
        return _model(ended, services.clock.wall_ms())

    return router


def _announce(announced: Announced, session: Session, actor: str, now_ms: int) -> WorkPermit:
    return store.announce(session, announced, author=actor, now_ms=now_ms)


def _end(permit_id: str, reason: str, session: Session, actor: str, now_ms: int) -> WorkPermit:
    return store.end(session, permit_id, author=actor, reason=reason, now_ms=now_ms)


def _model(permit: WorkPermit, now_ms: int) -> PermitModel:
    fields = {name: getattr(permit, name) for name in PermitModel.model_fields if name != "holds"}
    return PermitModel(**fields, holds=store.as_work(permit).covers(now_ms))
