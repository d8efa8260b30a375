"""The steps of an incident as forms, for the desk and for whoever holds an answer link: one form, one step, back again.

Works as plain forms; a script may send the same form by itself and ask for JSON, so that a check-in made without
network can be kept and sent later (see `static/outbox.js`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, File, Form, Request, UploadFile
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, RedirectResponse, Response

from sealwatch.cloud.db.tables import Evidence, Incident
from sealwatch.cloud.evidence.preview import size_px
from sealwatch.cloud.incidents import checkin, service, steps
from sealwatch.cloud.incidents.checkin import CheckIn
from sealwatch.cloud.incidents.steps import StepOutcome
from sealwatch.cloud.web import views
from sealwatch.cloud.web.forms import FIELD
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.services import WebServices
from sealwatch.contract.codes import Closure

SAID: Final = "said"
SHELF_HOURS: Final = (1, 4, 12, 24, 72, 168)
_MEDIA_TYPES: Final = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png", b"RI": "image/webp"}
_HOUR_MS: Final = 3_600_000

FormToken = Annotated[str, Form(alias=FIELD, max_length=200)]
Note = Annotated[str, Form(max_length=1000)]
Picture = Annotated[UploadFile | None, File()]
Latitude = Annotated[float | None, Form(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float | None, Form(ge=-180, le=180, allow_inf_nan=False)]
Accuracy = Annotated[float | None, Form(ge=0, le=1e7, allow_inf_nan=False)]
Moment = Annotated[int | None, Form(ge=0, le=2**53 - 1)]
Key = Annotated[str, Form(max_length=64, pattern=r"^[0-9A-Za-z_-]*$")]


@dataclass(frozen=True, slots=True)
class Doer:
    """Who acts on which incident, and the page to go back to."""

    incident_id: str
    actor: str
    page: str


Resolve = Callable[[Request, str, str], Doer]
"""(request, the name in the address, the form's token) -> Doer. Raises Problem where it may not."""


class Steps:
    """Carries out a step for a doer and leads back."""

    def __init__(self, services: WebServices) -> None:
        self._services = services

    def take(
        self, request: Request, doer: Doer, step: Callable[[Session, int], StepOutcome], *, remark: str = ""
    ) -> Response:
        """Take `step(session, now_ms)`. `remark` is what the page is to say although the step was taken."""
        with self._services.database.write() as session:
            outcome = step(session, self._services.clock.wall_ms())
        if outcome.name == "unknown_incident":
            raise Problem(404, "unknown_incident")
        if outcome.changed:
            self._services.changes.announce()
        said = remark if outcome.changed else outcome.name
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"name": outcome.name, "state": outcome.state, "remark": remark})
        joint = "&" if "?" in doer.page else "?"
        return RedirectResponse(f"{doer.page}{joint}{SAID}={said}" if said else doer.page, 303)

    def keep(self, doer: Doer, picture: UploadFile | None) -> tuple[tuple[str, ...], str]:
        """Keep a picture as it came; (its hash or nothing, a remark where it can't be read). Raises Problem (404)."""
        data = picture.file.read() if picture is not None else b""
        if not data:
            return (), ""
        try:
            size_px(data)
        except ValueError:
            return (), "unreadable_picture"
        sha256, now_ms = hashlib.sha256(data).hexdigest(), self._services.clock.wall_ms()
        with self._services.database.read() as session:
            incident = session.get(Incident, doer.incident_id)
        if incident is None:
            raise Problem(404, "unknown_incident")
        self._services.evidence.put(sha256, data)
        with self._services.database.write() as session:
            if session.get(Evidence, sha256) is None:
                session.add(
                    Evidence(
                        sha256=sha256,
                        media_type=_MEDIA_TYPES[data[:2]],
                        size_bytes=len(data),
                        site_id=incident.site_id,
                        node_id="",  # a person sent it, no node signed it
                        alarm_id="",
                        captured_at_ms=now_ms,
                        received_at_ms=now_ms,
                    )
                )
        return (sha256,), ""


