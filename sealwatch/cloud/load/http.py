"""Alarm load in the JSON API."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import AlarmRecord, Incident, Page
from sealwatch.cloud.load import figures
from sealwatch.cloud.load.figures import Load, Source, Start
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.services import WebServices
from sealwatch.contract.codes import Phase

_DAY_MS: Final = 24 * 3_600_000
_LONGEST_MS: Final = 31 * _DAY_MS
_Moment = Annotated[int | None, Query(ge=0, le=2**53 - 1, description="Milliseconds since 1970-01-01T00:00:00Z.")]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class SourceModel(_Model):
    site_id: str
    source_id: str
    kind: str


class RateModel(_Model):
    total: int
    per_day: float
    per_10_min: float = Field(description="EEMUA 191: about one is manageable in the long run.")
    most_in_10_min: int = Field(description="EEMUA 191: more than ten is a flood.")
    most_at_ms: int | None
    flood_share: float = Field(description="Share of the ten-minute periods that were floods, 0 to 1.")


class OffenderModel(_Model):
    source: SourceModel
    count: int
    share: float


class ChatterModel(_Model):
    source: SourceModel
    most: int = Field(description="Starts within ten minutes.")
    at_ms: int


class StaleModel(_Model):
    source: SourceModel
    since_ms: int


class LoadModel(_Model):
    """Alarms and pages of a span of time, in the figures of EEMUA 191."""

    from_ms: int
    to_ms: int
    alarms: RateModel
    pages: RateModel
    offenders: list[OffenderModel]
    chattering: list[ChatterModel]
    stale: list[StaleModel] = Field(description="What has stood for more than a day.")


def build(services: WebServices) -> APIRouter:
    """The route /api/v1/alarm-load."""
    router = APIRouter(prefix="/api/v1", tags=["service"])

    @router.get("/alarm-load")
    def alarm_load(
        from_ms: _Moment = None,
        to_ms: _Moment = None,
        site_id: Annotated[str | None, Query(max_length=64)] = None,
    ) -> LoadModel:
        """How many alarms and pages there were; the last day where no span is named, at most 31 days."""
        now_ms = services.clock.wall_ms()
        until_ms = now_ms if to_ms is None else to_ms
        since_ms = until_ms - _DAY_MS if from_ms is None else from_ms
        if not since_ms < until_ms:
            raise Problem(422, "bad_window")
        if until_ms - since_ms > _LONGEST_MS:
            raise Problem(422, "too_long")
        with services.database.read() as session:
            found = read(session, from_ms=since_ms, to_ms=until_ms, now_ms=now_ms, site_id=site_id)
        stale = [StaleModel(source=SourceModel.model_validate(one), since_ms=since) for one, since in found.stale]
        return LoadModel(
            from_ms=found.from_ms,
            to_ms=found.to_ms,
            alarms=RateModel.model_validate(found.alarms),
            pages=RateModel.model_validate(found.pages),
            offenders=[OffenderModel.model_validate(one) for one in found.offenders],
            chattering=[ChatterModel.model_validate(one) for one in found.chattering],
            stale=stale,
        )

    return router


def read(session: Session, *, from_ms: int, to_ms: int, now_ms: int, site_id: str | None = None) -> Load:
    """The load of a span as the database has it. Alarms that were set aside are counted: they were alarms."""
    columns = (AlarmRecord.site_id, AlarmRecord.source_id, AlarmRecord.kind)
    times = (AlarmRecord.started_at_ms, AlarmRecord.ended_at_ms)
    alarms = select(*columns, *times).where(
        ((AlarmRecord.started_at_ms >= from_ms) & (AlarmRecord.started_at_ms < to_ms))
        | ((AlarmRecord.phase != str(Phase.END)) & (AlarmRecord.started_at_ms < now_ms - figures.STALE_MS))
    )
    pages = select(Page.submitted_at_ms).join(Incident, Incident.incident_id == Page.incident_id)
    pages = pages.where(Page.submitted_at_ms >= from_ms, Page.submitted_at_ms < to_ms)
    if site_id is not None:
        alarms, pages = alarms.where(AlarmRecord.site_id == site_id), pages.where(Incident.site_id == site_id)
    starts = [
        Start(row.started_at_ms, Source(row.site_id, row.source_id, row.kind), row.ended_at_ms)
        for row in session.execute(alarms)
    ]
    submitted = [at_ms for at_ms in session.scalars(pages) if at_ms is not None]
    return figures.load(starts, submitted, from_ms=from_ms, to_ms=to_ms, now_ms=now_ms)
