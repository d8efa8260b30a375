"""Forms that only our own pages can send: a signed token in the form that matches a cookie of this browser.

The token is salted anew in every page, so that compression never gives it away bit by bit, and it is worth nothing
without the cookie, which no other site can read or set.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from sealwatch.cloud.auth.secret import derive
from sealwatch.cloud.web.problems import Problem
from sealwatch.contract.signing import from_base64url, to_base64url

FIELD: Final = "form_token"
_COOKIE: Final = "sealwatch_form"
_COOKIE_MAX_AGE_S: Final = 7 * 24 * 3600
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_SALT_BYTES: Final = 8


def refuse_foreign(request: Request) -> None:
    """Raises Problem (403 form_refused) where the browser itself says that another site sends this request."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Problem(403, "form_refused")


class Forms:
    """Gives tokens to pages and checks them when a form comes back."""

    def __init__(self, secret: bytes, *, secure: bool) -> None:
        self._key = derive(secret, "form.v1")
        self._secure = secure

    def nonce(self, request: Request) -> str:
        """This browser's nonce: from its cookie, else a new one (which `remember` then has to set)."""
        found = request.cookies.get(_COOKIE, "")
        return found if _NONCE.fullmatch(found) else to_base64url(secrets.token_bytes(16))

    def token(self, nonce: str) -> str:
        """A fresh token for a form."""
        salt = secrets.token_bytes(_SALT_BYTES)
        return to_base64url(salt + self._mac(nonce, salt))

    def remember(self, response: Response, nonce: str) -> None:
        """Set the cookie that the token belongs to."""
        response.set_cookie(
            _COOKIE, nonce, max_age=_COOKIE_MAX_AGE_S, httponly=True, samesite="strict", secure=self._secure
        )

    def check(self, request: Request, token: str) -> None:
        """Raises Problem (403 form_refused) for a form that another site sent, or that is too old."""
        refuse_foreign(request)
        nonce = request.cookies.get(_COOKIE, "")
        try:
            raw = from_base64url(token)
        except ValueError:
            raw = b""
        if not _NONCE.fullmatch(nonce) or not hmac.compare_digest(
            raw[_SALT_BYTES:], self._mac(nonce, raw[:_SALT_BYTES])
        ):
            raise Problem(403, "form_refused")

    def _mac(self, nonce: str, salt: bytes) -> bytes:
        return hmac.new(self._key, salt + nonce.encode(), hashlib.sha256).digest()[:16]
