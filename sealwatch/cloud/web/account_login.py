"""Logins by accounts: who a request comes from, before any route sees it; and the audit log's line about it."""

from __future__ import annotations

import functools
import re
from typing import Any, Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sealwatch.cloud.accounts import audit, sessions, store
from sealwatch.cloud.accounts.sessions import LoggedIn
from sealwatch.cloud.auth.links import LinkRefusal
from sealwatch.cloud.db.scope import SCOPE
from sealwatch.cloud.incidents import asked
from sealwatch.cloud.web import problems, rules
from sealwatch.cloud.web.access import Attempts, address, bearer, is_open
from sealwatch.cloud.web.actor import actor_of
from sealwatch.cloud.web.forms import refuse_foreign
from sealwatch.cloud.web.problems import ErrorPage, Problem
from sealwatch.cloud.web.rules import MAY, Permission, Role
from sealwatch.cloud.web.services import WebServices

_LINK: Final = re.compile(r"/a/([^/]+)")


def cookie_name(*, secure: bool) -> str:
    """Behind TLS with the prefix that keeps other hosts of the domain from setting it (RFC 6265bis, 4.1.3.2)."""
    return "__Host-sealwatch" if secure else "sealwatch_account"


def may(who: LoggedIn) -> frozenset[Permission]:
    """What somebody may: what their role may, and of a program what its token holds of that."""
    of_role = MAY[Role(who.role)]
    return of_role if who.scopes is None else of_role & {Permission(name) for name in who.scopes}


class AccountMiddleware:
    """Finds out who asks, on every path that is not open by name; sends people to the login, refuses programs."""

    def __init__(self, app: ASGIApp, *, services: WebServices, error_page: ErrorPage, cookie: str) -> None:
        self._app, self._services, self._error_page, self._cookie = app, services, error_page, cookie
        self._attempts = Attempts(services.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        who, refusal = await run_in_threadpool(self._identify, request)
        if who is None:
            await (refusal or self._refuse(request))(scope, receive, send)
            return
        state = request.state
        state.who, state.may, state.actor = who, may(who), who.actor
        state.was_asked = functools.partial(self._was_asked, who)
        if who.region and Permission.OPERATE in state.may:
            state.may -= {Permission.OPERATE}  # figures of every county at once: for those who see every county
        token = SCOPE.set(who.region)
        try:
            await self._app(scope, receive, send)
        finally:
            SCOPE.reset(token)

    def _was_asked(self, who: LoggedIn, incident_id: str) -> bool:
        kind, _, person_id = who.actor.partition(":")
        with self._services.database.read() as session:
            return kind == "person" and asked.was_asked(session, person_id, incident_id)

    def _identify(self, request: Request) -> tuple[LoggedIn | None, Response | None]:
        now_ms, given = self._services.clock.wall_ms(), bearer(request.headers)
        if given is None:
            cookie = request.cookies.get(self._cookie, "")
            who = sessions.by_session(self._services.database, cookie, now_ms=now_ms) if cookie else None
            if who is not None and request.method not in {"GET", "HEAD"}:
                try:
                    refuse_foreign(request)
                except Problem:
                    return None, problems.respond(request, self._error_page, 403, "form_refused")
            return who, None
        wait_s = self._attempts.wait_s(address(request))
        if wait_s > 0:
            headers = {"Retry-After": str(int(wait_s) + 1)}
            return None, problems.respond(request, self._error_page, 429, "too_many_attempts", headers=headers)
        who = store.by_token(self._services.database, given, now_ms=now_ms)
        if who is None:
            self._attempts.failed(address(request))
        return who, None

    def _refuse(self, request: Request) -> Response:
        if problems.wants_page(request) and request.method in {"GET", "HEAD"} and bearer(request.headers) is None:
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?next={quote(target, safe='/')}", 303)
        headers = {"WWW-Authenticate": "Bearer"}
        return problems.respond(request, self._error_page, 401, "account_needed", headers=headers)


class AuditTrail:
    """Writes who changed what, and who was given a picture, clip or pack, before the response leaves.

    What can't be written down is not given out.
    """

    def __init__(self, app: ASGIApp, *, services: WebServices) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_noted(request, message["status"]):
                await run_in_threadpool(self._note, request, message["status"])
            await send(message)

        await self._app(scope, receive, send_noted)

    def _note(self, request: Request, status: int) -> None:
        who: LoggedIn | None = getattr(request.state, "who", None)
        link = _LINK.match(request.url.path)
        actor, target, detail = actor_of(request), request.url.path, dict[str, Any]()
        if link is not None:
            read = self._services.links.read(link[1], now_ms=self._services.clock.wall_ms())
            named = ("nobody", "") if isinstance(read, LinkRefusal) else (f"person:{read.person_id}", read.incident_id)
            # Never the link itself: it is a key.
            actor, target, detail = named[0], named[1] + request.url.path[link.end() :], {"by": "link"}
        elif who is not None and who.scopes is not None:
            detail = {"by": "token"}
        with self._services.database.write() as session:
            audit.note(
                session,
                at_ms=self._services.clock.wall_ms(),
                actor=actor,
                action=action_of(request.method, request.scope["route"].path),
                target=target,
                outcome=str(status),
                address=address(request),
                region=who.region if who is not None else "",
                detail=detail,
            )


def action_of(method: str, template: str) -> str:
    """A short name: what kind of thing, and what was done with it: "incidents.close", "incidents.pictures"."""
    words = [word for word in template.split("/") if word and not word.startswith("{") and word not in {"api", "v1"}]
    return ".".join(["links" if word == "a" else word for word in words]) or method.lower()


def _is_noted(request: Request, status: int) -> bool:
    route = request.scope.get("route")
    if route is None:
        return False
    wanted = rules.permission(request.method, route.path)
    if wanted in {None, Permission.OPEN, Permission.SELF, Permission.ACCOUNTS}:  # the last two write their own lines
        return False
    if wanted is Permission.OWN_KEY and not route.path.startswith("/a/"):  # nodes, whose messages are kept signed
        return False
    if request.method not in {"GET", "HEAD"}:
        return True
    gives = wanted in {Permission.EVIDENCE, Permission.AUDIT} or "{sha256}" in route.path
    # A film is fetched in many pieces: its first one tells.
    return gives and status < 400 and request.headers.get("range", "bytes=0-").startswith("bytes=0-")
