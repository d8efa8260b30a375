"""What people do with an incident, in the JSON API: pass on, send somebody, arrive, look, put aside, close, reopen.

All of them may be repeated: what is done already is "changed": false or 409, never done twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from sealwatch.cloud.db.tables import Person
from sealwatch.cloud.incidents import service, steps
from sealwatch.cloud.incidents.service import CloseOutcome, PassOutcome
from sealwatch.cloud.incidents.steps import StepOutcome
from sealwatch.cloud.refused import NotAllowed
from sealwatch.cloud.web import problems
from sealwatch.cloud.web.body import Body
from sealwatch.cloud.web.changes import change
from sealwatch.cloud.web.services import WebServices
from sealwatch.contract.codes import Closure

_STATUS: Final = {"unknown_incident": 404, "conflict": 409, "same_person": 409}
_REFUSED: Final = {
    "not_now": "conflict",
    "already_acknowledged_by": "conflict",
    "closed": "conflict",
    "not_closed": "conflict",
    "another_is_open": "conflict",
    "bad_end": "bad_window",
    "no_reason": "no_reason",
    "same_person": "same_person",
    "unknown_incident": "unknown_incident",
}
_Id = Annotated[str, Path(max_length=64)]
_Note = Annotated[str, Field(max_length=2000)]
_Attachments = Annotated[
    list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]],
    Field(max_length=20, description="SHA-256 of stored evidence."),
]


class NoteIn(Body):
    note: _Note = ""


class DispatchIn(Body):
    to_person_id: str = Field(max_length=64)


class ArriveIn(Body):
    """Position in WGS 84, where the telephone gave one."""

    latitude_deg: float | None = Field(default=None, ge=-90, le=90)
    longitude_deg: float | None = Field(default=None, ge=-180, le=180)
    attachments: _Attachments = Field(default=[])


class VerifyIn(Body):
    note: Annotated[str, Field(min_length=1, max_length=2000)]
    attachments: _Attachments = Field(default=[])


class ShelveIn(Body):
    until_ms: int = Field(ge=0, le=2**53 - 1, description="At most a week away.")
    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class CloseIn(Body):
    closure: int = Field(
        ge=0, le=4, description="0 false alarm, 1 suspected illegal production, 2 repair, 3 other vehicle, 4 passer-by."
    )
    note: _Note = ""


class StepModel(BaseModel):
    """What became of it. `name` is "second_person_wanted" where a closing waits to be confirmed."""

    name: str
    changed: bool
    to_person_id: str | None = Field(default=None, description="Who is asked now, after a pass-on.")


def build(services: WebServices) -> APIRouter:
    """The routes below /api/v1/incidents/{incident_id}."""
    router = APIRouter(
        prefix="/api/v1/incidents/{incident_id}",
        tags=["incidents"],
        responses=problems.documented(404, 409),
    )
    _add_answers(router, services)
    _add_ends(router, services)
    return router


def _add_answers(router: APIRouter, services: WebServices) -> None:
    @router.post("/pass-on")
    def pass_on(request: Request, incident_id: _Id) -> StepModel:
        """I can't: whoever is next is paged at once. "nobody_left" where nobody is."""

        def work(session: Session, actor: str, now_ms: int) -> PassOutcome:
            return service.pass_on(session, incident_id=incident_id, actor=actor, reason="api", now_ms=now_ms)

        return _done(services, request, work)

    @router.post("/dispatch")
    def dispatch(request: Request, incident_id: _Id, body: DispatchIn) -> StepModel:
        """Somebody is sent and on the way."""

        def work(session: Session, actor: str, now_ms: int) -> StepOutcome:
            if session.get(Person, body.to_person_id) is None:
                raise NotAllowed("unknown_person")
            sent = body.to_person_id
            return steps.dispatch(session, incident_id=incident_id, actor=actor, to_person_id=sent, now_ms=now_ms)

        return _done(services, request, work)

    @router.post("/arrive")
    def arrive(request: Request, incident_id: _Id, body: ArriveIn) -> StepModel:
        """The caller is on site."""

        def work(session: Session, actor: str, now_ms: int) -> StepOutcome:
            fields = body.model_dump() | {"attachments": tuple(body.attachments)}
            return steps.arrive(session, incident_id=incident_id, actor=actor, now_ms=now_ms, **fields)

        return _done(services, request, work)

    @router.post("/verify")
    def verify(request: Request, incident_id: _Id, body: VerifyIn) -> StepModel:
        """What the caller found on site."""

        def work(session: Session, actor: str, now_ms: int) -> StepOutcome:
            fields = body.model_dump() | {"attachments": tuple(body.attachments)}
            return steps.verify(session, incident_id=incident_id, actor=actor, now_ms=now_ms, **fields)

        return _done(services, request, work)


def _add_ends(router: APIRouter, services: WebServices) -> None:
    @router.post("/shelve")
    def shelve(request: Request, incident_id: _Id, body: ShelveIn) -> StepModel:
        """Put it aside until a time, for a reason."""

        def work(session: Session, actor: str, now_ms: int) -> StepOutcome:
            return steps.shelve(session, incident_id=incident_id, actor=actor, now_ms=now_ms, **body.model_dump())

        return _done(services, request, work)

    @router.post("/close")
    def close(request: Request, incident_id: _Id, body: CloseIn) -> StepModel:
        """Say what it was; red and orange wait for a second person who says the same."""

        def work(session: Session, actor: str, now_ms: int) -> CloseOutcome:
            said, note = Closure(body.closure), body.note
            return service.close(session, incident_id=incident_id, actor=actor, closure=said, note=note, now_ms=now_ms)

        return _done(services, request, work)

    @router.post("/refuse-closing")
    def refuse(request: Request, incident_id: _Id, body: NoteIn) -> StepModel:
        """The caller, as second person, does not agree with the closing."""

        def work(session: Session, actor: str, now_ms: int) -> StepOutcome:
            return steps.refuse_closing(session, incident_id=incident_id, actor=actor, note=body.note, now_ms=now_ms)

        return _done(services, request, work)

    @router.post("/reopen")
    def reopen(request: Request, incident_id: _Id, body: NoteIn) -> StepModel:
        """It was closed by mistake: it waits for an answer again."""

        def work(session: Session, actor: str, now_ms: int) -> CloseOutcome:
            return service.reopen(session, incident_id=incident_id, actor=actor, note=body.note, now_ms=now_ms)

        return _done(services, request, work)


def _done(
    services: WebServices,
    request: Request,
    work: Callable[[Session, str, int], StepOutcome | CloseOutcome | PassOutcome],
) -> StepModel:
    def checked(session: Session, actor: str, now_ms: int) -> StepModel:
        outcome = work(session, actor, now_ms)
        closes = isinstance(outcome, CloseOutcome) and outcome.name == "closed"
        if outcome.name in _REFUSED and not closes:
            raise NotAllowed(_REFUSED[outcome.name])
        to_person_id = outcome.to_person_id if isinstance(outcome, PassOutcome) else None
        return StepModel(name=outcome.name, changed=outcome.changed, to_person_id=to_person_id)

    return change(services, request, _STATUS, checked)