def add(router: APIRouter, services: WebServices, resolve: Resolve) -> None:
    """The steps of the person on the road: check in and write down what was found."""
    taken = Steps(services)

    @router.post("/{name}/arrive")
    def arrive(
        request: Request,
        name: str,
        photo: Picture = None,
        latitude_deg: Latitude = None,
        longitude_deg: Longitude = None,
        accuracy_m: Accuracy = None,
        taken_at_ms: Moment = None,
        key: Key = "",
        note: Note = "",
        form_token: FormToken = "",
    ) -> Response:
        doer = resolve(request, name, form_token)
        attachments, remark = taken.keep(doer, photo)
        said = CheckIn(
            key=key,
            taken_at_ms=taken_at_ms,
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            accuracy_m=accuracy_m,
            attachments=attachments,
            note=note.strip(),
        )
        return taken.take(
            request,
            doer,
            lambda session, now_ms: checkin.check_in(
                session, incident_id=doer.incident_id, actor=doer.actor, said=said, now_ms=now_ms
            ),
            remark=remark,
        )

    @router.post("/{name}/verify")
    def verify(
        request: Request, name: str, note: Note = "", photo: Picture = None, form_token: FormToken = ""
    ) -> Response:
        doer = resolve(request, name, form_token)
        attachments, remark = taken.keep(doer, photo) if note.strip() else ((), "")
        return taken.take(
            request,
            doer,
            lambda session, now_ms: steps.verify(
                session,
                incident_id=doer.incident_id,
                actor=doer.actor,
                note=note,
                attachments=attachments,
                now_ms=now_ms,
            ),
            remark=remark,
        )

    @router.post("/{name}/close")
    def close(
        request: Request,
        name: str,
        closure: Annotated[Closure, Form()],
        note: Annotated[str, Form(max_length=500)] = "",
        form_token: FormToken = "",
    ) -> Response:
        doer = resolve(request, name, form_token)

        def step(session: Session, now_ms: int) -> StepOutcome:
            outcome = service.close(
                session,
                incident_id=doer.incident_id,
                actor=doer.actor,
                closure=closure,
                note=note.strip(),
                now_ms=now_ms,
            )
            if outcome.changed:
                return StepOutcome(name="done")
            refused = {"unknown_incident": "unknown_incident", "second_person_wanted": "same_person"}
            return StepOutcome(name=refused.get(outcome.name, "not_now"))  # type: ignore[arg-type]

        return taken.take(request, doer, step)

    @router.post("/{name}/refuse")
    def refuse(request: Request, name: str, note: Note = "", form_token: FormToken = "") -> Response:
        doer = resolve(request, name, form_token)

        def step(session: Session, now_ms: int) -> StepOutcome:
            if not note.strip():
                return StepOutcome(name="no_reason")
            return steps.refuse_closing(
                session, incident_id=doer.incident_id, actor=doer.actor, note=note, now_ms=now_ms
            )

        return taken.take(request, doer, step)


def add_desk(router: APIRouter, services: WebServices, resolve: Resolve) -> None:
    """The steps of the desk: send somebody, put aside."""
    taken = Steps(services)

    @router.post("/{name}/dispatch")
    def dispatch(
        request: Request,
        name: str,
        person_id: Annotated[str, Form(max_length=64)] = "",
        form_token: FormToken = "",
    ) -> Response:
        doer = resolve(request, name, form_token)

        def step(session: Session, now_ms: int) -> StepOutcome:
            if not views.person_exists(session, person_id):
                return StepOutcome(name="unknown_person")
            return steps.dispatch(
                session, incident_id=doer.incident_id, actor=doer.actor, to_person_id=person_id, now_ms=now_ms
            )

        return taken.take(request, doer, step)

    @router.post("/{name}/shelve")
    def shelve(
        request: Request,
        name: str,
        hours: Annotated[int, Form(ge=1, le=steps.LONGEST_SHELF_S // 3600)],
        note: Note = "",
        form_token: FormToken = "",
    ) -> Response:
        doer = resolve(request, name, form_token)
        return taken.take(
            request,
            doer,
            lambda session, now_ms: steps.shelve(
                session,
                incident_id=doer.incident_id,
                actor=doer.actor,
                until_ms=now_ms + hours * _HOUR_MS,
                reason=note,
                now_ms=now_ms,
            ),
        )
