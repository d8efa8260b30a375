"""Pages of accounts: log in, set a password by a one-time link, one's own account, everybody's, and the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Final

import segno
from fastapi import APIRouter, Form, Query, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from sealwatch.cloud.accounts import audit, proofs, store
from sealwatch.cloud.accounts.proofs import Sealer
from sealwatch.cloud.accounts.store import LoggedIn
from sealwatch.cloud.db.account_tables import Account, ApiToken
from sealwatch.cloud.refused import NotAllowed
from sealwatch.cloud.web import account_login
from sealwatch.cloud.web.access import Attempts, address, safe_target
from sealwatch.cloud.web.forms import Forms
from sealwatch.cloud.web.pages import FormToken
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.render import Renderer
from sealwatch.cloud.web.rules import GRANTABLE, Role
from sealwatch.cloud.web.services import WebServices

_MOST_LINES: Final = 50_000
_STATUS: Final = {"link_gone": 410, "not_there": 404}
Word = Annotated[str, Form(max_length=100)]
Secret = Annotated[str, Form(max_length=200)]
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


class _Pages:
    """What the routes below share."""

    def __init__(self, services: WebServices, render: Renderer, forms: Forms) -> None:
        self.services, self.render, self.forms = services, render, forms
        self.sealer = Sealer(services.secret)
        self.secure = services.settings.web.public_url.startswith("https://")
        self.cookie = account_login.cookie_name(secure=self.secure)
        self.attempts = Attempts(services.clock)

    @property
    def now_ms(self) -> int:
        return self.services.clock.wall_ms()

    def let_in(self, response: Response, token: str) -> None:
        """Lax: who comes from a mail with a link to an incident stays logged in; a foreign POST does not carry it."""
        response.set_cookie(
            self.cookie, token, max_age=store.SESSION_MS // 1000, httponly=True, samesite="lax", secure=self.secure
        )

    def slow_down(self, request: Request) -> None:
        """Raises Problem (429) after too many wrong tries from one address."""
        wait_s = self.attempts.wait_s(address(request))
        if wait_s > 0:
            raise Problem(429, "too_many_attempts", {"Retry-After": str(int(wait_s) + 1)})


def build(services: WebServices, render: Renderer, forms: Forms) -> APIRouter:
    """Every route of accounts. The address of the login is the same as that of the shared token."""
    router, shared = APIRouter(include_in_schema=False), _Pages(services, render, forms)
    _add_login(router, shared)
    _add_welcome(router, shared)
    _add_own(router, shared)
    _add_everybody(router, shared)
    _add_audit(router, shared)
    return router


def _add_login(router: APIRouter, shared: _Pages) -> None:
    @router.get("/login")
    def login_form(request: Request, next: Annotated[str, Query(max_length=500)] = "/") -> Response:  # noqa: A002 - the usual name
        return shared.render.page(request, "account_login.html", {"next": safe_target(next), "wrong": False})

    @router.post("/login")
    def login(
        request: Request, login: Word = "", password: Secret = "", code: Word = "",
        next: Annotated[str, Form(max_length=500)] = "/", form_token: FormToken = "",  # noqa: A002 - the usual name
    ) -> Response:  # fmt: skip
        shared.forms.check(request, form_token)
        shared.slow_down(request)
        outcome = store.log_in(
            shared.services.database, login=login, password=password, code=code, sealer=shared.sealer,
            address=address(request), now_ms=shared.now_ms,
        )  # fmt: skip
        if outcome.name == "wait":
            raise Problem(429, "too_many_attempts", {"Retry-After": str(int(outcome.wait_s) + 1)})
        if outcome.name == "wrong":
            shared.attempts.failed(address(request))
            values = {"next": safe_target(next), "wrong": True}
            return shared.render.page(request, "account_login.html", values, status=401)
        _end(shared, request)  # the browser's session before this one
        response = RedirectResponse(safe_target(next), 303)
        shared.let_in(response, outcome.token)
        return response

    @router.post("/logout")
    def logout(request: Request, form_token: FormToken = "") -> Response:
        shared.forms.check(request, form_token)
        _end(shared, request)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(shared.cookie, secure=shared.secure, httponly=True, samesite="lax")
        return response


def _end(shared: _Pages, request: Request) -> None:
    token = request.cookies.get(shared.cookie)
    if token:
        with shared.services.database.write() as session:
            store.end_session(session, proofs.token_hash(token))


def _add_welcome(router: APIRouter, shared: _Pages) -> None:
    def show(request: Request, token: str, *, fault: str = "", login: str = "", name: str = "") -> Response:
        try:
            with shared.services.database.read() as session:
                link = store.open_link(session, token, now_ms=shared.now_ms)
                account = session.get(Account, link.account_id) if link.account_id else None
        except NotAllowed as refused:
            raise Problem(_STATUS.get(refused.name, 422), refused.name) from None
        secret = shared.sealer.open(link.totp_sealed)
        chosen = account.login if account is not None else login or "admin"
        uri = proofs.totp_uri(secret, chosen)
        values = {
            "token": token, "first": account is None, "login": chosen, "name": account.name if account else name,
            "fault": fault, "secret": " ".join(secret[i : i + 4] for i in range(0, len(secret), 4)), "uri": uri,
            "qr": segno.make(uri, error="m").svg_inline(border=3, omitsize=True, light="#fff", dark="#000"),
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
                sealer=shared.sealer, address=address(request), now_ms=shared.now_ms,
            )  # fmt: skip
        except NotAllowed as refused:
            if refused.name in {"link_gone", "wrong_code"}:
                shared.attempts.failed(address(request))
            return show(request, token, fault=refused.name, login=login, name=name)
        response = shared.render.page(request, "recovery.html", {"codes": done.recovery_codes})
        shared.let_in(response, done.token)
        return response


def _who(request: Request) -> LoggedIn:
    who: LoggedIn = request.state.who
    return who


def _add_own(router: APIRouter, shared: _Pages) -> None:
    def show(request: Request, *, made: str = "", fault: str = "") -> Response:
        who = _who(request)
        with shared.services.database.read() as session:
            tokens = list(
                session.scalars(
                    select(ApiToken)
                    .where(ApiToken.account_id == who.account_id)
                    .order_by(ApiToken.created_at_ms.desc())
                )
            )
            left = len(session.get_one(Account, who.account_id).recovery)
        grantable = sorted(GRANTABLE & account_login.may(who))
        values = {"me": who, "tokens": tokens, "made": made, "fault": fault, "grantable": grantable, "left": left}
        return shared.render.page(request, "account.html", values, status=422 if fault else 200)

    @router.get("/account")
    def own(request: Request) -> Response:
        return show(request)

    @router.post("/account/tokens")
    def make(
        request: Request, name: Word = "", days: Annotated[int, Form()] = 90,
        scope: Annotated[list[str], Form(max_length=20)] = [], form_token: FormToken = "",  # noqa: B006 - FastAPI copies it
    ) -> Response:  # fmt: skip
        shared.forms.check(request, form_token)
        who = _who(request)
        wanted = frozenset(scope) & {str(one) for one in GRANTABLE & account_login.may(who)}
        try:
            with shared.services.database.write() as session:
                made = store.make_token(session, who, name=name, scopes=wanted, days=days, now_ms=shared.now_ms)[1]
        except NotAllowed as refused:
            return show(request, fault=refused.name)
        return show(request, made=made)

    @router.post("/account/tokens/{token_id}/revoke")
    def revoke(request: Request, token_id: str, form_token: FormToken = "") -> Response:
        shared.forms.check(request, form_token)
        _change(shared, lambda session: store.revoke_token(session, _who(request), token_id, now_ms=shared.now_ms))
        return RedirectResponse("/account", 303)

    @router.post("/account/logout-everywhere")
    def everywhere(request: Request, form_token: FormToken = "") -> Response:
        shared.forms.check(request, form_token)
        _change(shared, lambda session: store.end_sessions(session, _who(request).account_id))
        return RedirectResponse("/login", 303)


def _change(shared: _Pages, work: Any) -> Any:
    try:
        with shared.services.database.write() as session:
            return work(session)
    except NotAllowed as refused:
        raise Problem(_STATUS.get(refused.name, 422), refused.name) from None


def _add_everybody(router: APIRouter, shared: _Pages) -> None:
    def show(request: Request, *, made: str = "", made_for: str = "", fault: str = "") -> Response:
        with shared.services.database.read() as session:
            accounts = store.below(session, _who(request).region)
        url = f"{shared.services.settings.web.public_url}/welcome/{made}" if made else ""
        values = {
            "me": _who(request), "accounts": accounts, "link": url, "link_for": made_for, "fault": fault,
            "roles": [str(role) for role in Role],
        }  # fmt: skip
        return shared.render.page(request, "accounts.html", values, status=422 if fault else 200)

    def other(session: Session, request: Request, account_id: str) -> Account:
        """An account of one's own region, and not oneself. Raises NotAllowed (not_there, yourself)."""
        account = session.get(Account, account_id, with_for_update=True)
        if account is None or not account.region.startswith(_who(request).region):
            raise NotAllowed("not_there")
        if account.account_id == _who(request).account_id:
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
        who, login = _who(request), login.strip().lower()
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

    @router.post("/accounts/{account_id}/reset")
    def reset(request: Request, account_id: str, form_token: FormToken = "") -> Response:
        shared.forms.check(request, form_token)

        def work(session: Session) -> tuple[str, str]:
            account, author = other(session, request, account_id), _who(request).actor
            made = store.reset(session, account, sealer=shared.sealer, author=author, now_ms=shared.now_ms)
            return made, account.login

        made, login = _change(shared, work)
        return show(request, made=made, made_for=login)

    @router.post("/accounts/{account_id}/disable")
    def disable(
        request: Request, account_id: str, disabled: Annotated[bool, Form()], form_token: FormToken = ""
    ) -> Response:
        shared.forms.check(request, form_token)
        _change(
            shared,
            lambda session: store.disable(
                session, other(session, request, account_id), disabled=disabled, author=_who(request).actor,
                now_ms=shared.now_ms,
            ),
        )  # fmt: skip
        return RedirectResponse("/accounts", 303)


def _add_audit(router: APIRouter, shared: _Pages) -> None:
    def read(request: Request, actor: str, before: int | None, limit: int) -> list[Any]:
        region = _who(request).region
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
