"""The duty desk's pages. Reading needs no script; every change is a form that only our own pages can send."""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from sealwatch.cloud.db.duty_tables import WorkPermit
from sealwatch.cloud.evidence.preview import Previews
from sealwatch.cloud.incidents import service
from sealwatch.cloud.permits import store as permit_store
from sealwatch.cloud.web import incident_page, ranges, step_forms, story, views
from sealwatch.cloud.web import language as language_
from sealwatch.cloud.web.actor import actor_of
from sealwatch.cloud.web.forms import FIELD, Forms
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.render import Renderer
from sealwatch.cloud.web.rules import sees_evidence
from sealwatch.cloud.web.services import WebServices
from sealwatch.cloud.web.step_forms import Doer

RECENT: Final = 8
_MOST_PERMITS: Final = 5
_CURSOR: Final = re.compile(r"(\d{1,16})-([0-9A-Za-z_.-]{1,64})")
_IMAGES: Final = ("image/jpeg", "image/png", "image/webp")
_MAGIC: Final = ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"), (b"RIFF", "image/webp"))

FormToken = Annotated[str, Form(alias=FIELD, max_length=200)]


def build(services: WebServices, render: Renderer, forms: Forms, previews: Previews) -> APIRouter:
    """The routes of the duty desk."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def overview(request: Request, before: Annotated[str, Query(max_length=100)] = "") -> Response:
        stamp, now_ms = render.stamp(), services.clock.wall_ms()
        language = language_.of_request(request)
        with services.database.read() as session:
            recent = views.closed_incidents(session, limit=RECENT + 1, before=cursor(before))
            values = {
                "open": views.open_incidents(session),
                "silent": views.silent_nodes(session, now_ms=now_ms),
                "node_count": views.node_count(session),
            }
        older = recent[RECENT - 1] if len(recent) > RECENT else None
        values |= {
            "recent": recent[:RECENT],
            "older_url": f"/?before={cursor_of(older)}" if older else "",
            "paged": bool(before),
            "closure_of": lambda value: story.closure(language, value),
            "stamp": stamp,
        }
        return render.page(request, "list.html", values, events_url="/events")

    @router.get("/incidents/{incident_id}")
    def incident(request: Request, incident_id: str) -> Response:
        stamp = render.stamp()
        language = language_.of_request(request)
        with services.database.read() as session:
            found = the_incident(session, incident_id)
            permits = the_permits(session, found, services)
        values = incident_page.shared(
            found,
            language=language,
            now_ms=services.clock.wall_ms(),
            telemetry=services.telemetry,
            evidence=services.evidence,
            base_url=f"/incidents/{incident_id}",
            permits=permits,
            sees_evidence=sees_evidence(request, incident_id),
        )
        values |= incident_page.acting(request, found, language=language, actor=actor_of(request))
        values["stamp"] = stamp
        return render.page(request, "incident.html", values, events_url="/events")

    @router.get("/incidents/{incident_id}/pictures/{sha256}")
    def picture(incident_id: str, sha256: str) -> Response:
        with services.database.read() as session:
            found = the_incident(session, incident_id)
        return picture_response(services, found, sha256)

    @router.get("/incidents/{incident_id}/pictures/{sha256}/preview")
    def preview(incident_id: str, sha256: str) -> Response:
        with services.database.read() as session:
            found = the_incident(session, incident_id)
        return picture_response(services, found, sha256, previews=previews)

    @router.get("/incidents/{incident_id}/clips/{sha256}")
    def clip(request: Request, incident_id: str, sha256: str) -> Response:
        with services.database.read() as session:
            found = the_incident(session, incident_id)
        return clip_response(services, request, found, sha256)

    _build_changes(router, services, forms)
    _build_steps(router, services, forms)
    return router


def _build_steps(router: APIRouter, services: WebServices, forms: Forms) -> None:
    def resolve(request: Request, incident_id: str, form_token: str) -> Doer:
        forms.check(request, form_token)
        return Doer(incident_id, actor_of(request), page_of(request, incident_id))

    below = APIRouter(prefix="/incidents", include_in_schema=False)
    step_forms.add(below, services, resolve)
    step_forms.add_desk(below, services, resolve)
    router.include_router(below)


def _build_changes(router: APIRouter, services: WebServices, forms: Forms) -> None:
    """The forms: each checks that our own page sent it, changes once, and leads back to the incident."""

    def back(request: Request, incident_id: str, name: str) -> Response:
        if name == "unknown_incident":
            raise Problem(404, "unknown_incident")
        services.changes.announce()
        return RedirectResponse(page_of(request, incident_id), 303)

    @router.post("/incidents/{incident_id}/acknowledge")
    def acknowledge(request: Request, incident_id: str, form_token: FormToken = "") -> Response:
        forms.check(request, form_token)
        actor, now_ms = actor_of(request), services.clock.wall_ms()
        with services.database.write() as session:
            outcome = service.acknowledge(session, incident_id=incident_id, actor=actor, reason="desk", now_ms=now_ms)
        return back(request, incident_id, outcome.name)

    @router.post("/incidents/{incident_id}/next")
    def page_next(request: Request, incident_id: str, form_token: FormToken = "") -> Response:
        forms.check(request, form_token)
        actor, now_ms = actor_of(request), services.clock.wall_ms()
        with services.database.write() as session:
            outcome = service.pass_on(session, incident_id=incident_id, actor=actor, reason="desk", now_ms=now_ms)
        return back(request, incident_id, outcome.name)

    @router.post("/incidents/{incident_id}/reopen")
    def reopen(request: Request, incident_id: str, form_token: FormToken = "") -> Response:
        forms.check(request, form_token)
        actor, now_ms = actor_of(request), services.clock.wall_ms()
        with services.database.write() as session:
            outcome = service.reopen(session, incident_id=incident_id, actor=actor, now_ms=now_ms)
        return back(request, incident_id, outcome.name)


def the_incident(session: Session, incident_id: str) -> views.IncidentView:
    """The incident. Raises Problem (404)."""
    found = views.incident(session, incident_id)
    if found is None:
        raise Problem(404, "unknown_incident")
    return found


def picture_response(
    services: WebServices, incident: views.IncidentView, sha256: str, *, previews: Previews | None = None
) -> Response:
    """A picture of this incident, or its preview. Raises Problem (404 unknown_picture, 409 altered_picture)."""
    if sha256 not in incident.snapshot_hashes():
        raise Problem(404, "unknown_picture")
    return image_response(services, sha256, previews=previews)


def image_response(services: WebServices, sha256: str, *, previews: Previews | None = None) -> Response:
    """A picture that the caller may see, or its preview. Raises Problem (404 unknown_picture, 409 altered_picture)."""
    try:
        data = services.evidence.get(sha256)
    except ValueError:
        raise Problem(409, "altered_picture") from None
    media_type = next((kind for magic, kind in _MAGIC if data is not None and data.startswith(magic)), None)
    if data is None or media_type is None:
        raise Problem(404, "unknown_picture")
    if previews is not None:
        try:
            data, media_type = previews.of(sha256, data), "image/jpeg"
        except ValueError:
            raise Problem(404, "unknown_picture") from None
    # The address names the content, so a browser may keep it; "private", because it is evidence.
    return Response(data, media_type=media_type, headers={"Cache-Control": "private, max-age=86400, immutable"})


def page_of(request: Request, incident_id: str) -> str:
    """The page a form came from: the wide screen with this incident on it, or the incident's own page."""
    came_from = urlsplit(request.headers.get("referer", "")).path
    return f"/desk?incident={incident_id}" if came_from == "/desk" else f"/incidents/{incident_id}"


