"""What every request passes before any page sees it: known host, small body, security headers on the way out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sealwatch.cloud.config import WebSettings
from sealwatch.cloud.maps.basemap import Tiles
from sealwatch.cloud.web import problems
from sealwatch.cloud.web.problems import ErrorPage, Problem
from sealwatch.contract.upload import FILES_PATH, ITEMS_PATH, MAX_PIECE_BYTES

MOST_BODY_BYTES: Final = 16 * 1024
MOST_PICTURE_BYTES: Final = 16 * 1024 * 1024
"""Of a form with a picture as a telephone's camera makes it, where no script has made it smaller."""
_WITH_PICTURE: Final = re.compile(r"/(?:incidents|a)/[^/]+/(?:arrive|verify)")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def security_headers(web: WebSettings) -> dict[str, str]:
    """The headers that no response lacks."""
    tiles = f" {Tiles(url=web.map_tiles).origin}" if web.map_tiles else ""
    headers = {
        "Content-Security-Policy": _CSP.replace("img-src 'self'", f"img-src 'self'{tiles}"),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # Answer links carry their authority in the path: it must never leave for another site.
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(self)",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Robots-Tag": "noindex, nofollow",
    }
    if web.public_url.startswith("https://"):
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers


def known_hosts(web: WebSettings) -> frozenset[str]:
    """Host names under which the pages may be asked for; anything else may be a rebound name of another site."""
    public = urlsplit(web.public_url).hostname or ""
    return _LOOPBACK | {public.lower(), web.host.lower()} - {"", "0.0.0.0", "::"}  # noqa: S104 - taken out, not bound


class Guard:
    """ASGI middleware: refuses foreign hosts and large bodies, adds the security headers to every response."""

    def __init__(
        self, app: ASGIApp, *, hosts: frozenset[str], headers: Mapping[str, str], error_page: ErrorPage
    ) -> None:
        self._app, self._hosts, self._headers, self._error_page = app, hosts, headers, error_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        most_bytes = _most_bytes(scope["path"])
        if _host_name(headers.get("host", "")) not in self._hosts:
            await self._refuse(scope, receive, send_with_headers, 400, "unknown_host")
        elif "\0" in scope["path"] or b"%00" in scope["query_string"]:  # PostgreSQL refuses it in a text
            await self._refuse(scope, receive, send_with_headers, 400, "invalid_request")
        elif _too_long(headers.get("content-length"), most_bytes):
            name = "picture_too_large" if most_bytes == MOST_PICTURE_BYTES else "too_large"
            await self._refuse(scope, receive, send_with_headers, 413, name)
        else:
            await self._app(scope, _Bounded(receive, most_bytes), send_with_headers)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, status: int, name: str) -> None:
        response = problems.respond(Request(scope), self._error_page, status, name, headers={"Connection": "close"})
        await response(scope, receive, send)


class _Bounded:
    """Counts a body that comes without a length, and ends it where it grows too large."""

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive, self._most_bytes = receive, most_bytes
        self._seen_bytes = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._seen_bytes += len(message.get("body", b""))
        if self._seen_bytes > self._most_bytes:
            raise Problem(413, "too_large")
        return message


def _most_bytes(path: str) -> int:
    if path.startswith((ITEMS_PATH, FILES_PATH)):
        return MAX_PIECE_BYTES
    return MOST_PICTURE_BYTES if _WITH_PICTURE.fullmatch(path) else MOST_BODY_BYTES


def _too_long(length: str | None, most_bytes: int) -> bool:
    return length is not None and (not length.isdecimal() or int(length) > most_bytes)


def _host_name(host: str) -> str:
    """The name in a Host header without its port; IPv6 addresses stand in brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
