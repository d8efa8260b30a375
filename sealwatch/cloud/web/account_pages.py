"""Pages of accounts: log in, set a password by a one-time link, everybody's accounts, and the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from sealwatch.cloud.accounts import audit, store
from sealwatch.cloud.db.account_tables import Account
from sealwatch.cloud.refused import NotAllowed
from sealwatch.cloud.web import oidc_routes, own_pages
from sealwatch.cloud.web.access import address, safe_target
from sealwatch.cloud.web.account_shell import (
    AccountShell,
    Secret,
    Word,
    as_problem,
    authenticator_values,
    device_of,
    too_many,
    who_asks,
)
from sealwatch.cloud.web.forms import Forms
from sealwatch.cloud.web.pages import FormToken
from sealwatch.cloud.web.render import Renderer
from sealwatch.cloud.web.rules import Role
from sealwatch.cloud.web.services import WebServices

_MOST_LINES: Final = 50_000
Before = Annotated[int | None, Query(ge=1, le=2**53 - 1)]
Actor = Annotated[str, Query(max_length=100)]


class AuditLineModel(BaseModel):
    """Who did or saw what. `outcome` is the HTTP status where the line is about a request."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    at_ms: int
    actor: str
    action: str
    target: str
    outcome: str
    address: str
    region: str
    detail: dict[str, Any]


class AuditModel(BaseModel):
    items: list[AuditLineModel]
    next: int | None


def build(services: WebServices, render: Renderer, forms: Forms) -> APIRouter:
    """Every route of accounts. The address of the login is the same as that of the shared token."""
    router, shared = APIRouter(include_in_schema=False), AccountShell(services, render, forms)
    own_pages.add(router, shared)
    oidc = services.settings.oidc
    if oidc is not None:
        oidc_routes.add(router, shared, oidc)
    _add_login(router, shared)
    _add_welcome(router, shared)
    _add_everybody(router, shared)
    _add_audit(router, shared)
    return router


def _add_login(router: APIRouter, shared: AccountShell) -> None:
    @router.get("/login")
    def login_form(request: Request, next: Annotated[str, Query(max_length=500)] = "/") -> Response:  # noqa: A002 - the usual name
        values = {"next": safe_target(next), "wrong": False, "oidc": shared.services.settings.oidc}
        return shared.render.page(request, "account_login.html", values)

    @router.post("/login")
    def login(
        request: Request, login: Word = "", password: Secret = "", code: Word = "",
        next: Annotated[str, Form(max_length=500)] = "/", form_token: FormToken = "",  # noqa: A002 - the usual name
    ) -> Response:  # fmt: skip
        shared.forms.check(request, form_token)
        shared.slow_down(request)
        outcome = store.log_in(
            shared.services.database, login=login, password=password, code=code, sealer=shared.sealer,
            device=device_of(request), now_ms=shared.now_ms,
        )  # fmt: skip
        if outcome.name == "wait":
            raise too_many(outcome.wait_s)
        if outcome.name == "wrong":
            shared.attempts.failed(address(request))
            values = {"next": safe_target(next), "wrong": True, "oidc": shared.services.settings.oidc}
            return shared.render.page(request, "account_login.html", values, status=401)
        shared.end_session(request)  # the browser's session before this one
        response = RedirectResponse(safe_target(next), 303)
        shared.let_in(response, outcome.token)
        return response

    @router.post("/logout")
    def logout(request: Request, form_token: FormToken = "") -> Response:
        shared.forms.check(request, form_token)
        shared.end_session(request)
        response = RedirectResponse("/login", 303)
        shared.forget(response)
        return response


def _add_welcome(router: APIRouter, shared: AccountShell) -> None:
    def show(request: Request, token: str, *, fault: str = "", login: str = "", name: str = "") -> Response:
        try:
            with shared.services.database.read() as session:
                link = store.open_link(session, token, now_ms=shared.now_ms)
                account = session.get(Account, link.account_id) if link.account_id else None
        except NotAllowed as refused:
            raise as_problem(refused) from None
        chosen = account.login if account is not None else login or "admin"
        values = {
            "token": token, "first": account is None, "login": chosen, "name": account.name if account else name,
            "fault": fault, **authenticator_values(shared.sealer.open(link.totp_sealed), chosen),
        }  # fmt: skip
        return shared.render.page(request, "welcome.html", values, status=422 if fault else 200)

    @router.get("/welcome/{token}")
    def welcome(request: Request, token: str) -> Response:
        shared.slow_down(request)
        return show(request, token)

    @router.post("/welcome/{token}")
    def redeem(
        request: Request, token: str, login: Word = "", name: Word = "", password: Secret = "", again: Secret = "",
        code: Word = "", form_token: FormToken = "",
    ) -> Response:  # fmt: skip
        shared.forms.check(request, form_token)
        shared.slow_down(request)
        login = login.strip().lower()
        try:
            if password != again:
                raise NotAllowed("passwords_differ")
            done = store.redeem(
                shared.services.database, token, login=login, name=name, password=password, code=code,
                sealer=shared.sealer, device=device_of(request), now_ms=shared.now_ms,
            )  # fmt: skip
        except NotAllowed as refused:
            if refused.name in {"link_gone", "wrong_code"}:
                shared.attempts.failed(address(request))
            return show(request, token, fault=refused.name, login=login, name=name)
        response = shared.render.page(request, "recovery.html", {"codes": done.recovery_codes, "next": "/"})
        shared.let_in(response, done.token)
        return response


