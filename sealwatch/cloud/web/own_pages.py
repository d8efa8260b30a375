"""One's own account: password, authenticator, the devices that are logged in, tokens of programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from sqlalchemy import select
from starlette.responses import RedirectResponse, Response

from sealwatch.cloud.accounts import own, sessions, store
from sealwatch.cloud.accounts.own import Offer, Waiting
from sealwatch.cloud.accounts.proofs import Sealer
from sealwatch.cloud.db.account_tables import Account, ApiToken
from sealwatch.cloud.refused import NotAllowed
from sealwatch.cloud.web import account_login, push_routes
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
from sealwatch.cloud.web.device_names import device_name
from sealwatch.cloud.web.pages import FormToken
from sealwatch.cloud.web.rules import GRANTABLE


def add(router: APIRouter, shared: AccountShell) -> None:
    """Add the routes of one's own account."""
    _add_page(router, shared)
    _add_password(router, shared)
    _add_authenticator(router, shared)
    _add_devices(router, shared)
    push_routes.add(router, shared)


def _show(shared: AccountShell, request: Request, *, made: str = "", fault: str = "", at: str = "") -> Response:
    """The page; `at` names the section that a fault belongs to."""
    who = who_asks(request)
    with shared.services.database.read() as session:
        tokens = select(ApiToken).where(ApiToken.account_id == who.account_id).order_by(ApiToken.created_at_ms.desc())
        values = {
            "tokens": list(session.scalars(tokens)),
            "left": len(session.get_one(Account, who.account_id).recovery),
            "has_password": bool(session.get_one(Account, who.account_id).password_hash),
            "devices": [
                (row, device_name(row.agent)) for row in sessions.living(session, who.account_id, now_ms=shared.now_ms)
            ],
        }
        values["push"] = push_routes.values(session, shared.services, who)
    grantable = sorted(GRANTABLE & account_login.may(who))
    values |= {
        "me": who, "made": made, "fault": fault, "fault_at": at, "grantable": grantable,
        "changed": request.query_params.get("changed") == "password",
    }  # fmt: skip
    return shared.render.page(request, "account.html", values, status=422 if fault else 200)


def _add_page(router: APIRouter, shared: AccountShell) -> None:
    @router.get("/account")
    def page(request: Request) -> Response:
        return _show(shared, request)

    @router.post("/account/tokens")
    def make(
        request: Request, name: Word = "", days: Annotated[int, Form()] = 90,
        scope: Annotated[list[str], Form(max_length=20)] = [], form_token: FormToken = "",  # noqa: B006 - FastAPI copies it
    ) -> Response:  # fmt: skip
        shared.forms.check(request, form_token)
        who = who_asks(request)
        wanted = frozenset(scope) & {str(one) for one in GRANTABLE & account_login.may(who)}
        try:
            with shared.services.database.write() as session:
                made = store.make_token(session, who, name=name, scopes=wanted, days=days, now_ms=shared.now_ms)[1]
        except NotAllowed as refused:
            return _show(shared, request, fault=refused.name, at="tokens")
        return _show(shared, request, made=made)

    @router.post("/account/tokens/{token_id}/revoke")
    def revoke(request: Request, token_id: str, form_token: FormToken = "") -> Response:
        shared.forms.check(request, form_token)
        shared.change(lambda session: store.revoke_token(session, who_asks(request), token_id, now_ms=shared.now_ms))
        return RedirectResponse("/account", 303)


def _add_password(router: APIRouter, shared: AccountShell) -> None:
    @router.post("/account/password")
    def change(
        request: Request, old: Secret = "", password: Secret = "", again: Secret = "", form_token: FormToken = ""
    ) -> Response:
        shared.forms.check(request, form_token)
        try:
            if password != again:
                raise NotAllowed("passwords_differ")
            token = own.change_password(
                shared.services.database, who_asks(request), old=old, new=password, device=device_of(request),
                now_ms=shared.now_ms,
            )  # fmt: skip
        except NotAllowed as refused:
            return _show(shared, request, fault=refused.name, at="password")
        except Waiting as waiting:
            raise too_many(waiting.wait_s) from None
        response = RedirectResponse("/account?changed=password", 303)
        shared.let_in(response, token)
        return response


def _add_authenticator(router: APIRouter, shared: AccountShell) -> None:
    offers = Sealer(shared.services.secret, "authenticator.v1")

    def show(request: Request, offer: Offer, fault: str = "") -> Response:
        values = {"sealed": offer.sealed, "fault": fault} | authenticator_values(offer.secret, who_asks(request).login)
        return shared.render.page(request, "authenticator.html", values, status=422 if fault else 200)

    @router.get("/account/authenticator")
    def page(request: Request) -> Response:
        return show(request, own.offer_authenticator(who_asks(request), offers, now_ms=shared.now_ms))

    @router.post("/account/authenticator")
    def change(
        request: Request, sealed: Annotated[str, Form(max_length=600)] = "", password: Secret = "", old_code: Word = "",
        code: Word = "", form_token: FormToken = "",
    ) -> Response:  # fmt: skip
        shared.forms.check(request, form_token)
        try:
            offer = own.read_offer(who_asks(request), offers, sealed, now_ms=shared.now_ms)
        except NotAllowed as refused:
            raise as_problem(refused) from None
        try:
            done = own.change_authenticator(
                shared.services.database, who_asks(request), offer, password=password, old_code=old_code, new_code=code,
                sealer=shared.sealer, device=device_of(request), now_ms=shared.now_ms,
            )  # fmt: skip
        except NotAllowed as refused:
            return show(request, offer, refused.name)
        except Waiting as waiting:
            raise too_many(waiting.wait_s) from None
        values = {"codes": done.recovery_codes, "next": "/account"}
        response = shared.render.page(request, "recovery.html", values)
        shared.let_in(response, done.token)
        return response


def _add_devices(router: APIRouter, shared: AccountShell) -> None:
    @router.post("/account/sessions/{session_hash}/end")
    def end(request: Request, session_hash: str, form_token: FormToken = "") -> Response:
        shared.forms.check(request, form_token)
        shared.change(lambda session: own.end_session(session, who_asks(request), session_hash, now_ms=shared.now_ms))
        return RedirectResponse("/account", 303)

    @router.post("/account/logout-everywhere")
    def everywhere(request: Request, form_token: FormToken = "") -> Response:
        shared.forms.check(request, form_token)
        shared.change(lambda session: own.end_sessions(session, who_asks(request), now_ms=shared.now_ms))
        response = RedirectResponse("/login", 303)
        shared.forget(response)
        return response
