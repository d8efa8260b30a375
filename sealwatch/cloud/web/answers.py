"""The page behind a signed answer link: no login, one person, one incident.

Opening it changes nothing, however often link scanners of mail and chat servers fetch it; only the buttons do. The
token in the address is the authority: who doesn't have it can't make a browser send the form, so the form needs no
token of its own, and the page works where cookies are blocked.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.cloud.auth.links import AnswerLink, LinkRefusal
from sealwatch.cloud.evidence.preview import Previews
from sealwatch.cloud.incidents import service
from sealwatch.cloud.paging.choices import ANSWERS, PARAMETER
from sealwatch.cloud.web import incident_page, step_forms
from sealwatch.cloud.web import language as language_
from sealwatch.cloud.web.events import Hub
from sealwatch.cloud.web.pages import clip_response, picture_response, the_incident, the_permits
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.push_routes import push_services
from sealwatch.cloud.web.render import Renderer
from sealwatch.cloud.web.services import WebServices
from sealwatch.cloud.web.step_forms import Doer
from sealwatch.cloud.web.views import IncidentView

_STATUS: Final = {
    LinkRefusal.MALFORMED: 404,
    LinkRefusal.FOREIGN: 403,
    LinkRefusal.FORGED: 403,
    LinkRefusal.EXPIRED: 410,
}


def build(services: WebServices, render: Renderer, previews: Previews, hub: Hub) -> APIRouter:
    """The routes below /a/{token}."""
    router = APIRouter(prefix="/a/{token}", include_in_schema=False)

    def opened(token: str) -> AnswerLink:
        """What a genuine link names. Raises Problem with the reason of the refusal."""
        link = services.links.read(token, now_ms=services.clock.wall_ms())
        if isinstance(link, LinkRefusal):
            raise Problem(_STATUS[link], f"link_{link}")
        return link

    def found(token: str) -> tuple[AnswerLink, IncidentView]:
        link = opened(token)
        with services.database.read() as session:
            return link, the_incident(session, link.incident_id)

    @router.get("")
    def page(request: Request, token: str, do: Annotated[str, Query(alias=PARAMETER, max_length=20)] = "") -> Response:
        stamp, language = render.stamp(), language_.of_request(request)
        link, incident = found(token)
        with services.database.read() as session:
            permits = the_permits(session, incident, services)
        values = incident_page.shared(
            incident,
            language=language,
            now_ms=services.clock.wall_ms(),
            telemetry=services.telemetry,
            evidence=services.evidence,
            base_url=f"/a/{token}",
            permits=permits,
        )
        actor = f"person:{link.person_id}"
        values |= incident_page.acting(request, incident, language=language, actor=actor, by_link=True)
        values |= _answer_values(incident, link, language) | {"token_url": f"/a/{token}", "stamp": stamp}
        values["push_offered"] = bool(push_services(services))
        values["asked"] = do if do in ANSWERS else ""
        return render.page(request, "answer.html", values, events_url=f"/a/{token}/events")

    @router.post("/answer")
    def answer(token: str, answer: Annotated[Literal["going", "next"], Form()]) -> Response:
        link = opened(token)
        decide = service.acknowledge if answer == "going" else service.pass_on
        with services.database.write() as session:
            outcome = decide(
                session,
                incident_id=link.incident_id,
                actor=f"person:{link.person_id}",
                reason="link",
                now_ms=services.clock.wall_ms(),
            )
        if outcome.name == "unknown_incident":
            raise Problem(404, "unknown_incident")
        services.changes.announce()
        return RedirectResponse(f"/a/{token}", 303)

    @router.get("/pictures/{sha256}")
    def picture(token: str, sha256: str) -> Response:
        return picture_response(services, found(token)[1], sha256)

    @router.get("/pictures/{sha256}/preview")
    def preview(token: str, sha256: str) -> Response:
        return picture_response(services, found(token)[1], sha256, previews=previews)

    @router.get("/clips/{sha256}")
    def clip(request: Request, token: str, sha256: str) -> Response:
        return clip_response(services, request, found(token)[1], sha256)

    def resolve(_request: Request, token: str, _form_token: str) -> Doer:
        link = opened(token)
        return Doer(link.incident_id, f"person:{link.person_id}", f"/a/{token}")

    steps_ = APIRouter(prefix="/a", include_in_schema=False)
    step_forms.add(steps_, services, resolve)

    @router.get("/events")
    async def events(
        request: Request, token: str, seen: Annotated[str | None, Query(max_length=64)] = None
    ) -> Response:
        opened(token)
        return hub.response(request.headers.get("last-event-id", seen))

    both = APIRouter()
    both.include_router(router)
    both.include_router(steps_)
    return both


def _answer_values(incident: IncidentView, link: AnswerLink, language: Language) -> dict[str, Any]:
    """Who is asked, and what this person has answered so far. `passed_to` is None until they passed it on."""
    actor = f"person:{link.person_id}"
    passed = [
        incident.people.get(str(event.detail.get("to_person_id")), text.say(language, "web.nobody_yet"))
        for event in incident.events
        if event.kind == "passed_on" and event.actor == actor and event.detail.get("cycle") == incident.cycle
    ]
    return {
        "person_name": incident.people.get(link.person_id, link.person_id),
        "mine": incident.card.acknowledged_by == actor,
        "passed_to": passed[-1] if passed else None,
        "expires_at_ms": link.expires_at_ms,
    }