def the_permits(session: Session, incident: views.IncidentView, services: WebServices) -> list[WorkPermit]:
    """The permits of the site that hold or will hold."""
    now_ms = services.clock.wall_ms()
    return permit_store.listed(session, site_id=incident.card.site.site_id, open_at_ms=now_ms, limit=_MOST_PERMITS)


def clip_response(services: WebServices, request: Request, incident: views.IncidentView, sha256: str) -> Response:
    """A recording of this incident, in pieces where a player asks for them. Raises Problem (404, 409)."""
    clip = next((one for one in incident.clips if one.sha256 == sha256), None)
    if clip is None:
        raise Problem(404, "unknown_clip")
    try:
        data = services.evidence.get(sha256)
    except ValueError:
        raise Problem(409, "altered_picture") from None
    if data is None:
        raise Problem(404, "unknown_clip")
    return ranges.response(data, clip.media_type, request.headers.get("range", ""))


def cursor(value: str) -> tuple[int, str] | None:
    """(closed_at_ms, incident_id) from a page address, or None for the first page or nonsense."""
    match = _CURSOR.fullmatch(value)
    return (int(match[1]), match[2]) if match else None


def cursor_of(card: views.IncidentCard) -> str:
    """Inverse of `cursor`, for the last one shown."""
    return f"{card.closed_at_ms}-{card.incident_id}"
