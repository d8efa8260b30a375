"""The duty desk on a wide screen: the list, the chosen incident, the map. Each choice is an address of its own."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from sealwatch.cloud.maps import basemap
from sealwatch.cloud.maps.basemap import Tiles
from sealwatch.cloud.web import desk_views, incident_page, views
from sealwatch.cloud.web import language as language_
from sealwatch.cloud.web.actor import actor_of
from sealwatch.cloud.web.pages import the_permits
from sealwatch.cloud.web.render import Renderer
from sealwatch.cloud.web.rules import sees_evidence
from sealwatch.cloud.web.services import WebServices

PATH: Final = "/desk"


def build(services: WebServices, render: Renderer) -> APIRouter:
    """The route of the wide screen."""
    router = APIRouter(include_in_schema=False)

    @router.get(PATH)
    def desk(request: Request, incident: Annotated[str, Query(max_length=64)] = "") -> Response:
        stamp, now_ms = render.stamp(), services.clock.wall_ms()
        language = language_.of_request(request)
        with services.database.read() as session:
            open_ = views.open_incidents(session)
            silent = views.silent_nodes(session, now_ms=now_ms)
            wanted = incident or (open_[0].incident_id if open_ else "")
            found = views.incident(session, wanted) if wanted else None
            permits = the_permits(session, found, services) if found else []
            on_map, missing = desk_views.spots(session, language, open_, silent)
            values: dict[str, Any] = {
                "open": open_,
                "silent": silent,
                "unreachable": desk_views.unreachable(session, now_ms=now_ms),
            }
        values |= {
            "chosen": found,
            "map": basemap.draw(on_map, tiles_of(services)),
            "missing": missing,
            "marked": sum(spot.mark != "calm" for spot in on_map),
            "stamp": stamp,
        }
        if found is not None:
            values |= incident_page.shared(
                found,
                language=language,
                now_ms=now_ms,
                telemetry=services.telemetry,
                evidence=services.evidence,
                base_url=f"/incidents/{found.card.incident_id}",
                permits=permits,
                sees_evidence=sees_evidence(request, found.card.incident_id),
            )
            values |= incident_page.acting(request, found, language=language, actor=actor_of(request))
        return render.page(request, "desk.html", values, events_url="/events")

    return router


def tiles_of(services: WebServices) -> Tiles | None:
    """The map server, where one is configured."""
    web = services.settings.web
    return Tiles(url=web.map_tiles, datum=web.map_tiles_datum) if web.map_tiles else None
