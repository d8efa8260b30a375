"""Maintenance silences in the JSON API."""

from __future__ import annotations

import functools
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from sealwatch.cloud.db.duty_tables import Silence
from sealwatch.cloud.silences import store
from sealwatch.cloud.silences.store import Wanted
from sealwatch.cloud.web import problems
from sealwatch.cloud.web.body import Body, Named
from sealwatch.cloud.web.changes import change
from sealwatch.cloud.web.services import WebServices
from sealwatch.contract.codes import AlarmKind

_STATUS: Final = {"unknown_silence": 404, "silence_over": 409}
_Moment = Annotated[int, Field(ge=0, le=2**53 - 1, description="Milliseconds since 1970-01-01T00:00:00Z.")]


class SilenceIn(Body):
    """Alarms that are to wake nobody for a while. What makes an incident red wakes people all the same."""

    site_id: str = Field(max_length=64)
    kinds: list[Named[AlarmKind] | Literal["node_silent", "source_silent"]] = Field(min_length=1, max_length=32)
    source_id: str = Field(default="", max_length=64, description="One camera, meter or input; empty: the whole site.")
    from_ms: _Moment
    until_ms: _Moment
    reason: str = Field(min_length=1, max_length=500)


class SilenceModel(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    silence_id: str
    site_id: str
    kinds: list[str]
    source_id: str
    from_ms: int
    until_ms: int
    reason: str
    author: str
    created_at_ms: int
    ended_at_ms: int | None = Field(description="Null exactly while it may still hold.")
    ended_by: str
    ended_why: str = Field(description="time_over, early, clock_went_back.")


class SilenceListModel(BaseModel):
    items: list[SilenceModel]


def build(services: WebServices) -> APIRouter:
    """The routes below /api/v1/silences."""
    router = APIRouter(prefix="/api/v1/silences", tags=["silences"])

    @router.get("")
    def silences(
        site_id: Annotated[str | None, Query(max_length=64)] = None,
        state: Annotated[str, Query(pattern="^(open|all)$", description="open: those that may still hold.")] = "open",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> SilenceListModel:
        """Silences, the newest first. What they silenced: /api/v1/alarms?ref=<silence_id>."""
        with services.database.read() as session:
            found = store.listed(session, site_id=site_id, holding_only=state == "open", limit=limit)
        return SilenceListModel(items=[_model(one) for one in found])

    @router.post("", status_code=201)
    def silence(request: Request, body: SilenceIn) -> SilenceModel:
        """Enter a silence, at most a week long."""
        wanted = Wanted(**body.model_dump(exclude={"kinds"}), kinds=tuple(str(kind) for kind in body.kinds))
        return _model(change(services, request, _STATUS, functools.partial(_make, wanted)))

    @router.post("/{silence_id}/end", responses=problems.documented(404, 409))
    def end(request: Request, silence_id: str) -> SilenceModel:
        """End a silence now; what it silenced and still stands becomes an incident within seconds."""
        return _model(change(services, request, _STATUS, functools.partial(_end, silence_id)))

    return router


def _make(wanted: Wanted, session: Session, actor: str, now_ms: int) -> Silence:
    return store.make(session, wanted, author=actor, now_ms=now_ms)


def _end(silence_id: str, session: Session, actor: str, now_ms: int) -> Silence:
    return store.end(session, silence_id, author=actor, now_ms=now_ms)


def _model(silence: Silence) -> SilenceModel:
    return SilenceModel.model_validate(silence, from_attributes=True)
