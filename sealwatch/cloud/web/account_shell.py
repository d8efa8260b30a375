"""What all pages of accounts share: cookies, limits of attempts, QR codes, refusals as problems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import segno
from fastapi import Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from sealwatch.cloud.accounts import proofs, sessions
from sealwatch.cloud.accounts.proofs import Sealer
from sealwatch.cloud.accounts.sessions import Device, LoggedIn
from sealwatch.cloud.refused import NotAllowed
from sealwatch.cloud.web import account_login
from sealwatch.cloud.web.access import Attempts, address
from sealwatch.cloud.web.forms import Forms
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.render import Renderer
from sealwatch.cloud.web.services import WebServices

_STATUS: Final = {"link_gone": 410, "not_there": 404}
Word = Annotated[str, Form(max_length=100)]
Secret = Annotated[str, Form(max_length=200)]
T = TypeVar("T")


class AccountShell:
    """The service as the pages of accounts see it."""

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
            self.cookie, token, max_age=sessions.SESSION_MS // 1000, httponly=True, samesite="lax", secure=self.secure
        )

    def forget(self, response: Response) -> None:
        """Take the session's cookie away."""
        response.delete_cookie(self.cookie, secure=self.secure, httponly=True, samesite="lax")

    def end_session(self, request: Request) -> None:
        """End the session that this browser has."""
        token = request.cookies.get(self.cookie)
        if token:
            with self.services.database.write() as session:
                sessions.end(session, proofs.token_hash(token))

    def slow_down(self, request: Request) -> None:
        """Raises Problem (429) after too many wrong tries from one address."""
        wait_s = self.attempts.wait_s(address(request))
        if wait_s > 0:
            raise too_many(wait_s)

    def change(self, work: Callable[[Session], T]) -> T:
        """Do the work in a transaction. Raises Problem where it is not allowed."""
        try:
            with self.services.database.write() as session:
                return work(session)
        except NotAllowed as refused:
            raise as_problem(refused) from None


def too_many(wait_s: float) -> Problem:
    """Nothing for so many seconds."""
    return Problem(429, "too_many_attempts", {"Retry-After": str(int(wait_s) + 1)})


def as_problem(refused: NotAllowed) -> Problem:
    """The page or document that says why something is not allowed."""
    return Problem(_STATUS.get(refused.name, 422), refused.name)


def who_asks(request: Request) -> LoggedIn:
    """Whoever the login found."""
    who: LoggedIn = request.state.who
    return who


def device_of(request: Request) -> Device:
    """Where a login comes from."""
    return Device(address(request), request.headers.get("user-agent", ""))


def authenticator_values(secret: str, login: str) -> dict[str, Any]:
    """What a page shows of a new secret: its address, as a QR code, and by hand."""
    uri = proofs.totp_uri(secret, login)
    qr = segno.make(uri, error="m").svg_inline(border=3, omitsize=True, light="#fff", dark="#000")
    return {"uri": uri, "qr": qr, "secret": " ".join(secret[i : i + 4] for i in range(0, len(secret), 4))}
