"""Logging in by the county's identity provider: away to it, and back."""

from __future__ import annotations

import logging
import ssl
from typing import Annotated, Final

import msgspec
from cryptography.fernet import InvalidToken
from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from sealwatch.base.clock import Clock
from sealwatch.base.settings import SettingsError
from sealwatch.cloud.accounts import audit, oidc_accounts
from sealwatch.cloud.accounts.oidc import Oidc, OidcRefusal, Pending
from sealwatch.cloud.accounts.proofs import Sealer
from sealwatch.cloud.config import OidcSettings
from sealwatch.cloud.refused import NotAllowed
from sealwatch.cloud.web.access import address, safe_target
from sealwatch.cloud.web.account_shell import AccountShell, device_of
from sealwatch.cloud.web.problems import Problem

logger = logging.getLogger(__name__)
BACK: Final = "/login/oidc/back"
_MINUTES: Final = 10
_STATUS: Final = {"provider_away": 503, "provider_broken": 503}


def open_provider(settings: OidcSettings, public_url: str, clock: Clock) -> Oidc:
    """The provider. Raises SettingsError where the secret or the CA file can't be used."""
    try:
        return Oidc(settings, redirect_uri=f"{public_url}{BACK}", clock=clock)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"oidc.ca_file: {settings.ca_file}: cannot be used: {error}") from None


def add(router: APIRouter, shared: AccountShell, settings: OidcSettings) -> None:
    """Add the two routes. Raises SettingsError as `open_provider` does."""
    cookie = "__Host-sealwatch_oidc" if shared.secure else "sealwatch_oidc"
    sealer = Sealer(shared.services.secret, "oidc.v1")
    provider = open_provider(settings, shared.services.settings.web.public_url, shared.services.clock)

    @router.get("/login/oidc")
    def away(request: Request, next: Annotated[str, Query(max_length=500)] = "/") -> Response:  # noqa: A002 - the usual name
        shared.slow_down(request)
        try:
            url, pending = provider.begin(safe_target(next), until_ms=shared.now_ms + _MINUTES * 60_000)
        except OidcRefusal as refusal:
            raise _problem(shared, request, refusal) from None
        response = RedirectResponse(url, 303)
        sealed = sealer.seal(msgspec.json.encode(pending).decode())
        # Lax: the way back begins at the provider.
        response.set_cookie(cookie, sealed, max_age=_MINUTES * 60, httponly=True, samesite="lax", secure=shared.secure)
        return response

    @router.get(BACK)
    def back(request: Request) -> Response:
        shared.slow_down(request)
        try:
            pending = _pending(sealer, request.cookies.get(cookie, ""))
            claims = provider.finish(pending, dict(request.query_params), now_ms=shared.now_ms)
            with shared.services.database.write() as session:
                token = oidc_accounts.enter(
                    session, claims, claim=settings.claim, device=device_of(request), now_ms=shared.now_ms
                )
        except OidcRefusal as refusal:
            raise _problem(shared, request, refusal) from None
        except NotAllowed as refused:
            raise _problem(shared, request, OidcRefusal(refused.name)) from None
        shared.end_session(request)  # the one before
        response = RedirectResponse(pending.target, 303)
        response.delete_cookie(cookie, secure=shared.secure, httponly=True, samesite="lax")
        shared.let_in(response, token)
        return response


def _pending(sealer: Sealer, sealed: str) -> Pending:
    """What the browser brought back. Raises OidcRefusal where it is not what this service gave it."""
    try:
        return msgspec.json.decode(sealer.open(sealed), type=Pending)
    except (InvalidToken, msgspec.MsgspecError, UnicodeError):
        raise OidcRefusal("answer_foreign", "cookie") from None


def _problem(shared: AccountShell, request: Request, refusal: OidcRefusal) -> Problem:
    """The page that says it. What the provider itself said stands in the log of the service, not on the page."""
    logger.warning("login by the identity provider: %s", refusal)
    if refusal.name not in _STATUS:
        shared.attempts.failed(address(request))
        with shared.services.database.write() as session:
            audit.note(
                session, at_ms=shared.now_ms, actor="nobody", action="login", outcome=refusal.name[:32],
                address=address(request), detail={"by": "oidc"},
            )  # fmt: skip
    name = refusal.name if refusal.name.startswith("oidc_") else f"oidc_{refusal.name}"
    return Problem(_STATUS.get(refusal.name, 403), name)
