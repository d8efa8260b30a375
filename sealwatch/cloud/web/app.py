"""The web application: pages, answer links, live updates, JSON API, metrics, behind one guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Form, Query, Request
from sqlalchemy import text
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse, Response

from sealwatch import __version__
from sealwatch.base.text import say
from sealwatch.cloud.answering import http as answering_http
from sealwatch.cloud.duty import http as duty_http
from sealwatch.cloud.enrolment import http as enrolment_http
from sealwatch.cloud.evidence import http
from sealwatch.cloud.evidence.preview import Previews
from sealwatch.cloud.load import http as load_http
from sealwatch.cloud.permits import http as permits_http
from sealwatch.cloud.silences import http as silences_http
from sealwatch.cloud.updates import files as release_files
from sealwatch.cloud.web import (
    account_pages,
    answers,
    api,
    desk,
    document,
    duty_pages,
    guard,
    metrics,
    once,
    pages,
    problems,
    rules,
    site_pages,
    steps_api,
)
from sealwatch.cloud.web import language as language_
from sealwatch.cloud.web.access import COOKIE, Access, AccessMiddleware, address, safe_target
from sealwatch.cloud.web.account_login import AccountMiddleware, AuditTrail, cookie_name
from sealwatch.cloud.web.events import Hub
from sealwatch.cloud.web.forms import Forms
from sealwatch.cloud.web.journal import Journal
from sealwatch.cloud.web.pages import FormToken
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.render import Renderer
from sealwatch.cloud.web.services import WebServices, access_token

_SMALLEST_TO_COMPRESS_BYTES: Final = 800


def create_app(services: WebServices, *, hub: Hub | None = None) -> FastAPI:
    """The application. `hub` is for whoever has to end its streams before the server stops (see `server`).

    Raises SettingsError where the pages would be open to a network without a token.
    """
    web = services.settings.web
    secure = web.public_url.startswith("https://")
    hub = hub or Hub(services.changes)
    forms = Forms(services.secret, secure=secure)
    access = Access(access_token(services), services.secret, services.clock, secure=secure)
    render = Renderer(clock=services.clock, forms=forms, hub=hub, login_wanted=access.wanted or web.login == "accounts")
    previews = Previews()
    headers = guard.security_headers(web)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        hub.start()
        yield
        hub.close()

    app = FastAPI(
        title="SealWatch",
        version=__version__,
        description="Incidents of sealed sites. Times are milliseconds since 1970-01-01T00:00:00Z.",
        docs_url=None,  # the usual viewers load their code from a CDN
        redoc_url=None,
        openapi_url=None,  # served below, as a route with a rule like every other one
        dependencies=[Depends(rules.gate)],
        lifespan=lifespan,
    )
    problems.install(app, render.error_page, headers)
    app.add_middleware(once.OncePerKey, services=services)
    app.add_middleware(AuditTrail, services=services)
    if web.login == "accounts":
        cookie = cookie_name(secure=secure)
        app.add_middleware(AccountMiddleware, services=services, error_page=render.error_page, cookie=cookie)
    else:
        app.add_middleware(AccessMiddleware, access=access, error_page=render.error_page)
    app.add_middleware(GZipMiddleware, minimum_size=_SMALLEST_TO_COMPRESS_BYTES)
    app.add_middleware(guard.Guard, hosts=guard.known_hosts(web), headers=headers, error_page=render.error_page)
    app.add_middleware(Journal)  # the last one added is the first one passed
    app.include_router(pages.build(services, render, forms, previews))
    app.include_router(desk.build(services, render))
    app.include_router(site_pages.build(services, render, forms, previews))
    app.include_router(duty_pages.build(services, render, forms))
    app.include_router(answers.build(services, render, previews, hub))
    app.include_router(api.build(services))
    app.include_router(steps_api.build(services))
    app.include_router(answering_http.build(services))
    app.include_router(duty_http.build(services))
    app.include_router(load_http.build(services))
    app.include_router(permits_http.build(services))
    app.include_router(silences_http.build(services))
    if services.receiver is not None:
        app.include_router(http.build(services.receiver))
        if services.releases is not None:
            app.include_router(release_files.build(services.releases, services.receiver))
    if services.enrolment is not None:
        app.include_router(enrolment_http.build(services.enrolment))
    if web.login == "accounts":
        app.include_router(account_pages.build(services, render, forms))
    else:
        _add_login(app, access, forms, render)
    _add_service_routes(app, services, hub, render)
    return app


def _add_login(app: FastAPI, access: Access, forms: Forms, render: Renderer) -> None:
    @app.get("/login", include_in_schema=False)
    def login_form(request: Request, next: Annotated[str, Query(max_length=500)] = "/") -> Response:  # noqa: A002 - the usual name of this parameter
        if not access.wanted:
            return RedirectResponse(safe_target(next), 303)
        return render.page(request, "login.html", {"next": safe_target(next), "wrong": False})

    @app.post("/login", include_in_schema=False)
    def login(
        request: Request,
        token: Annotated[str, Form(max_length=500)],
        next: Annotated[str, Form(max_length=500)] = "/",  # noqa: A002 - the usual name of this parameter
        form_token: FormToken = "",
    ) -> Response:
        forms.check(request, form_token)
        wait_s = access.attempts.wait_s(address(request))
        if wait_s > 0:
            raise Problem(429, "too_many_attempts", {"Retry-After": str(int(wait_s) + 1)})
        if not access.token_is_right(token):
            access.attempts.failed(address(request))
            return render.page(request, "login.html", {"next": safe_target(next), "wrong": True}, status=401)
        response = RedirectResponse(safe_target(next), 303)
        access.grant(response)
        return response

    @app.post("/logout", include_in_schema=False)
    def logout(request: Request, form_token: FormToken = "") -> Response:
        forms.check(request, form_token)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE)
        return response


def _add_service_routes(app: FastAPI, services: WebServices, hub: Hub, render: Renderer) -> None:
    @app.get("/events", include_in_schema=False)
    async def events(request: Request, seen: Annotated[str | None, Query(max_length=64)] = None) -> Response:
        return hub.response(request.headers.get("last-event-id", seen))

    @app.get("/healthz", tags=["service"], responses=problems.documented(503))
    def healthz() -> dict[str, str]:
        """200 while the service can read its database, else 503."""
        with services.database.read() as session:
            session.execute(text("SELECT count(*) FROM sites"))
        return {"status": "ok"}

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        return document.describe(app)

    @app.get("/metrics", include_in_schema=False)
    def figures() -> Response:
        return Response(metrics.exposition(services, hub), media_type=metrics.MEDIA_TYPE)

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        asset = render.assets.get(name)
        if asset is None:
            raise Problem(404, "not_found")
        # The address carries a hash of the content, so that a browser never asks twice for the same file.
        caching = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(asset.data, media_type=asset.media_type, headers=caching)

    @app.get("/sw.js", include_in_schema=False)
    def service_worker() -> Response:
        # Asked for anew at each visit, so that a telephone never lives with an old one.
        data = render.assets["outbox.js"].data + render.assets["sw.js"].data
        return Response(data, media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    @app.get("/offline", include_in_schema=False)
    def offline(request: Request) -> Response:
        language = language_.of_request(request)
        title, detail = (say(language, f"outbox.offline_{part}") for part in ("title", "detail"))
        return render.page(request, "error.html", {"title": title, "detail": detail, "status": "…"})

    @app.get("/favicon.ico", include_in_schema=False)
    def favicon() -> Response:
        return RedirectResponse("/static/mark.svg", 301)
