"""The duty desk's token: asked for once, then a signed cookie; programs send it as a bearer token.

Without a configured token nothing is asked (the service then listens on loopback alone). Answer links, /healthz and
the style sheet never want it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict, deque
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sealwatch.base.clock import Clock
from sealwatch.cloud.auth.secret import derive
from sealwatch.cloud.web import problems
from sealwatch.cloud.web.problems import ErrorPage

COOKIE: Final = "sealwatch_session"
SESSION_S: Final = 12 * 3600
# Nodes sign every request themselves; carriers carry a token in the path.
_OPEN_PREFIXES: Final = ("/a/", "/welcome/", "/static/", "/evidence/v1/", "/enrolment/v1/", "/releases/v1/")
_OPEN_PATHS: Final = frozenset(
    {"/healthz", "/login", "/login/oidc", "/login/oidc/back", "/favicon.ico", "/sw.js", "/offline"}
)


class Attempts:
    """Limits wrong tokens per address: `most` within `window_s`, then none until the oldest is out of the window."""

    def __init__(self, clock: Clock, *, most: int = 10, window_s: float = 300.0, most_addresses: int = 10_000) -> None:
        self._clock, self._most, self._window_s, self._most_addresses = clock, most, window_s, most_addresses
        self._lock = threading.Lock()
        self._failed_s: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try again; 0 when it may now."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            failed = self._failed_s.get(address)
            while failed and now_s - failed[0] >= self._window_s:
                failed.popleft()
            if not failed:
                self._failed_s.pop(address, None)
                return 0.0
            return self._window_s - (now_s - failed[0]) if len(failed) >= self._most else 0.0

    def failed(self, address: str) -> None:
        """Note a wrong token."""
        with self._lock:
            self._failed_s.setdefault(address, deque(maxlen=self._most)).append(self._clock.monotonic_s())
            self._failed_s.move_to_end(address)
            while len(self._failed_s) > self._most_addresses:
                self._failed_s.popitem(last=False)


class Access:
    """Who may see the pages."""

    def __init__(self, token: str, secret: bytes, clock: Clock, *, secure: bool) -> None:
        self._token_hash = hashlib.sha256(token.encode()).digest()
        # Bound to the token as well: a changed token ends every session.
        self._key = derive(secret, "session.v1") + self._token_hash
        self._clock, self._secure = clock, secure
        self.wanted = bool(token)
        self.attempts = Attempts(clock)

    def token_is_right(self, given: str) -> bool:
        """Compares in constant time."""
        return hmac.compare_digest(hashlib.sha256(given.encode()).digest(), self._token_hash)

    def grant(self, response: Response) -> None:
        """Set the session cookie."""
        body = f"{self._clock.wall_ms() // 1000 + SESSION_S}.{secrets.token_hex(8)}"
        response.set_cookie(
            COOKIE,
            f"{body}.{self._mac(body)}",
            max_age=SESSION_S,
            httponly=True,
            # Lax, not strict: who comes from a mail with a link to an incident stays logged in. Changes are made by
            # POST alone, which a lax cookie does not travel with from elsewhere.
            samesite="lax",
            secure=self._secure,
        )

    def holds_session(self, cookie: str) -> bool:
        """Whether the cookie is ours and still valid."""
        body, _, mac = cookie.rpartition(".")
        if not body or not hmac.compare_digest(mac.encode(), self._mac(body).encode()):
            return False
        return self._clock.wall_ms() // 1000 < int(body.partition(".")[0])

    def _mac(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), hashlib.sha256).hexdigest()


def address(request: Request) -> str:
    """Where a request comes from, for the limit of attempts."""
    return request.client.host if request.client else "unknown"


def safe_target(target: str) -> str:
    """A path on this service to go to after the login; anything else is the front page."""
    harmless = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if harmless else "/"


class AccessMiddleware:
    """Asks for the session or the bearer token on every path that is not open by name."""

    def __init__(self, app: ASGIApp, *, access: Access, error_page: ErrorPage) -> None:
        self._app, self._access, self._error_page = app, access, error_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._access.wanted or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = self._refusal(request)
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        given = bearer(request.headers)
        if given is None:
            if self._access.holds_session(request.cookies.get(COOKIE, "")):
                return None
        else:
            wait_s = self._access.attempts.wait_s(address(request))
            if wait_s > 0:
                headers = {"Retry-After": str(int(wait_s) + 1)}
                return problems.respond(request, self._error_page, 429, "too_many_attempts", headers=headers)
            if self._access.token_is_right(given):
                return None
            self._access.attempts.failed(address(request))
        if problems.wants_page(request) and request.method in {"GET", "HEAD"}:
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?next={quote(target, safe='/')}", 303)
        headers = {"WWW-Authenticate": "Bearer"}
        return problems.respond(request, self._error_page, 401, "login_needed", headers=headers)


def is_open(path: str) -> bool:
    """Whether nobody is asked who they are on this path."""
    return path in _OPEN_PATHS or path.startswith(_OPEN_PREFIXES)


def bearer(headers: Headers) -> str | None:
    """The bearer token of a program, or None."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None
