"""Pages of the sites: the list, one site, one node with what it was asked, and the search."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from sealwatch.base.errors import UsageError
from sealwatch.base.text import Language
from sealwatch.cloud.db.tables import Node, Site
from sealwatch.cloud.downlink import queue
from sealwatch.cloud.evidence.preview import Previews
from sealwatch.cloud.maps import links
from sealwatch.cloud.maps.datum import Position
from sealwatch.cloud.permits import store as permit_store
from sealwatch.cloud.ports import Series
from sealwatch.cloud.web import incident_page, site_views, story, views
from sealwatch.cloud.web import language as language_
from sealwatch.cloud.web.actor import actor_of
from sealwatch.cloud.web.curve import Window, draw
from sealwatch.cloud.web.forms import FIELD, Forms
from sealwatch.cloud.web.incident_page import Chart
from sealwatch.cloud.web.pages import image_response
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.render import Renderer
from sealwatch.cloud.web.services import WebServices
from sealwatch.cloud.web.views import SiteView

logger = logging.getLogger(__name__)
_WEEK_MS: Final = 7 * 24 * 3_600_000
_MOST_POINTS: Final = 700
_MOST_METERS: Final = 3
_SHOWN: Final = 10
STALE_PICTURE_MS: Final = 24 * 3_600_000
"""A picture older than a day no longer says how the place looks."""

FormToken = Annotated[str, Form(alias=FIELD, max_length=200)]


def build(services: WebServices, render: Renderer, forms: Forms, previews: Previews) -> APIRouter:
    """The routes below /sites and /nodes, and /search."""
    router = APIRouter(include_in_schema=False)

    @router.get("/sites")
    def sites(request: Request) -> Response:
        stamp, now_ms = render.stamp(), services.clock.wall_ms()
        with services.database.read() as session:
            lines = site_views.sites(session, now_ms=now_ms)
        return render.page(request, "sites.html", {"lines": lines, "stamp": stamp}, events_url="/events")

    @router.get("/sites/{site_id}")
    def site(request: Request, site_id: str) -> Response:
        return _site_page(request, site_id, services, render)

    @router.get("/sites/{site_id}/pictures/{sha256}")
    def picture(site_id: str, sha256: str) -> Response:
        return _picture(services, site_id, sha256, None)

    @router.get("/sites/{site_id}/pictures/{sha256}/preview")
    def preview(site_id: str, sha256: str) -> Response:
        return _picture(services, site_id, sha256, previews)

    @router.get("/nodes/{node_id}")
    def node(request: Request, node_id: str) -> Response:
        stamp, now_ms = render.stamp(), services.clock.wall_ms()
        with services.database.read() as session:
            row = session.get(Node, node_id)
            if row is None:
                raise Problem(404, "unknown_node")
            shown = site_views.node_view(row, now_ms=now_ms)
            values = {
                "node": shown,
                "site": views.site_view(session.get_one(Site, row.site_id)),
                "cameras": [c for c in site_views.cameras(session, row.site_id, [shown]) if c.node_id == node_id],
                "commands": site_views.commands(session, node_id),
                "config_version": site_views.config_version(session, node_id),
                "stale_picture_ms": STALE_PICTURE_MS,
                "stamp": stamp,
            }
        return render.page(request, "node.html", values, events_url="/events")

    @router.post("/nodes/{node_id}/snapshot")
    def snapshot(
        request: Request,
        node_id: str,
        camera: Annotated[str, Form(max_length=64)] = "",
        form_token: FormToken = "",
    ) -> Response:
        forms.check(request, form_token)
        arguments = {"camera": camera} if camera else {}
        actor, now_ms = actor_of(request), services.clock.wall_ms()
        with services.database.write() as session:
            if session.get(Node, node_id) is None:
                raise Problem(404, "unknown_node")
            try:
                queue.queue_command(
                    session, node_id=node_id, name="snapshot", arguments=arguments, author=actor, now_ms=now_ms
                )
            except UsageError:  # what the contract does not allow, such as a camera's name with a space
                raise Problem(422, "invalid_request") from None
        services.changes.announce()
        return RedirectResponse(f"/nodes/{node_id}", 303)

    @router.get("/search")
    def search(request: Request, q: Annotated[str, Query(max_length=60)] = "") -> Response:
        wanted = q.strip()
        with services.database.read() as session:
            found = site_views.search(session, wanted) if wanted else None
        language = language_.of_request(request)
        values = {"q": wanted, "found": found, "closure_of": lambda value: story.closure(language, value)}
        return render.page(request, "search.html", values)

    return router


def _site_page(request: Request, site_id: str, services: WebServices, render: Renderer) -> Response:
    stamp, now_ms, language = render.stamp(), services.clock.wall_ms(), language_.of_request(request)
    with services.database.read() as session:
        row = session.get(Site, site_id)
        if row is None:
            raise Problem(404, "unknown_site")
        nodes = site_views.nodes_of(session, site_id, now_ms=now_ms)
        alarms = views.alarms(
            session, site_id=site_id, set_aside=None, ref=None, before_ms=now_ms + _WEEK_MS, limit=_SHOWN
        )[:_SHOWN]
        week = views.alarms(session, site_id=site_id, set_aside=None, ref=None, before_ms=now_ms, limit=_MOST_POINTS)
        windows = [
            Window(from_ms=one.started_at_ms, to_ms=now_ms if one.ended_at_ms is None else one.ended_at_ms)
            for one in week
            if one.ended_at_ms is None or one.ended_at_ms > now_ms - _WEEK_MS
        ]
        permits = permit_store.listed(session, site_id=site_id, open_at_ms=now_ms, limit=_SHOWN)
        shown = views.site_view(row)
        values: dict[str, Any] = {
            "site": shown,
            "nodes": nodes,
            "cameras": site_views.cameras(session, site_id, nodes),
            "incidents": site_views.incidents_of(session, site_id, limit=_SHOWN),
            "alarms": [views.alarm_view(one) for one in alarms],
            "permits": [incident_page.permit_values(permit, now_ms) for permit in permits],
            "people": site_views.paged_lately(session, site_id),
        }
    values |= {
        "chart": _week(services, site_id, windows, now_ms),
        "map_links": _links(shown, language),
        "stale_picture_ms": STALE_PICTURE_MS,
        "closure_of": lambda value: story.closure(language, value),
        "stamp": stamp,
    }
    return render.page(request, "site.html", values, events_url="/events")


def _links(site: SiteView, language: Language) -> list[links.MapLink]:
    if site.latitude_deg is None or site.longitude_deg is None:
        return []
    return links.navigation(Position(site.latitude_deg, site.longitude_deg), site.name(language))


def _week(services: WebServices, site_id: str, windows: list[Window], now_ms: int) -> Chart:
    """The power of the last seven days."""
    from_ms = now_ms - _WEEK_MS
    try:
        found: dict[str, Series] = services.telemetry.read(
            site_id=site_id, metric=incident_page.METRIC, from_ms=from_ms, to_ms=now_ms, max_points=_MOST_POINTS
        )
    except OSError as error:
        logger.warning("site %s is shown without its power: %s", site_id, error)
        found = {}
    drawn = [
        draw(series, source_id=source_id, from_ms=from_ms, to_ms=now_ms, windows=windows)
        for source_id, series in sorted(found.items())
    ]
    curves = [curve for curve in drawn if curve is not None][:_MOST_METERS]
    shaded = any(curve.shades for curve in curves)
    return Chart(from_ms=from_ms, to_ms=now_ms, curves=curves, opened_percent=None, shaded=shaded)


def _picture(services: WebServices, site_id: str, sha256: str, previews: Previews | None) -> Response:
    with services.database.read() as session:
        if not site_views.has_picture(session, site_id, sha256):
            raise Problem(404, "unknown_picture")
    return image_response(services, sha256, previews=previews)
