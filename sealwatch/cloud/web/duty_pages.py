"""Pages of what people announce and arrange: people and rosters, permits, maintenance, channels, alarm load."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Form, Query, Request
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from sealwatch.cloud.db.duty_tables import Holiday, PersonAbsence, RosterRow, RosterSwap
from sealwatch.cloud.db.tables import Page, Person, Site
from sealwatch.cloud.duty import store as duty_store
from sealwatch.cloud.duty.roster import who_is_on_duty
from sealwatch.cloud.load import http as load_http
from sealwatch.cloud.permits import store as permit_store
from sealwatch.cloud.permits.cover import Equipment
from sealwatch.cloud.permits.store import Announced
from sealwatch.cloud.silences import store as silence_store
from sealwatch.cloud.silences.store import Wanted
from sealwatch.cloud.web import desk_views, incident_page, views, words
from sealwatch.cloud.web.changes import change
from sealwatch.cloud.web.forms import FIELD, Forms
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.render import Renderer
from sealwatch.cloud.web.services import WebServices
from sealwatch.contract.codes import AlarmKind

T = TypeVar("T")
_SHOWN: Final = 100
_DAY_MS: Final = 24 * 3_600_000
_HOUR_MS: Final = 3_600_000
LOAD_DAYS: Final = (1, 7, 30)
SILENCE_HOURS: Final = (1, 2, 4, 8, 24, 72)

FormToken = Annotated[str, Form(alias=FIELD, max_length=200)]
LocalTime = Annotated[str, Form(max_length=19, description="A moment in the sites' time, YYYY-MM-DDTHH:MM.")]
SiteId = Annotated[str, Form(max_length=64)]


def build(services: WebServices, render: Renderer, forms: Forms) -> APIRouter:
    """The routes /people, /permits, /maintenance, /channels and /load."""
    router = APIRouter(include_in_schema=False)
    _add_reading(router, services, render)
    _add_permits(router, services, render, forms)
    _add_maintenance(router, services, render, forms)
    return router


def local_ms(said: str) -> int:
    """A moment from a form's local time (UTC+8). Raises Problem (422 bad_window)."""
    try:
        return round(datetime.fromisoformat(said).replace(tzinfo=words.LOCAL).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Problem(422, "bad_window") from None


def _add_reading(router: APIRouter, services: WebServices, render: Renderer) -> None:
    @router.get("/people")
    def people(request: Request) -> Response:
        stamp, now_ms = render.stamp(), services.clock.wall_ms()
        with services.database.read() as session:
            values = _people(session, now_ms) | {"stamp": stamp}
        return render.page(request, "people.html", values, events_url="/events")

    @router.get("/channels")
    def channels(request: Request) -> Response:
        stamp, now_ms = render.stamp(), services.clock.wall_ms()
        with services.database.read() as session:
            values = {"channels": _channels(session, services, now_ms), "stamp": stamp}
        return render.page(request, "channels.html", values, events_url="/events")

    @router.get("/load")
    def load(request: Request, days: Annotated[int, Query(ge=1, le=31)] = 1) -> Response:
        now_ms = services.clock.wall_ms()
        with services.database.read() as session:
            found = load_http.read(session, from_ms=now_ms - days * _DAY_MS, to_ms=now_ms, now_ms=now_ms)
            names = _site_names(session)
        values = {"load": found, "days": days, "all_days": LOAD_DAYS, "sites": names}
        return render.page(request, "load.html", values)


def _people(session: Session, now_ms: int) -> dict[str, Any]:
    book = duty_store.book(session, at_ms=now_ms)
    rows = session.scalars(select(RosterRow).order_by(RosterRow.roster_id)).all()
    people = session.scalars(select(Person).order_by(Person.level, Person.person_id)).all()
    swaps = select(RosterSwap).where(RosterSwap.to_ms > now_ms, RosterSwap.cancelled_at_ms.is_(None))
    away = select(PersonAbsence).where(PersonAbsence.to_ms > now_ms, PersonAbsence.cancelled_at_ms.is_(None))
    return {
        "people": people,
        "names": {person.person_id: person.name for person in people},
        "unreachable": {one.person_id for one in desk_views.unreachable(session, now_ms=now_ms)},
        "rosters": [(row, who_is_on_duty(book.rosters[row.roster_id], book.calendar, now_ms)) for row in rows],
        "swaps": session.scalars(swaps.order_by(RosterSwap.from_ms, RosterSwap.id)).all(),
        "absences": session.scalars(away.order_by(PersonAbsence.from_ms, PersonAbsence.id)).all(),
        "holidays": session.scalars(
            select(Holiday).where(Holiday.day >= words.local(now_ms).strftime("%Y-%m-%d")).order_by(Holiday.day)
        ).all(),
    }


def _channels(session: Session, services: WebServices, now_ms: int) -> list[dict[str, Any]]:
    """Each channel: what became of its pages in a day, and its last success and failure of all."""
    settings = services.settings
    known = [one.name for one in settings.channels]
    known += ["webhook"] * (settings.webhook is not None) + ["email"] * (settings.smtp is not None)
    used = session.scalars(select(Page.channel).distinct()).all()
    counts = {
        (channel, state): count
        for channel, state, count in session.execute(
            select(Page.channel, Page.state, func.count())
            .where(Page.due_at_ms > now_ms - _DAY_MS)
            .group_by(Page.channel, Page.state)
        )
    }
    found = []
    for name in sorted({*known, *used}):
        took = select(func.max(Page.submitted_at_ms)).where(Page.channel == name)
        failed = (
            select(Page).where(Page.channel == name, Page.state == "failed").order_by(Page.due_at_ms.desc()).limit(1)
        )
        last_failure = session.scalar(failed)
        last_success_ms = session.scalar(took)
        failing = last_failure is not None and (last_success_ms is None or last_failure.due_at_ms > last_success_ms)
        found.append(
            {
                "name": name,
                "configured": name in known,
                "delivered": counts.get((name, "submitted"), 0) + counts.get((name, "answered"), 0),
                "answered": counts.get((name, "answered"), 0),
                "failed": counts.get((name, "failed"), 0),
                "last_success_ms": last_success_ms,
                "last_failure_ms": last_failure.due_at_ms if last_failure else None,
                "last_outcome": last_failure.outcome if last_failure else "",
                "failing": failing,
            }
        )
    return found


def _add_permits(router: APIRouter, services: WebServices, render: Renderer, forms: Forms) -> None:
    @router.get("/permits")
    def permits(request: Request) -> Response:
        stamp, now_ms = render.stamp(), services.clock.wall_ms()
        with services.database.read() as session:
            rows = permit_store.listed(session, site_id=None, open_at_ms=None, limit=_SHOWN)
            values = {
                "permits": [(row, incident_page.permit_values(row, now_ms)) for row in rows],
                "sites": _site_names(session),
                "equipment": list(Equipment),
                "stamp": stamp,
            }
        return render.page(request, "permits.html", values, events_url="/events")

    @router.post("/permits")
    def announce(
        request: Request,
        site_id: SiteId,
        from_at: LocalTime,
        to_at: LocalTime,
        max_power_kw: Annotated[float, Form(ge=0, le=1e4, allow_inf_nan=False)],
        max_people: Annotated[int, Form(ge=1, le=1000)],
        purpose: Annotated[str, Form(min_length=1, max_length=200)],
        responsible: Annotated[str, Form(min_length=1, max_length=100)],
        from_hour: Annotated[int, Form(ge=0, le=23)] = 0,
        to_hour: Annotated[int, Form(ge=0, le=24)] = 24,
        equipment: Annotated[list[Equipment], Form()] = [],  # noqa: B006 - read, never changed
        measures: Annotated[str, Form(max_length=500)] = "",
        telephone: Annotated[str, Form(max_length=32, pattern=r"^[0-9+ -]*$")] = "",
        form_token: FormToken = "",
    ) -> Response:
        forms.check(request, form_token)
        announced = Announced(
            site_id=site_id,
            from_ms=local_ms(from_at),
            to_ms=local_ms(to_at),
            from_hour=from_hour,
            to_hour=to_hour,
            max_power_w=max_power_kw * 1000,
            max_people=max_people,
            equipment=tuple(equipment),
            purpose=purpose.strip(),
            measures=measures.strip(),
            responsible=responsible.strip(),
            telephone=telephone,
        )
        return _changed(
            services,
            request,
            "/permits",
            lambda session, actor, now_ms: permit_store.announce(session, announced, author=actor, now_ms=now_ms),
        )

    @router.post("/permits/{permit_id}/end")
    def end(
        request: Request, permit_id: str, reason: Annotated[str, Form(max_length=500)] = "", form_token: FormToken = ""
    ) -> Response:
        forms.check(request, form_token)
        return _changed(
            services,
            request,
            "/permits",
            lambda session, actor, now_ms: permit_store.end(
                session, permit_id, author=actor, reason=reason, now_ms=now_ms
            ),
        )


def _add_maintenance(router: APIRouter, services: WebServices, render: Renderer, forms: Forms) -> None:
    @router.get("/maintenance")
    def maintenance(request: Request) -> Response:
        stamp = render.stamp()
        with services.database.read() as session:
            values = {
                "silences": silence_store.listed(session, site_id=None, holding_only=False, limit=_SHOWN),
                "sites": _site_names(session),
                "kinds": list(AlarmKind),
                "hours": SILENCE_HOURS,
                "stamp": stamp,
            }
        return render.page(request, "maintenance.html", values, events_url="/events")

    @router.post("/maintenance")
    def silence(
        request: Request,
        site_id: SiteId,
        hours: Annotated[int, Form(ge=1, le=silence_store.LONGEST_S // 3600)],
        reason: Annotated[str, Form(max_length=500)],
        kinds: Annotated[list[AlarmKind], Form()] = [],  # noqa: B006 - read, never changed
        source_id: Annotated[str, Form(max_length=64)] = "",
        form_token: FormToken = "",
    ) -> Response:
        forms.check(request, form_token)
        from_ms = services.clock.wall_ms()
        wanted = Wanted(
            site_id=site_id,
            kinds=tuple(map(str, kinds)),
            source_id=source_id.strip(),
            from_ms=from_ms,
            until_ms=from_ms + hours * _HOUR_MS,
            reason=reason,
        )
        return _changed(
            services,
            request,
            "/maintenance",
            lambda session, actor, now_ms: silence_store.make(session, wanted, author=actor, now_ms=now_ms),
        )

    @router.post("/maintenance/{silence_id}/end")
    def end(request: Request, silence_id: str, form_token: FormToken = "") -> Response:
        forms.check(request, form_token)
        return _changed(
            services,
            request,
            "/maintenance",
            lambda session, actor, now_ms: silence_store.end(session, silence_id, author=actor, now_ms=now_ms),
        )


def _changed(services: WebServices, request: Request, page: str, work: Callable[[Session, str, int], T]) -> Response:
    """Carry out a change and show its page. Raises Problem; the browser's way back has what was typed."""
    statuses = {"unknown_permit": 404, "unknown_silence": 404, "permit_over": 409, "silence_over": 409}
    change(services, request, statuses, work)
    return RedirectResponse(page, 303)


def _site_names(session: Session) -> dict[str, views.SiteView]:
    rows = session.scalars(select(Site).order_by(Site.township_zh, Site.name_zh, Site.site_id))
    return {row.site_id: views.site_view(row) for row in rows}