def _add_everybody(router: APIRouter, shared: AccountShell) -> None:
    def show(request: Request, *, made: str = "", made_for: str = "", fault: str = "") -> Response:
        with shared.services.database.read() as session:
            accounts = store.below(session, who_asks(request).region)
        url = f"{shared.services.settings.web.public_url}/welcome/{made}" if made else ""
        values = {
            "me": who_asks(request), "accounts": accounts, "link": url, "link_for": made_for, "fault": fault,
            "roles": [str(role) for role in Role],
        }  # fmt: skip
        return shared.render.page(request, "accounts.html", values, status=422 if fault else 200)

    def other(session: Session, request: Request, account_id: str) -> Account:
        """An account of one's own region, and not oneself. Raises NotAllowed (not_there, yourself)."""
        account = session.get(Account, account_id, with_for_update=True)
        if account is None or not account.region.startswith(who_asks(request).region):
            raise NotAllowed("not_there")
        if account.account_id == who_asks(request).account_id:
            raise NotAllowed("yourself")
        return account

    @router.get("/accounts")
    def everybody(request: Request) -> Response:
        return show(request)

    @router.post("/accounts")
    def invite(
        request: Request, role: Annotated[Role, Form()], login: Word = "", name: Word = "", region: Word = "",
        person_id: Word = "", form_token: FormToken = "",
    ) -> Response:  # fmt: skip
        shared.forms.check(request, form_token)
        who, login = who_asks(request), login.strip().lower()
        try:
            if not region.strip().startswith(who.region):
                raise NotAllowed("bad_region")
            with shared.services.database.write() as session:
                account = store.invite(
                    session, login=login, name=name, role=str(role), region=region.strip(),
                    person_id=person_id.strip(), author=who.actor, now_ms=shared.now_ms,
                )  # fmt: skip
                made = store.make_link(session, account, sealer=shared.sealer, author=who.actor, now_ms=shared.now_ms)
        except NotAllowed as refused:
            return show(request, fault=refused.name)
        return show(request, made=made, made_for=login)

    @router.post("/accounts/{account_id}/change")
    def change(
        request: Request, account_id: str, role: Annotated[Role, Form()], name: Word = "", region: Word = "",
        person_id: Word = "", form_token: FormToken = "",
    ) -> Response:  # fmt: skip
        shared.forms.check(request, form_token)

        def work(session: Session) -> None:
            account = other(session, request, account_id)
            if not region.strip().startswith(who_asks(request).region):
                raise NotAllowed("bad_region")
            store.change(
                session, account, name=name, role=str(role), region=region.strip(), person_id=person_id.strip(),
                author=who_asks(request).actor, now_ms=shared.now_ms,
            )  # fmt: skip

        shared.change(work)
        return RedirectResponse("/accounts", 303)

    @router.post("/accounts/{account_id}/reset")
    def reset(request: Request, account_id: str, form_token: FormToken = "") -> Response:
        shared.forms.check(request, form_token)

        def work(session: Session) -> tuple[str, str]:
            account, author = other(session, request, account_id), who_asks(request).actor
            made = store.reset(session, account, sealer=shared.sealer, author=author, now_ms=shared.now_ms)
            return made, account.login

        made, login = shared.change(work)
        return show(request, made=made, made_for=login)

    @router.post("/accounts/{account_id}/disable")
    def disable(
        request: Request, account_id: str, disabled: Annotated[bool, Form()], form_token: FormToken = ""
    ) -> Response:
        shared.forms.check(request, form_token)
        shared.change(
            lambda session: store.disable(
                session, other(session, request, account_id), disabled=disabled, author=who_asks(request).actor,
                now_ms=shared.now_ms,
            ),
        )  # fmt: skip
        return RedirectResponse("/accounts", 303)


def _add_audit(router: APIRouter, shared: AccountShell) -> None:
    def read(request: Request, actor: str, before: int | None, limit: int) -> list[Any]:
        region = who_asks(request).region
        with shared.services.database.read() as session:
            return list(audit.entries(session, region=region, actor=actor, before=before, limit=limit))

    @router.get("/audit")
    def page(request: Request, actor: Actor = "", before: Before = None) -> Response:
        lines = read(request, actor, before, 101)
        values = {"lines": lines[:100], "older": lines[99].id if len(lines) > 100 else None, "actor": actor}
        return shared.render.page(request, "audit.html", values)

    @router.get("/audit.csv")
    def export(request: Request, actor: Actor = "") -> Response:
        content = audit.as_csv(read(request, actor, None, _MOST_LINES))
        headers = {"Content-Disposition": 'attachment; filename="sealwatch-audit.csv"'}
        # With a byte-order mark: without one the usual spreadsheets take Chinese for something else.
        return Response("\ufeff" + content, media_type="text/csv; charset=utf-8", headers=headers)

    @router.get("/api/v1/audit", include_in_schema=True, tags=["audit"])
    def lines(
        request: Request, actor: Actor = "", before: Before = None, limit: Annotated[int, Query(ge=1, le=500)] = 100
    ) -> AuditModel:
        """The audit log, the newest lines first; give `next` as `before` for the older ones."""
        found = read(request, actor, before, limit)
        items = [AuditLineModel.model_validate(line) for line in found]
        return AuditModel(items=items, next=found[-1].id if len(found) == limit else None)
